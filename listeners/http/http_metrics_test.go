package http

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rr-systemd/rrd/ipc"
)

func TestHTTPMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	s, _ := serveWith(t, Config{Middleware: []string{"http_metrics"}}, answering(part(`{"status":103,"headers":{}}`, ""), msg(`{"status":404,"headers":{}}`, "gone")),
		func(e *Environment) { e.Metrics = registry })
	for range 3 {
		s.get(t, "/")
	}
	waitFor(t, "the requests to be counted", func() bool {
		return testutil.CollectAndCount(registry, "rr_http_request_duration_seconds") == 1
	})
	want := `
# HELP rr_http_request_total Total number of handled http requests after server restart.
# TYPE rr_http_request_total counter
rr_http_request_total{status="404"} 3
# HELP rr_http_requests_queue Total number of queued requests.
# TYPE rr_http_requests_queue gauge
rr_http_requests_queue 0
`
	waitFor(t, "the counts", func() bool {
		return testutil.GatherAndCompare(registry, strings.NewReader(want), "rr_http_request_total", "rr_http_requests_queue", "rr_http_no_free_workers_total") == nil
	})
}

func TestHTTPMetricsNoWorkers(t *testing.T) {
	registry := prometheus.NewRegistry()
	s, _ := serveWith(t, Config{Middleware: []string{"http_metrics"}}, failing(ipc.ErrNoFreeWorkers), func(e *Environment) { e.Metrics = registry })
	s.get(t, "/")
	want := `
# HELP rr_http_no_free_workers_total Total number of NoFreeWorkers occurrences.
# TYPE rr_http_no_free_workers_total counter
rr_http_no_free_workers_total 1
`
	waitFor(t, "the count", func() bool {
		return testutil.GatherAndCompare(registry, strings.NewReader(want), "rr_http_no_free_workers_total") == nil
	})
}

// The metrics are there without the middleware, and may be registered twice.
func TestHTTPMetricsRegistered(t *testing.T) {
	registry := prometheus.NewRegistry()
	for range 2 {
		if _, err := NewMiddleware(Config{Middleware: []string{"http_metrics", "http_metrics"}}, Environment{Log: slog.New(slog.DiscardHandler), Metrics: registry}); err != nil {
			t.Fatal(err)
		}
	}
	if n := testutil.CollectAndCount(registry, "rr_http_requests_queue", "rr_http_uptime_seconds"); n != 2 {
		t.Errorf("%d of 2", n)
	}
}
