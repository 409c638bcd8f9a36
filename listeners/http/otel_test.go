package http

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/rr-systemd/rrd/ipc"
)

const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"

// withSpans lets otel record in memory.
func withSpans(s *tracetest.SpanRecorder, sampler sdk.Sampler) func(*Environment) {
	return func(env *Environment) {
		env.Tracer = sdk.NewTracerProvider(sdk.WithSpanProcessor(s), sdk.WithSampler(sampler)).Tracer("http")
		env.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	}
}

// The spans of a request hang together, and PHP's parent is the span http.
func TestOtel(t *testing.T) {
	var rec recorder
	spans := tracetest.NewSpanRecorder()
	s, _ := serveWith(t, Config{Middleware: []string{"gzip", "otel"}}, rec.exec(), withSpans(spans, sdk.AlwaysSample()))
	s.get(t, "/a?secret=1", "traceparent: 00-"+traceID+"-00f067aa0ba902b7-01", "baggage: a=b")
	waitFor(t, "the spans", func() bool { return len(spans.Ended()) == 4 })
	parents := map[string]string{}
	for _, span := range spans.Ended() {
		if span.SpanContext().TraceID().String() != traceID {
			t.Errorf("%s is in the trace %s", span.Name(), span.SpanContext().TraceID())
		}
		for _, other := range spans.Ended() {
			if other.SpanContext().SpanID() == span.Parent().SpanID() {
				parents[span.Name()] = other.Name()
			}
		}
		switch span.Name() {
		case "http":
			if id := span.SpanContext().SpanID().String(); !strings.Contains(string(rec.last(t).Context), "00-"+traceID+"-"+id+"-01") {
				t.Errorf("PHP gets %s, want the span %s", rec.last(t).Context, id)
			}
		case "/a":
			text := fmt.Sprint(span.Attributes())
			for _, want := range []string{"http.request.method", "url.path", "http.response.status_code"} {
				if !strings.Contains(text, want) || strings.Contains(text, "secret") {
					t.Errorf("attributes: %s", text)
				}
			}
		}
	}
	if want := "map[gzip:/a http:gzip pool:wait:http]"; fmt.Sprint(parents) != want {
		t.Errorf("%v, want %s", parents, want)
	}
}

// A request that nobody records costs PHP nothing either: the flag says so.
func TestOtelNotSampled(t *testing.T) {
	var rec recorder
	spans := tracetest.NewSpanRecorder()
	s, _ := serveWith(t, Config{Middleware: []string{"otel"}}, rec.exec(), withSpans(spans, sdk.ParentBased(sdk.AlwaysSample())))
	s.get(t, "/", "traceparent: 00-"+traceID+"-00f067aa0ba902b7-00")
	if text := string(rec.last(t).Context); !strings.Contains(text, "00-"+traceID+"-") || !strings.Contains(text, `-00"`) || len(spans.Ended()) != 0 {
		t.Errorf("%s, %d spans", text, len(spans.Ended()))
	}
}

func TestOtelErrors(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	s, log := serveWith(t, Config{Middleware: []string{"otel"}}, failing(ipc.ErrNoFreeWorkers), withSpans(spans, sdk.AlwaysSample()))
	if res := s.get(t, "/"); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%d", res.StatusCode)
	}
	waitFor(t, "the spans", func() bool { return len(spans.Ended()) == 3 })
	if !slices.ContainsFunc(spans.Ended(), func(s sdk.ReadOnlySpan) bool {
		return s.Name() == "pool:wait" && strings.Contains(s.Status().Description, "no free workers")
	}) {
		t.Error("pool:wait does not say what went wrong")
	}
	_ = log

	s, log = serveWith(t, Config{Middleware: []string{"otel"}}, answering(msg(okContext, "ok")))
	if res := s.get(t, "/"); res.text != "ok" || log.count(`"key":"otel"`) != 1 {
		t.Errorf("without a section: %q", res.text)
	}
}
