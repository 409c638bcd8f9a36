package tracing

import (
	"context"
	"encoding/hex"
	"net/http"

	"go.opentelemetry.io/contrib/propagators/jaeger"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Propagator reads and writes the header fields that carry a trace: those of
// RoadRunner, the W3C's traceparent, tracestate and baggage, and Jaeger's
// uber-trace-id. Where a request has both, the W3C's count.
//
// Every request pays for it, also one that nobody records, so the common case has a
// way of its own: a request of HTTP without such fields, or without baggage and trace
// state. All else is left to OpenTelemetry's propagators, and a test holds that both
// ways write the same.
func Propagator() propagation.TextMapPropagator {
	return propagator{propagation.NewCompositeTextMapPropagator(jaeger.Jaeger{}, propagation.TraceContext{}, propagation.Baggage{})}
}

type propagator struct{ propagation.TextMapPropagator }

// Extract implements propagation.TextMapPropagator.
func (p propagator) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	if h, ok := carrier.(propagation.HeaderCarrier); ok && h["Traceparent"] == nil && h["Baggage"] == nil && h["Uber-Trace-Id"] == nil {
		return ctx
	}
	return p.TextMapPropagator.Extract(ctx, carrier)
}

// Inject implements propagation.TextMapPropagator.
func (p propagator) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	h, ok := carrier.(propagation.HeaderCarrier)
	sc := trace.SpanContextFromContext(ctx)
	// Jaeger's debug flag is known to its propagator only; it asks for a record.
	if !ok || !sc.IsValid() || sc.IsSampled() || sc.TraceState().Len() > 0 || baggage.FromContext(ctx).Len() > 0 {
		p.TextMapPropagator.Inject(ctx, carrier)
		return
	}
	inject(http.Header(h), sc.TraceID(), sc.SpanID(), sc.TraceFlags())
}

// inject writes both fields into one piece of memory.
//
//	traceparent    00-TRACEID-SPANID-FLAGS
//	uber-trace-id  TRACEID:SPANID:0:0
func inject(h http.Header, id trace.TraceID, span trace.SpanID, flags trace.TraceFlags) {
	b := make([]byte, 0, 128)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, id[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, span[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, []byte{byte(flags & (trace.FlagsSampled | trace.FlagsRandom))})
	cut := len(b)
	b = hex.AppendEncode(b, id[:])
	b = append(b, ':')
	b = hex.AppendEncode(b, span[:])
	b = append(b, ":0:0"...)
	text := string(b)
	values := [2]string{text[:cut], text[cut:]}
	h["Traceparent"], h["Uber-Trace-Id"] = values[:1:1], values[1:]
}
