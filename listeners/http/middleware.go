package http

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// Middleware wraps the handler of all requests.
type Middleware func(http.Handler) http.Handler

// Environment is what a middleware may use of the daemon.
type Environment struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer // what is registered here, the metrics endpoint shows
}

// middlewareConstructor makes a middleware of the http section.
type middlewareConstructor func(Config, Environment) (Middleware, error)

// middlewares are those that http.middleware may name. Each has a file of its
// own, and a line here.
var middlewares = map[string]middlewareConstructor{}

// MiddlewareNotServed are RoadRunner's own that this version may lack. A site
// that counts on one must not come up without it; a name that RoadRunner does not
// know either is a warning there and here.
var MiddlewareNotServed = []string{"static", "headers", "gzip", "sendfile", "proxy_ip_parser", "http_metrics", "otel", "cache"}

// HasMiddleware tells whether a name of http.middleware is served.
func HasMiddleware(name string) bool { return middlewares[name] != nil }

// NewMiddleware makes what http.middleware names, in that order, for
// Options.Middleware. Names that are not served are left out.
func NewMiddleware(c Config, env Environment) ([]Middleware, error) {
	var list []Middleware
	for _, name := range c.Middleware {
		construct := middlewares[name]
		if construct == nil {
			continue
		}
		m, err := construct(c, env)
		if err != nil {
			return nil, fmt.Errorf("cannot use the middleware %q: %w", name, err)
		}
		list = append(list, m)
	}
	return list, nil
}
