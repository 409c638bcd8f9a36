package daemon

import (
	"encoding/json"
	"log/slog"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rr-systemd/rrd/listeners/http"
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/pool/cgroup"
	"github.com/rr-systemd/rrd/services/metrics"
)

var (
	metricName = regexp.MustCompile(`\b(?:rrd?|process|go)_[a-z_]+`)
	ofSamples  = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// Every expression of the dashboards names metrics that are exported.
func TestDashboards(t *testing.T) {
	exported := exportedMetrics(t)
	files, err := filepath.Glob("../packaging/grafana/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board any
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		expressions := 0
		each := func(expr string) {
			expressions++
			names := metricName.FindAllString(expr, -1)
			if len(names) == 0 {
				t.Errorf("%s: %s names no metric", file, expr)
			}
			for _, name := range names {
				if !exported[name] && !exported[ofSamples.ReplaceAllString(name, "")] {
					t.Errorf("%s: %s: %s is not exported", file, expr, name)
				}
			}
		}
		walkExpressions(board, each)
		if expressions < 10 {
			t.Errorf("%s: only %d expressions found", file, expressions)
		}
	}
}

func walkExpressions(v any, each func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for key, below := range v {
			if text, ok := below.(string); ok && (key == "expr" || key == "query" && strings.Contains(text, "(")) {
				each(text)
				continue
			}
			walkExpressions(below, each)
		}
	case []any:
		for _, below := range v {
			walkExpressions(below, each)
		}
	}
}

// exportedMetrics are the names on a page where everything has happened once.
func exportedMetrics(t *testing.T) map[string]bool {
	t.Helper()
	registry := prometheus.NewRegistry()
	events, err := metrics.NewDaemon(registry, metrics.Build{}, func() metrics.State { return metrics.State{} })
	if err != nil {
		t.Fatal(err)
	}
	count := countEvents(events)
	for _, e := range []pool.EventType{pool.WorkerStopped, pool.WorkerFailed, pool.Reloaded} {
		count(pool.Event{Type: e, Pool: "http"})
	}
	pressure := &cgroup.Pressure{}
	usage := usageMetrics(cgroup.Usage{CPUPressure: pressure, MemoryPressure: pressure, IOPressure: pressure})
	err = registry.Register(metrics.NewPools(func() []metrics.Pool {
		return []metrics.Pool{{Name: "http", Workers: []metrics.Worker{{PID: 1, State: "ready"}}, Wait: waitMetrics(pool.Waits{}), Usage: usage}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := http.NewMiddleware(http.Config{Middleware: []string{"http_metrics"}}, http.Environment{Log: slog.New(slog.DiscardHandler), Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	chain[0](nethttp.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, f := range families {
		names[f.GetName()] = true
	}
	return names
}
