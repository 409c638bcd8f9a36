package daemon

import (
	"context"
	"log/slog"
	nethttp "net/http"
	"testing"

	"github.com/rr-systemd/rrd/listeners/http"
	"github.com/rr-systemd/rrd/services/tracing"
)

// BenchmarkOtelSampledOut is what the middleware otel costs a request that nobody
// records, against the handler alone.
func BenchmarkOtelSampledOut(b *testing.B) {
	b.Setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
	p, err := tracing.New(b.Context(), tracing.Config{Exporter: tracing.Stdout}, tracing.Build{}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close(context.Background())
	list, err := http.NewMiddleware(http.Config{Middleware: []string{"otel"}},
		http.Environment{Log: slog.New(slog.DiscardHandler), Tracer: p.Tracer("http"), Propagator: tracing.Propagator()})
	if err != nil {
		b.Fatal(err)
	}
	handler := nethttp.HandlerFunc(func(nethttp.ResponseWriter, *nethttp.Request) {})
	parent := nethttp.Header{"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}}
	for _, c := range []struct {
		name    string
		handler nethttp.Handler
		header  nethttp.Header
	}{{"none", handler, nil}, {"root", list[0](handler), nil}, {"child", list[0](handler), parent}} {
		b.Run(c.name, func(b *testing.B) {
			r, err := nethttp.NewRequest("GET", "http://shop.example/users/5?q=1", nil)
			if err != nil {
				b.Fatal(err)
			}
			r.RequestURI, r.RemoteAddr = "/users/5?q=1", "10.0.0.1:1234"
			b.ReportAllocs()
			for b.Loop() {
				clear(r.Header)
				r.Header["User-Agent"] = userAgent
				for k, v := range c.header {
					r.Header[k] = v
				}
				c.handler.ServeHTTP(nil, r)
			}
		})
	}
}

var userAgent = []string{"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}
