package http

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// Middleware wraps the handler of all requests.
type Middleware func(http.Handler) http.Handler

// Environment is what a middleware may use of the daemon.
type Environment struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer // what is registered here, the metrics endpoint shows
	Dir     string                // where workers run, "" for the working folder
	Dry     bool                  // only a check: no file is made

	// Tracer makes the spans of requests, if the middleware otel is listed; nil
	// without the section otel. Propagator reads and writes the header fields that
	// carry a trace.
	Tracer     trace.Tracer
	Propagator propagation.TextMapPropagator
}

// middlewareConstructor makes a middleware of the http section. It returns nil
// when there is nothing to do.
type middlewareConstructor func(Config, Environment) (Middleware, error)

// middlewares are those that http.middleware may name. Each has a file of its
// own, and a line here.
var middlewares = map[string]middlewareConstructor{
	"access_log":      newAccessLog,
	"basic_auth":      newBasicAuth,
	"gzip":            newGzip,
	"headers":         newHeaders,
	"http_metrics":    newHTTPMetrics,
	"otel":            newOtel,
	"proxy_ip_parser": newProxyIPParser,
	"rate_limit":      newRateLimit,
	"request_id":      newRequestID,
	"sendfile":        newSendfile,
	"static":          newStatic,
}

// MiddlewareNotServed are RoadRunner's own that this version may lack. A site
// that counts on one must not come up without it; a name that RoadRunner does not
// know either is a warning there and here.
var MiddlewareNotServed = []string{"cache"}

// HasMiddleware tells whether a name of http.middleware is served.
func HasMiddleware(name string) bool { return middlewares[name] != nil }

// NewMiddleware makes what http.middleware names, in that order, for
// Options.Middleware. Names that are not served are left out, and a name counts once. An error begins
// with the key that it is about.
func NewMiddleware(c Config, env Environment) ([]Middleware, error) {
	c.Defaults()
	if env.Log == nil {
		env.Log = slog.Default()
	}
	// RoadRunner shows these metrics whether the middleware is listed or not.
	if _, err := registerHTTPMetrics(env.Metrics); err != nil {
		return nil, err
	}
	var list []Middleware
	outermost := slices.Index(c.Middleware, "otel")
	for i, name := range c.Middleware {
		construct := middlewares[name]
		if construct == nil || slices.Contains(c.Middleware[:i], name) {
			continue
		}
		m, err := construct(c, env)
		if err != nil && !strings.HasPrefix(err.Error(), "http.") { // it names no key
			err = fmt.Errorf("http.middleware: cannot use the middleware %q: %w", name, err)
		}
		if err != nil {
			return nil, err
		}
		if m != nil && i < outermost && env.Tracer != nil {
			m = around(name, m)
		}
		if m != nil {
			list = append(list, m)
		}
	}
	return list, nil
}

// missingSection is a middleware that is listed but not configured. As in
// RoadRunner, the server comes up without it.
func missingSection(env Environment, name, section string) (Middleware, error) {
	env.Log.Warn("requested middleware has nothing to do, its section is missing", "requested", name, logkey.Key, section)
	return nil, nil
}
