package metrics_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/metrics"
)

func declare(name, kind string, labels ...string) *metrics.NamedCollector {
	return &metrics.NamedCollector{Name: name, Collector: metrics.Collector{Type: kind, Help: "help", Labels: labels}}
}

func value(name string, v float64, labels ...string) *metrics.Metric {
	return &metrics.Metric{Name: name, Value: v, Labels: labels}
}

// phpDeclare is what the PHP package sends.
type phpDeclare struct {
	Name      string         `json:"name"`
	Collector map[string]any `json:"collector"`
}

func TestApplicationMetrics(t *testing.T) {
	s := newSite(t, metrics.Config{}, nil)
	s.call("metrics.Declare", wire.JSON, &phpDeclare{"orders", map[string]any{
		"namespace": "shop", "subsystem": "web", "type": "counter", "help": "Orders.", "labels": []string{"kind"}, "buckets": []float64{},
	}})
	s.call("metrics.Declare", wire.Gob, declare("load", "gauge"))
	s.call("metrics.Declare", wire.Msgpack, declare("size", "histogram"))
	s.call("metrics.Declare", wire.Msgpack, &metrics.NamedCollector{Name: "took", Collector: metrics.Collector{Type: "summary", Objectives: map[float64]float64{0.5: 0.05}}})
	for _, codec := range []wire.Codec{wire.JSON, wire.Gob, wire.Msgpack} {
		s.call("metrics.Add", codec, value("orders", 1.5, "book"))
		s.call("metrics.Add", codec, value("load", 2))
		s.call("metrics.Sub", codec, value("load", 1, "labels of a collector without any are ignored"))
		s.call("metrics.Observe", codec, value("size", 0.1))
		s.call("metrics.Observe", codec, value("took", 3))
	}
	s.call("metrics.Observe", wire.JSON, value("size", 11))
	want := `# HELP shop_web_orders Orders.
# TYPE shop_web_orders counter
shop_web_orders{kind="book"} 4.5
# HELP load help
# TYPE load gauge
load 3
# HELP size help
# TYPE size histogram
size_bucket{le="0.005"} 0
size_bucket{le="0.01"} 0
size_bucket{le="0.025"} 0
size_bucket{le="0.05"} 0
size_bucket{le="0.1"} 3
size_bucket{le="0.25"} 3
size_bucket{le="0.5"} 3
size_bucket{le="1"} 3
size_bucket{le="2.5"} 3
size_bucket{le="5"} 3
size_bucket{le="10"} 3
size_bucket{le="+Inf"} 4
size_sum 11.3
size_count 4
# TYPE took summary
took{quantile="0.5"} 3
took_sum 9
took_count 3
`
	got := s.text("shop_web_orders", "load", "size", "took")
	if got = strings.ReplaceAll(got, "11.299999999999999", "11.3"); got != want {
		t.Errorf("got\n%s", got)
	}
	s.call("metrics.Set", wire.JSON, value("load", -4))
	if got := s.text("load"); !strings.Contains(got, "\nload -4\n") {
		t.Error(got)
	}
	name := "load"
	s.call("metrics.Unregister", wire.JSON, &name)
	s.refuse("metrics.Unregister", wire.JSON, &name, "metrics_plugin_unregister: undefined collector load")
	if got := s.text("load"); got != "" {
		t.Error(got)
	}
	s.call("metrics.Declare", wire.JSON, &phpDeclare{"load", map[string]any{"type": "counter", "help": "help"}}) // a new one of that name
	if err := s.service.Close(); err != nil {
		t.Error(err)
	}
	if got := s.page(); len(got) != 0 {
		t.Errorf("left after Close: %v", got)
	}
}

