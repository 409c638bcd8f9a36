package metrics

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Types of a collector.
const (
	Counter   = "counter"
	Gauge     = "gauge"
	Histogram = "histogram"
	Summary   = "summary"
)

// Collector describes a metric of the application. The Go names are on the wire
// in gob and MessagePack.
type Collector struct {
	Namespace string    `json:"namespace" cfg:"namespace"`
	Subsystem string    `json:"subsystem" cfg:"subsystem"`
	Type      string    `json:"type" cfg:"type"`
	Help      string    `json:"help" cfg:"help"`
	Labels    []string  `json:"labels" cfg:"labels"`
	Buckets   []float64 `json:"buckets" cfg:"buckets"` // upper bounds; empty means Prometheus' own
	// Objectives are quantiles of a summary and their errors. JSON cannot carry
	// them, as in RoadRunner.
	Objectives map[float64]float64 `json:"objectives"`
}

func (c *Collector) known() bool {
	switch c.Type {
	case Counter, Gauge, Histogram, Summary:
		return true
	}
	return false
}

// collector is a declared metric and its values.
//
// The vectors of client_golang are not used: they panic where a worker's mistake
// must be an error, and the values of their histograms and summaries cannot be
// put back after a restart.
type collector struct {
	Collector
	name       string // as declared, without namespace and subsystem
	configured bool   // declared in the configuration
	desc       *prometheus.Desc

	mu     sync.Mutex
	series map[string]*series // by their label values
}

// series are the values for one set of label values.
type series struct {
	labels []string
	value  float64  // of a counter or gauge; the sum of a histogram or summary
	count  uint64   // of observations
	above  []uint64 // observations in each bucket alone, the last one for +Inf
	// quantiles of the last ten minutes, if there are objectives. They begin
	// anew after a restart.
	quantiles prometheus.Summary
}

func newCollector(name string, c Collector) (*collector, error) {
	if len(c.Buckets) == 0 && c.Type == Histogram {
		c.Buckets = prometheus.DefBuckets
	}
	for i, b := range c.Buckets {
		if math.IsNaN(b) || i > 0 && b <= c.Buckets[i-1] {
			return nil, fmt.Errorf("histogram buckets must be in increasing order: %v", c.Buckets)
		}
	}
	if n := len(c.Buckets); n > 0 && math.IsInf(c.Buckets[n-1], 1) {
		c.Buckets = c.Buckets[:n-1] // it is always there
	}
	for q, e := range c.Objectives {
		if !(q >= 0 && q <= 1 && e >= 0 && e <= 1) {
			return nil, fmt.Errorf("objective %v: %v is not a quantile and its error, both between 0 and 1", q, e)
		}
	}
	if c.Type == Histogram && slices.Contains(c.Labels, "le") || c.Type == Summary && slices.Contains(c.Labels, "quantile") {
		return nil, fmt.Errorf("a %s uses the labels le and quantile itself", c.Type)
	}
	for _, text := range []*string{&name, &c.Namespace, &c.Subsystem, &c.Help} {
		*text = strings.ToValidUTF8(*text, "\ufffd")
	}
	n := &collector{
		Collector: c, name: name, series: make(map[string]*series),
		desc: prometheus.NewDesc(prometheus.BuildFQName(c.Namespace, c.Subsystem, name), c.Help, c.Labels, nil),
	}
	if err := n.desc.Err(); err != nil {
		return nil, fmt.Errorf("descriptor %s is invalid: %w", n.desc, err) // as Register words it
	}
	if len(c.Labels) == 0 { // the only series is there from the beginning
		if _, err := n.at(nil); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// at returns the series of the label values; mu is held. Labels for a collector
// that has none are ignored, as in RoadRunner.
func (c *collector) at(labels []string) (*series, error) {
	if len(c.Labels) == 0 {
		labels = nil
	}
	key := strings.Join(labels, "\xff") // a byte that no valid text has
	s, ok := c.series[key]
	if ok && len(s.labels) == len(labels) {
		return s, nil
	}
	if _, err := prometheus.NewConstMetric(c.desc, prometheus.UntypedValue, 0, labels...); err != nil {
		return nil, err // the number of labels, or a text that is not UTF-8
	}
	s = &series{labels: slices.Clone(labels)}
	switch {
	case c.Type == Histogram:
		s.above = make([]uint64, len(c.Buckets)+1)
	case c.Type == Summary && len(c.Objectives) > 0:
		s.quantiles = prometheus.NewSummary(prometheus.SummaryOpts{Name: "s", Objectives: c.Objectives})
	}
	c.series[key] = s
	return s, nil
}

var (
	errDecrease  = errors.New("counter cannot decrease in value")
	errNotFinite = errors.New("the value is not a finite number")
)

// add adds v, which may be negative for a gauge.
func (c *collector) add(v float64, labels []string) error {
	switch {
	case c.Type == Counter && v < 0:
		return errDecrease
	case c.Type == Counter && !finite(v):
		return errNotFinite // it would spoil the counter for ever
	}
	return c.change(labels, func(s *series) { s.value += v })
}

func (c *collector) set(v float64, labels []string) error {
	return c.change(labels, func(s *series) { s.value = v })
}

func (c *collector) observe(v float64, labels []string) error {
	if !finite(v) {
		return errNotFinite
	}
	return c.change(labels, func(s *series) {
		s.value += v
		s.count++
		if s.above != nil {
			i, _ := slices.BinarySearch(c.Buckets, v) // the first bound that is not below v
			s.above[i]++
		}
		if s.quantiles != nil {
			s.quantiles.Observe(v)
		}
	})
}

func (c *collector) change(labels []string, do func(*series)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.at(labels)
	if err != nil {
		return err
	}
	do(s)
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	list := make([]prometheus.Metric, 0, len(c.series))
	for _, s := range c.series {
		list = append(list, c.metric(s))
	}
	c.mu.Unlock()
	for _, m := range list {
		out <- m
	}
}

// metric is the present value. The labels are known to fit.
func (c *collector) metric(s *series) prometheus.Metric {
	switch c.Type {
	case Counter:
		return prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, s.value, s.labels...)
	case Gauge:
		return prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, s.value, s.labels...)
	case Histogram:
		buckets := make(map[float64]uint64, len(c.Buckets))
		below := uint64(0)
		for i, bound := range c.Buckets {
			below += s.above[i]
			buckets[bound] = below
		}
		return prometheus.MustNewConstHistogram(c.desc, s.count, s.value, buckets, s.labels...)
	}
	quantiles := make(map[float64]float64)
	if s.quantiles != nil {
		var m dto.Metric
		if s.quantiles.Write(&m) == nil {
			for _, q := range m.GetSummary().GetQuantile() {
				quantiles[q.GetQuantile()] = q.GetValue()
			}
		}
	}
	return prometheus.MustNewConstSummary(c.desc, s.count, s.value, quantiles, s.labels...)
}
