package main

import (
	"cmp"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/services/control"
)

// metric is one line of rrctl metrics.
type metric struct {
	Name   string            `json:"name"`
	Type   string            `json:"type"`
	Help   string            `json:"help,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	// Value of counters and gauges; of histograms and summaries the mean.
	Value *float64 `json:"value,omitempty"`
	Count *uint64  `json:"count,omitempty"`
	Sum   *float64 `json:"sum,omitempty"`
	// Quantiles of summaries, and of histograms as estimated from the buckets.
	Quantiles map[string]float64 `json:"quantiles,omitempty"`
}

func (c *cli) metricsCommand() *cobra.Command {
	var raw, all bool
	cmd := &cobra.Command{
		Use:   "metrics [NAME...]",
		Short: "Show the metrics of an instance",
		Long: `Show the metrics of an instance, also without the section metrics: those of the
application, then those of the server. NAME is a part of a metric's name, or a
pattern with * and ?. What the Go runtime and the process say of themselves, go_*
and process_*, is shown with --all, or if it is asked for by NAME.

Histograms are shown with their count, mean and quantiles, which are estimated
from the buckets.`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, names []string) error {
			if raw && (c.json || len(names) > 0) {
				return usageError{fmt.Errorf("--raw prints everything as it is: leave --json and the names out")}
			}
			var r control.MetricsResult
			if err := c.call(cmd.Context(), "rrd.Metrics", &control.Done{}, &r); err != nil {
				return err
			}
			if raw {
				_, err := fmt.Fprint(c.out, r.Text)
				return err
			}
			list, err := parseMetrics(r.Text, names, all)
			switch {
			case err != nil:
				return err
			case c.json:
				return c.printJSON(list)
			case len(list) == 0 && len(names) > 0:
				return fmt.Errorf("no metric matches %s", strings.Join(names, ", "))
			}
			limit := 0
			if width, _, ok := terminalSize(c.out); ok {
				limit = width
			}
			_, err = fmt.Fprint(c.out, metricsTable(list).plain(colours(c.out), limit))
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "show go_* and process_* too")
	cmd.Flags().BoolVar(&raw, "raw", false, "print Prometheus' text format as it is")
	return cmd
}

// parseMetrics reads the text format and returns the metrics with one of the names;
// without names, those of the runtime only if all is set.
func parseMetrics(text string, names []string, all bool) ([]metric, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("cannot read the metrics: %w", err)
	}
	list := []metric{}
	for name, f := range families {
		if len(names) == 0 && !all && origin(name) == ofRuntime || !matches(name, names) {
			continue
		}
		for _, m := range f.GetMetric() {
			list = append(list, newMetric(f, m))
		}
	}
	slices.SortFunc(list, func(a, b metric) int {
		return cmp.Or(cmp.Compare(origin(a.Name), origin(b.Name)), strings.Compare(a.Name, b.Name), strings.Compare(labelText(a.Labels), labelText(b.Labels)))
	})
	return list, nil
}

// Origins of metrics, in the order in which they are shown.
const (
	ofApplication = iota
	ofServer
	ofRuntime
)

// origin goes by the name: an application may choose any but these.
func origin(name string) int {
	prefix, _, _ := strings.Cut(name, "_")
	switch prefix {
	case "go", "process", "promhttp":
		return ofRuntime
	case "rr", "rrd":
		return ofServer
	}
	return ofApplication
}

func matches(name string, patterns []string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		if !strings.ContainsAny(p, "*?[") {
			return strings.Contains(name, p)
		}
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

func newMetric(f *dto.MetricFamily, m *dto.Metric) metric {
	r := metric{Name: f.GetName(), Type: strings.ToLower(f.GetType().String()), Help: f.GetHelp()}
	for _, l := range m.GetLabel() {
		if r.Labels == nil {
			r.Labels = make(map[string]string)
		}
		r.Labels[l.GetName()] = l.GetValue()
	}
	number := func(v float64) *float64 {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil // JSON has no such number
		}
		return &v
	}
	distribution := func(count uint64, sum float64) {
		r.Count, r.Sum = &count, number(sum)
		if count > 0 {
			r.Value = number(sum / float64(count))
		}
		r.Quantiles = make(map[string]float64)
	}
	switch f.GetType() {
	case dto.MetricType_COUNTER:
		r.Value = number(m.GetCounter().GetValue())
	case dto.MetricType_GAUGE:
		r.Value = number(m.GetGauge().GetValue())
	case dto.MetricType_SUMMARY:
		distribution(m.GetSummary().GetSampleCount(), m.GetSummary().GetSampleSum())
		for _, q := range m.GetSummary().GetQuantile() {
			if v := number(q.GetValue()); v != nil {
				r.Quantiles[strconv.FormatFloat(q.GetQuantile(), 'g', -1, 64)] = *v
			}
		}
	case dto.MetricType_HISTOGRAM:
		h := m.GetHistogram()
		distribution(h.GetSampleCount(), h.GetSampleSum())
		for _, q := range []float64{0.5, 0.95, 0.99} {
			if v, ok := quantile(h, q); ok {
				r.Quantiles[strconv.FormatFloat(q, 'g', -1, 64)] = v
			}
		}
	default:
		r.Value = number(m.GetUntyped().GetValue())
	}
	return r
}

// quantile estimates as Prometheus' histogram_quantile does: values are spread
// evenly in a bucket; beyond the last bound its bound is what is known.
func quantile(h *dto.Histogram, q float64) (float64, bool) {
	if h.GetSampleCount() == 0 {
		return 0, false
	}
	rank := q * float64(h.GetSampleCount())
	below, lower := 0.0, 0.0
	for _, b := range h.GetBucket() {
		count, upper := float64(b.GetCumulativeCount()), b.GetUpperBound()
		if count >= rank {
			switch {
			case math.IsInf(upper, 1):
				return lower, true
			case count == below:
				return upper, true
			}
			return lower + (upper-lower)*(rank-below)/(count-below), true
		}
		below, lower = count, upper
	}
	return lower, true
}

func metricsTable(list []metric) *table {
	t := &table{columns: []column{{"METRIC", false}, {"VALUE", true}, {"COUNT", true}, {"P50", true}, {"P95", true}, {"P99", true}, {"LABELS", false}}}
	for i := range list {
		m := &list[i]
		value, count := "-", ""
		if m.Value != nil {
			value = measure(m.Name, *m.Value)
		}
		if m.Count != nil {
			count = humanize.Comma(int64(*m.Count))
		}
		at := func(q string) cell {
			if v, ok := m.Quantiles[q]; ok {
				return cell{measure(m.Name, v), plain}
			}
			return cell{"", plain}
		}
		t.add(cell{m.Name, plain}, cell{value, bold}, cell{count, plain}, at("0.5"), at("0.95"), at("0.99"), cell{labelText(m.Labels), faint})
	}
	return t
}

func labelText(labels map[string]string) string {
	list := make([]string, 0, len(labels))
	for k, v := range labels {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// measure writes a value in the unit that Prometheus' naming rules put into the
// name.
func measure(name string, v float64) string {
	name = strings.TrimSuffix(name, "_total")
	switch {
	case strings.HasSuffix(name, "_bytes") && v >= 0 && v < math.MaxInt64:
		return humanize.Bytes(uint64(v))
	case strings.HasSuffix(name, "_timestamp_seconds"), strings.HasSuffix(name, "_time_seconds") && v > 1e9:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case strings.HasSuffix(name, "_seconds") && v != 0 && math.Abs(v) < 1:
		return strconv.FormatFloat(v*1000, 'f', 2, 64) + " ms"
	case strings.HasSuffix(name, "_seconds"):
		return strconv.FormatFloat(v, 'f', 2, 64) + " s"
	case v == math.Trunc(v) && math.Abs(v) < 1e15:
		return humanize.Comma(int64(v))
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}
