package http

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"

	semattr "go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// tracing is the middleware otel: a server span for each request, with the
// attributes of OpenTelemetry's semantic conventions for HTTP.
//
// It is not otelhttp, which puts two more writers around each request also when it
// is not sampled, and knows neither the handler's spans nor PHP.
type tracing struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
}

// newOtel does nothing without the section otel.
func newOtel(_ Config, env Environment) (Middleware, error) {
	if env.Dry { // the provider is made at the start
		return nil, nil
	}
	if env.Tracer == nil {
		return missingSection(env, "otel", "otel")
	}
	t := &tracing{env.Tracer, env.Propagator}
	return t.middleware, nil
}

// tracingKey leads from the context of a request that is sampled to its *tracing.
type tracingKey struct{}

// traced returns nil for a request without spans.
func traced(ctx context.Context) *tracing {
	t, _ := ctx.Value(tracingKey{}).(*tracing)
	return t
}

var serverSpan = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}

func (t *tracing) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := t.propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := t.tracer.Start(ctx, spanName(r), serverSpan...)
		if !span.IsRecording() {
			t.inject(ctx, r.Header) // PHP is told that nobody records
			next.ServeHTTP(w, r)
			return
		}
		// Not at the start: a request that nobody records need not pay for them,
		// and no sampler that OTEL_TRACES_SAMPLER can name looks at them.
		span.SetAttributes(requestAttributes(r)...)
		sw, done := newStatusWriter(w), false
		defer func() { // also for an answer that is aborted
			span.SetAttributes(semattr.Int("http.response.status_code", sw.final()), semattr.Int64("http.response.body.size", sw.bytes))
			switch {
			case !done:
				span.SetStatus(codes.Error, "the answer was aborted")
			case sw.final() >= 500:
				span.SetStatus(codes.Error, "")
			}
			span.End()
		}()
		ctx = context.WithValue(ctx, tracingKey{}, t)
		t.inject(ctx, r.Header)
		next.ServeHTTP(sw, r.WithContext(ctx))
		done = true
	})
}

// inject makes the span of ctx the parent of what PHP does.
func (t *tracing) inject(ctx context.Context, h http.Header) {
	delete(h, "Tracestate") // belongs to a Traceparent, which is replaced
	t.propagator.Inject(ctx, propagation.HeaderCarrier(h))
}

// around gives a middleware a span of its own, as RoadRunner does for those that
// otel stands around.
func around(name string, m Middleware) Middleware {
	return func(next http.Handler) http.Handler {
		inner := m(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if t := traced(r.Context()); t != nil {
				ctx, span := t.tracer.Start(r.Context(), name)
				defer span.End()
				r = r.WithContext(ctx)
			}
			inner.ServeHTTP(w, r)
		})
	}
}

// spanName is the target without its query, which may hold secrets and makes
// every name another one.
func spanName(r *http.Request) string {
	if r.RequestURI == "" {
		return r.URL.Path
	}
	name, _, _ := strings.Cut(r.RequestURI, "?")
	return name
}

// methods of RFC 9110 and 5789; the conventions know no others.
var knownMethods = map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "CONNECT": true, "OPTIONS": true, "TRACE": true}

// requestAttributes are what is known before the answer.
func requestAttributes(r *http.Request) []semattr.KeyValue {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	list := make([]semattr.KeyValue, 0, 12)
	list = append(list,
		semattr.String("url.scheme", scheme),
		semattr.String("url.path", r.URL.Path),
		semattr.String("network.protocol.version", protocolVersion(r)),
	)
	if knownMethods[r.Method] {
		list = append(list, semattr.String("http.request.method", r.Method))
	} else {
		list = append(list, semattr.String("http.request.method", "_OTHER"), semattr.String("http.request.method_original", r.Method))
	}
	host, port := hostPort(r.Host)
	list = append(list, semattr.String("server.address", host))
	if port > 0 {
		list = append(list, semattr.Int("server.port", port))
	}
	if ip, port := hostPort(r.RemoteAddr); ip != "" {
		list = append(list, semattr.String("network.peer.address", ip), semattr.String("client.address", ip))
		if port > 0 {
			list = append(list, semattr.Int("network.peer.port", port))
		}
	}
	if agent := r.Header["User-Agent"]; len(agent) > 0 {
		list = append(list, semattr.String("user_agent.original", agent[0]))
	}
	if r.ContentLength > 0 {
		list = append(list, semattr.Int64("http.request.body.size", r.ContentLength))
	}
	return list
}

func protocolVersion(r *http.Request) string {
	if r.ProtoMajor >= 2 {
		return strconv.Itoa(r.ProtoMajor)
	}
	return strconv.Itoa(r.ProtoMajor) + "." + strconv.Itoa(r.ProtoMinor)
}

// hostPort returns 0 for a port that is not there.
func hostPort(s string) (string, int) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return strings.Trim(s, "[]"), 0
	}
	n, _ := strconv.Atoi(port)
	return host, n
}
