package http

import (
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// durationBuckets in seconds are RoadRunner's.
var durationBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60}

// httpMetrics counts requests, under RoadRunner's names.
type httpMetrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	queue     prometheus.Gauge
	noWorkers *prometheus.CounterVec
	statuses  [1000]atomic.Pointer[statusMetrics]
}

// statusMetrics spares a look-up by label for each request.
type statusMetrics struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

func newHTTPMetrics(_ Config, env Environment) (Middleware, error) {
	m, err := registerHTTPMetrics(env.Metrics)
	if err != nil {
		return nil, err
	}
	return m.middleware, nil
}

// registerHTTPMetrics makes the collectors known. RoadRunner does so whether the
// middleware is listed or not. Those that are registered already are used.
func registerHTTPMetrics(registry prometheus.Registerer) (*httpMetrics, error) {
	begin := time.Now()
	m := &httpMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rr_http_request_total", Help: "Total number of handled http requests after server restart."}, []string{"status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rr_http_request_duration_seconds", Help: "HTTP request duration.", Buckets: durationBuckets}, []string{"status"}),
		queue: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rr_http_requests_queue", Help: "Total number of queued requests."}),
		noWorkers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rr_http_no_free_workers_total", Help: "Total number of NoFreeWorkers occurrences."}, nil),
	}
	uptime := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "rr_http_uptime_seconds", Help: "Uptime in seconds"}, func() float64 { return float64(int64(time.Since(begin).Seconds())) })
	if registry == nil {
		return m, nil
	}
	var errs []error
	register(registry, &m.requests, &errs)
	register(registry, &m.durations, &errs)
	register(registry, &m.queue, &errs)
	register(registry, &m.noWorkers, &errs)
	register(registry, &uptime, &errs)
	return m, errors.Join(errs...)
}

// register registers a collector, or replaces it by the one that is there.
func register[C prometheus.Collector](registry prometheus.Registerer, c *C, errs *[]error) {
	err := registry.Register(*c)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if existing, ok := there.ExistingCollector.(C); ok {
			*c, err = existing, nil
		}
	}
	if err != nil {
		*errs = append(*errs, err)
	}
}

func (m *httpMetrics) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		m.queue.Inc()
		sw := newStatusWriter(w)
		// Also for an answer that is aborted.
		defer func() {
			m.queue.Dec()
			if v := w.Header()["No-Workers"]; len(v) > 0 && v[0] == "true" {
				m.noWorkers.WithLabelValues().Inc()
			}
			s := m.status(sw.final())
			s.requests.Inc()
			s.duration.Observe(time.Since(start).Seconds())
		}()
		next.ServeHTTP(sw, r)
	})
}

// status returns the metrics of a status. RoadRunner calls one that was not
// written explicitly -1; it is 200 on the wire, and so here.
func (m *httpMetrics) status(code int) *statusMetrics {
	if code < 0 || code >= len(m.statuses) {
		code = 0
	}
	if s := m.statuses[code].Load(); s != nil {
		return s
	}
	label := strconv.Itoa(code)
	s := &statusMetrics{m.requests.WithLabelValues(label), m.durations.WithLabelValues(label)}
	m.statuses[code].Store(s)
	return s
}
