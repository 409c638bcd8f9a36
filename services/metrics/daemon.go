package metrics

import (
	"errors"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Events counts what happens to workers.
type Events struct {
	// Exits counts ends of workers by pool and cause (max_jobs, oom, signal, ...).
	Exits *prometheus.CounterVec
	// StartFailures counts workers that did not become ready, by pool.
	StartFailures *prometheus.CounterVec
	// Reloads counts exchanges of all workers by pool and result (ok, failed).
	Reloads *prometheus.CounterVec
}

// State is the daemon at one moment.
type State struct {
	Name  string // starting, ready, degraded, reloading, draining, stopped
	Since time.Time
}

var states = []string{"starting", "ready", "degraded", "reloading", "draining", "stopped"}

// Build says what runs.
type Build struct {
	Version    string // of rrd
	RoadRunner string // the release it is compatible with
}

// NewDaemon registers the metrics of the daemon itself and of the Go runtime and
// process.
func NewDaemon(registry prometheus.Registerer, b Build, state func() State) (*Events, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rrd_" + name, Help: help}, labels)
	}
	e := &Events{
		Exits:         counter("worker_exits_total", "Workers that ended, by pool and cause.", "pool", "cause"),
		StartFailures: counter("worker_start_failures_total", "Workers that did not become ready.", "pool"),
		Reloads:       counter("pool_reloads_total", "Exchanges of all workers of a pool: ok, or failed (the old workers serve on).", "pool", "result"),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "rrd_build_info", Help: "What runs; the value is 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "roadrunner": b.RoadRunner, "go": runtime.Version()},
	})
	build.Set(1)
	var errs []error
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build, e.Exits, e.StartFailures, e.Reloads, stateCollector(state),
	} {
		errs = append(errs, registry.Register(c))
	}
	return e, errors.Join(errs...)
}

type stateCollector func() State

var (
	descState = prometheus.NewDesc("rrd_state", "State of the daemon: 1 for the one that it is in, 0 for the others.", []string{"state"}, nil)
	descSince = prometheus.NewDesc("rrd_state_since_timestamp_seconds", "Unix time at which the state began.", nil, nil)
)

func (stateCollector) Describe(out chan<- *prometheus.Desc) { out <- descState; out <- descSince }

func (c stateCollector) Collect(out chan<- prometheus.Metric) {
	now := c()
	for _, name := range states {
		v := 0.0
		if name == now.Name {
			v = 1
		}
		out <- prometheus.MustNewConstMetric(descState, prometheus.GaugeValue, v, name)
	}
	out <- prometheus.MustNewConstMetric(descSince, prometheus.GaugeValue, float64(now.Since.UnixNano())/1e9)
}