// Every mistake of a worker is an error that says what is wrong.
func TestMistakes(t *testing.T) {
	s := newSite(t, metrics.Config{}, nil)
	for _, d := range []*metrics.NamedCollector{
		declare("c", "counter"), declare("cl", "counter", "a", "b"), declare("g", "gauge"), declare("gl", "gauge", "a"),
		declare("h", "histogram"), declare("hl", "histogram", "a"), declare("s", "summary"), declare("sl", "summary", "a"),
	} {
		s.call("metrics.Declare", wire.Msgpack, d)
	}
	for _, c := range []struct {
		method string
		arg    any
		want   string
	}{
		{"Add", value("c", -1), "metrics_plugin_add: counter cannot decrease in value"},
		{"Add", value("c", math.NaN()), "metrics_plugin_add: the value is not a finite number"},
		{"Add", value("c", math.Inf(1)), "not a finite number"},
		{"Observe", value("h", math.NaN()), "metrics_plugin_observe: the value is not a finite number"},
		{"Observe", value("s", math.Inf(-1)), "not a finite number"},
		{"Add", value("cl", 1, "x"), "metrics_plugin_add: inconsistent label cardinality: expected 2 label values but got 1"},
		{"Add", value("cl", 1, "x", "y", "z"), "inconsistent label cardinality"},
		{"Add", value("cl", 1, "x\xffy"), "inconsistent label cardinality"},
		{"Add", value("cl", 1, "x\xff", "y"), "not valid UTF-8"},
		{"Set", value("gl", 1), "metrics_plugin_set: required labels for collector gl"},
		{"Sub", value("gl", 1), "metrics_plugin_sub: required labels for collector gl"},
		{"Add", value("gl", 1), "metrics_plugin_add: required labels for collector gl"},
		{"Add", value("cl", 1), "metrics_plugin_add: required labels for collector `cl`"},
		{"Observe", value("hl", 1), "metrics_plugin_observe: required labels for collector `hl`"},
		{"Observe", value("sl", 1), "metrics_plugin_observe: required labels for collector `sl`"},
		{"Set", value("c", 1), "metrics_plugin_set: collector `c` does not support method Set"},
		{"Declare", declare("", "counter"), `metrics_plugin_declare: descriptor Desc{fqName: "", help: "help", constLabels: {}, variableLabels: {}} is invalid: "" is not a valid metric name`},
		{"Declare", declare("x", "counters"), "metrics_plugin_declare: unknown collector type counters"},
		{"Declare", declare("x", "gauge", "a", "a"), "duplicate label names"},
		{"Declare", declare("x", "gauge", ""), "is not a valid label name"},
		{"Declare", declare("x", "histogram", "le"), "uses the labels le and quantile itself"},
		{"Declare", declare("x", "summary", "quantile"), "uses the labels le and quantile itself"},
		{"Declare", &metrics.NamedCollector{Name: "x", Collector: metrics.Collector{Type: "histogram", Buckets: []float64{2, 1}}}, "histogram buckets must be in increasing order"},
		{"Declare", &metrics.NamedCollector{Name: "x", Collector: metrics.Collector{Type: "histogram", Buckets: []float64{math.NaN()}}}, "increasing order"},
		{"Declare", &metrics.NamedCollector{Name: "x", Collector: metrics.Collector{Type: "summary", Objectives: map[float64]float64{2: 0}}}, "both between 0 and 1"},
		// The same full name by another way.
		{"Declare", &metrics.NamedCollector{Name: "b", Collector: metrics.Collector{Type: "gauge", Namespace: "a"}}, ""},
		{"Declare", &metrics.NamedCollector{Name: "a_b", Collector: metrics.Collector{Type: "counter"}}, "metrics_plugin_declare: duplicate metrics collector registration attempted"},
	} {
		if c.want == "" {
			s.call("metrics."+c.method, wire.Msgpack, c.arg)
			continue
		}
		s.refuse("metrics."+c.method, wire.Msgpack, c.arg, c.want)
	}
	// A name that is taken changes nothing, whatever is declared.
	s.call("metrics.Declare", wire.JSON, &phpDeclare{"c", map[string]any{"type": "gauge", "labels": []string{"x"}}})
	s.call("metrics.Add", wire.JSON, value("c", 1))
	if got := s.text("c"); !strings.Contains(got, "# TYPE c counter\nc 1\n") {
		t.Error(got)
	}
	// Names that Prometheus did not allow before version 3 are escaped.
	s.call("metrics.Declare", wire.JSON, &phpDeclare{"with blank", map[string]any{"type": "counter"}})
	if s.page()["with_blank"] == nil {
		t.Error("no with_blank")
	}
}

