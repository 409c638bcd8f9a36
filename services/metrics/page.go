package metrics

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxScrapes is how many pages are made at a time; more are answered with 503. A
// page asks every worker's process and control group.
const maxScrapes = 8

// Page answers every path with the metrics in the registry, as RoadRunner does,
// in Prometheus' text format. A collector that fails is logged and left out.
func Page(registry prometheus.Gatherer, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
	})
}
