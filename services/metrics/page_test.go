package metrics_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/metrics"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
)

var quiet = slog.New(slog.DiscardHandler)

// site is a service with its registry and a client.
type site struct {
	t        *testing.T
	registry *prometheus.Registry
	service  *metrics.Service
	client   *wire.Client
}

func newSite(t *testing.T, c metrics.Config, state []byte) *site {
	t.Helper()
	c.Defaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, registry: prometheus.NewRegistry()}
	var err error
	if s.service, err = metrics.New(c, s.registry, quiet); err != nil {
		t.Fatal(err)
	}
	if err := s.service.Restore(bytes.NewReader(state)); err != nil {
		t.Fatal(err)
	}
	s.client = rpctest.Dial(t, rpctest.Serve(t, rpc.Options{}, s.service.Register))
	return s
}

// page reads the metrics page as Prometheus does.
func (s *site) page() map[string]*dto.MetricFamily {
	s.t.Helper()
	return parse(s.t, s.registry)
}

func parse(t *testing.T, registry prometheus.Gatherer) map[string]*dto.MetricFamily {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.Page(registry, quiet).ServeHTTP(w, httptest.NewRequest("GET", "/any/path", nil))
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8; escaping=underscores" {
		t.Fatalf("status %d, %s", w.Code, w.Header())
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		t.Fatalf("%v in\n%s", err, w.Body)
	}
	return families
}

// text is the page without what a test does not look at.
func (s *site) text(names ...string) string {
	s.t.Helper()
	var b strings.Builder
	families := s.page()
	for _, name := range names {
		if f := families[name]; f != nil {
			if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return b.String()
}

// call calls a method, which must answer true.
func (s *site) call(method string, codec wire.Codec, arg any) {
	s.t.Helper()
	ok := false
	if err := s.client.Call(s.t.Context(), method, codec, arg, &ok); err != nil || !ok {
		s.t.Errorf("%s %+v: %v, %v", method, arg, ok, err)
	}
}

// refuse calls a method that must fail with the text.
func (s *site) refuse(method string, codec wire.Codec, arg any, want string) {
	s.t.Helper()
	ok := false
	err := s.client.Call(s.t.Context(), method, codec, arg, &ok)
	if err == nil || ok || !strings.Contains(err.Error(), want) {
		s.t.Errorf("%s %+v: %v, %v, want %q", method, arg, ok, err, want)
	}
}

// What the daemon exports reads well for Prometheus and its linter.
func TestOwnMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	events, err := metrics.NewDaemon(registry, metrics.Build{Version: "1", RoadRunner: "2025.1"}, func() metrics.State {
		return metrics.State{Name: "degraded"}
	})
	if err != nil {
		t.Fatal(err)
	}
	events.Exits.WithLabelValues("http", "oom").Inc()
	events.StartFailures.WithLabelValues("http").Inc()
	events.Reloads.WithLabelValues("http", "ok").Inc()
	pool := metrics.Pool{
		Name: "http", Ready: 1, Working: 2, Target: 3, Waiting: 4, Execs: 5, Generation: 6, CrashLoop: true,
		Workers: []metrics.Worker{{PID: 7, State: "ready", Memory: 10}, {PID: 8, State: "working", Memory: 20}, {PID: 9, State: "inactive"}},
		Wait:    &metrics.Wait{Count: 3, Sum: 2e9, Buckets: map[float64]uint64{0.1: 1, 1: 2}, Refused: map[string]uint64{"full": 1}},
		Usage:   &metrics.Usage{Memory: 100, Working: 50, Peak: 200, CPU: 3e9, Pressure: map[string]metrics.Stall{"cpu": {Some: 1e9}}},
	}
	slow := metrics.Pool{Name: "http.slow", Workers: []metrics.Worker{{PID: 11, State: "working", Memory: 30}}}
	tcp := metrics.Pool{Name: "tcp", Workers: []metrics.Worker{{PID: 12, State: "ready"}}}
	if err := registry.Register(metrics.NewPools(func() []metrics.Pool { return []metrics.Pool{pool, slow, tcp} })); err != nil {
		t.Fatal(err)
	}
	families := parse(t, registry)
	for name, want := range map[string]float64{
		"rr_http_total_workers": 4, "rr_http_workers_memory_bytes": 60, "rr_http_workers_ready": 1, "rr_http_workers_working": 2,
		"rr_http_workers_invalid": 1,
	} {
		if got := families[name].GetMetric()[0].GetGauge().GetValue(); got != want {
			t.Errorf("%s is %v, want %v: both pools of the plugin", name, got, want)
		}
	}
	if n := len(families["rr_http_worker_state"].GetMetric()); n != 4 {
		t.Errorf("%d worker states", n)
	}
	if families["rr_tcp_total_workers"] != nil {
		t.Error("tcp has workers in RoadRunner's metrics")
	}
	if h := families["rrd_pool_queue_wait_seconds"].GetMetric()[0].GetHistogram(); h.GetSampleCount() != 3 || h.GetSampleSum() != 2 {
		t.Errorf("waits: %v", h)
	}
	for _, m := range families["rrd_state"].GetMetric() {
		if state := m.GetLabel()[0].GetValue(); (m.GetGauge().GetValue() == 1) != (state == "degraded") {
			t.Errorf("state %s is %v", state, m.GetGauge().GetValue())
		}
	}
	own, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, f := range own {
		if strings.HasPrefix(f.GetName(), "rrd_") {
			if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	problems, err := promlint.New(&text).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promtool check metrics: %v %v", problems, err)
	}
}

type broken struct{}

func (broken) Describe(chan<- *prometheus.Desc) {}
func (broken) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.NewInvalidMetric(prometheus.NewDesc("x", "", nil, nil), io.ErrUnexpectedEOF)
}

// A collector that fails does not hide the others.
func TestBrokenCollector(t *testing.T) {
	s := newSite(t, metrics.Config{Collect: map[string]*metrics.Declaration{"a": {Collector: metrics.Collector{Type: "gauge"}}}}, nil)
	s.registry.MustRegister(broken{})
	if families := s.page(); families["a"] == nil {
		t.Errorf("%v", families)
	}
}
