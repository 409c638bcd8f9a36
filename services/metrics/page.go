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
	page := promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page.ServeHTTP(&recorded{ResponseWriter: w}, r)
	})
}

// recorded leaves out the header Vary, which RoadRunner does not send: nobody
// caches the page.
type recorded struct{ http.ResponseWriter }

func (w *recorded) WriteHeader(code int) {
	w.Header().Del("Vary")
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorded) Write(b []byte) (int, error) {
	w.Header().Del("Vary") // without effect after the first
	return w.ResponseWriter.Write(b)
}