func TestConfig(t *testing.T) {
	c := metrics.Config{Collect: map[string]*metrics.Declaration{
		"took": {Collector: metrics.Collector{Type: "summary"}, Quantiles: map[string]any{"0": map[string]any{"5": 0.05, "99": "0.001"}, "1": 0}},
		"size": {Collector: metrics.Collector{Type: "histogram", Buckets: []float64{1, math.Inf(1)}}},
	}}
	s := newSite(t, c, nil)
	s.call("metrics.Observe", wire.JSON, value("took", 1))
	s.call("metrics.Observe", wire.JSON, value("size", 2))
	if c.Address != "" {
		t.Error("the test's own section has changed")
	}
	got := s.text("took", "size")
	for _, want := range []string{`took{quantile="0.5"} 1`, `took{quantile="0.99"} 1`, `took{quantile="1"} 1`, `size_bucket{le="1"} 0`, `size_bucket{le="+Inf"} 1`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	for want, d := range map[string]*metrics.Declaration{
		"metrics.collect.x: invalid metric type `nope` for `x`":            {Collector: metrics.Collector{Type: "nope"}},
		"metrics.collect.x: invalid metric type `` for `x`":                nil,
		"metrics.collect.x: histogram buckets must be in incr":             {Collector: metrics.Collector{Type: "histogram", Buckets: []float64{1, 1}}},
		`metrics.collect.x.objectives: "half" is no quantile`:              {Collector: metrics.Collector{Type: "summary"}, Quantiles: map[string]any{"half": 0.1}},
		"metrics.collect.x.objectives: the error much of the quantile 0.5": {Collector: metrics.Collector{Type: "summary"}, Quantiles: map[string]any{"0": map[string]any{"5": "much"}}},
		"metrics.collect.x: objective 5":                                   {Collector: metrics.Collector{Type: "summary"}, Quantiles: map[string]any{"5": 0.1}},
	} {
		c := metrics.Config{Collect: map[string]*metrics.Declaration{"x": d}}
		c.Defaults()
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// What an application has counted survives a restart, also what it has declared
// itself; what the new configuration defines otherwise begins anew.
func TestState(t *testing.T) {
	config := func(kind string) metrics.Config {
		return metrics.Config{Collect: map[string]*metrics.Declaration{
			"kept": {Collector: metrics.Collector{Type: "counter", Labels: []string{"a"}}}, "changed": {Collector: metrics.Collector{Type: kind}},
		}}
	}
	before := newSite(t, config("counter"), nil)
	before.call("metrics.Declare", wire.JSON, &phpDeclare{"own", map[string]any{"type": "histogram", "labels": []string{"l"}, "namespace": "n", "help": "h"}})
	before.call("metrics.Declare", wire.Gob, &metrics.NamedCollector{Name: "sum", Collector: metrics.Collector{Type: "summary", Objectives: map[float64]float64{0.5: 0.1}}})
	before.call("metrics.Declare", wire.JSON, &phpDeclare{"gauge", map[string]any{"type": "gauge"}})
	before.call("metrics.Add", wire.JSON, value("kept", 3, "ü"))
	before.call("metrics.Add", wire.JSON, value("changed", 3))
	before.call("metrics.Observe", wire.JSON, value("own", 0.3, "x"))
	before.call("metrics.Observe", wire.JSON, value("sum", 5))
	before.call("metrics.Set", wire.Gob, value("gauge", math.Inf(-1)))
	names := []string{"kept", "n_own", "gauge"}
	want := before.text(names...)
	var state bytes.Buffer
	if err := before.service.Save(&state); err != nil {
		t.Fatal(err)
	}
	after := newSite(t, config("gauge"), state.Bytes())
	if got := after.text(names...); got != want || !strings.Contains(got, `n_own_count{l="x"} 1`) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := after.text("changed", "sum"); !strings.Contains(got, "\nchanged 0\n") || !strings.Contains(got, "sum_sum 5\nsum_count 1\n") {
		t.Error(got)
	}
	after.call("metrics.Add", wire.JSON, value("kept", 1, "ü"))
	if got := after.text("kept"); !strings.Contains(got, `kept{a="ü"} 4`) {
		t.Error(got)
	}
	if err := after.service.Restore(bytes.NewReader(state.Bytes()[:state.Len()/2])); err == nil {
		t.Error("half a state was accepted")
	}
}

// Workers declare and count at the same time.
func TestConcurrently(t *testing.T) {
	s := newSite(t, metrics.Config{}, nil)
	const workers, times = 8, 50
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range times {
				s.call("metrics.Declare", wire.JSON, &phpDeclare{"n", map[string]any{"type": "counter", "labels": []string{"i"}}})
				s.call("metrics.Add", wire.JSON, value("n", 1, fmt.Sprint(i)))
			}
			s.page()
		})
	}
	wg.Wait()
	if n := strings.Count(s.text("n"), fmt.Sprintf("} %d\n", workers)); n != times {
		t.Errorf("%d of %d series are right", n, times)
	}
}

// An application cannot take the name of a metric of the daemon, also when it has no
// value yet: its own would be left out of the page without a word.
func TestNamesOfTheDaemon(t *testing.T) {
	s := newSite(t, metrics.Config{}, nil)
	if err := s.registry.Register(metrics.NewPools(func() []metrics.Pool { return nil })); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rr_http_total_workers", "rr_jobs_workers_ready", "rr_centrifugo_worker_memory_bytes", "rrd_pool_workers", "rrd_pool_pressure_seconds_total"} {
		s.refuse("metrics.Declare", wire.Msgpack, declare(name, "gauge"), "metrics_plugin_declare: a previously registered descriptor")
	}
}
