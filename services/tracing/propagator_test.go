package tracing

import (
	"context"
	"net/http"
	"reflect"
	"testing"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"
)

func TestPropagator(t *testing.T) {
	h := http.Header{
		"Uber-Trace-Id": {"11111111111111111111111111111111:2222222222222222:0:1"},
		"Traceparent":   {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}
	of := func() string {
		ctx := Propagator().Extract(t.Context(), propagation.HeaderCarrier(h))
		return trace.SpanContextFromContext(ctx).TraceID().String()
	}
	if id := of(); id != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("both: %s", id)
	}
	h.Del("Traceparent")
	if id := of(); id != "11111111111111111111111111111111" {
		t.Errorf("Jaeger alone: %s", id)
	}
}

// Both ways through the propagator read and write the same.
func TestPropagatorEqualsOpenTelemetry(t *testing.T) {
	ours := Propagator()
	theirs := ours.(propagator).TextMapPropagator
	rapid.Check(t, func(t *rapid.T) {
		var c trace.SpanContextConfig
		copy(c.TraceID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "trace"))
		copy(c.SpanID[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "span"))
		c.TraceFlags = trace.TraceFlags(rapid.Byte().Draw(t, "flags"))
		if rapid.Bool().Draw(t, "state") {
			c.TraceState, _ = trace.ParseTraceState("vendor=1")
		}
		ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(c))
		if rapid.Bool().Draw(t, "baggage") {
			b, err := baggage.Parse("a=b")
			if err != nil {
				t.Fatal(err)
			}
			ctx = baggage.ContextWithBaggage(ctx, b)
		}
		got, want := http.Header{"Accept": {"*/*"}}, http.Header{"Accept": {"*/*"}}
		ours.Inject(ctx, propagation.HeaderCarrier(got))
		theirs.Inject(ctx, propagation.HeaderCarrier(want))
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("written: %v, want %v", got, want)
		}
		for _, name := range []string{"Traceparent", "Tracestate", "Baggage", "Uber-Trace-Id"} {
			if rapid.Bool().Draw(t, "without "+name) {
				delete(got, name)
			}
		}
		read := func(p propagation.TextMapPropagator) (trace.SpanContext, string) {
			ctx := p.Extract(context.Background(), propagation.HeaderCarrier(got))
			return trace.SpanContextFromContext(ctx), baggage.FromContext(ctx).String()
		}
		a, with := read(ours)
		b, also := read(theirs)
		if !a.Equal(b) || with != also {
			t.Fatalf("of %v: %v %q, want %v %q", got, a, with, b, also)
		}
	})
}
