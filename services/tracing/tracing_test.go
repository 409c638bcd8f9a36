package tracing

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rr-systemd/rrd/services/tracing/tracingtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, c Config, log *slog.Logger) *Provider {
	t.Helper()
	c.Defaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	p, err := New(t.Context(), c, Build{"1", "2025.1"}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

// What is left goes out with Close, over both clients, with all that is
// configured.
func TestExport(t *testing.T) {
	for client, r := range map[string]*tracingtest.Receiver{HTTP: tracingtest.HTTP(t, "/otlp/traces"), GRPC: tracingtest.GRPC(t)} {
		c := Config{Client: client, Endpoint: r.Address, Insecure: true, Compress: true, ServiceName: "shop", Headers: map[string]string{"api-key": "geheim"}}
		if client == HTTP {
			c.CustomURL = "/otlp/traces"
		}
		p := open(t, c, slog.New(slog.DiscardHandler))
		_, span := p.Tracer("test").Start(t.Context(), "work")
		span.End()
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		services, keys, zipped := r.Seen()
		if r.Span("work") == nil || !slices.Equal(services, []string{"shop"}) || !slices.Equal(keys, []string{"geheim"}) || zipped != (client == HTTP) {
			t.Errorf("%s: %q %q %t", client, services, keys, zipped)
		}
	}
}

func TestLostSpansAreTold(t *testing.T) {
	r := tracingtest.HTTP(t, "/v1/traces")
	var out bytes.Buffer
	p := open(t, Config{Endpoint: r.Address, Insecure: true}, slog.New(slog.NewTextHandler(&out, nil)))
	for i := range 3 {
		r.Refuse(i < 2)
		_, span := p.Tracer("test").Start(t.Context(), "work")
		span.End()
		if err := p.provider.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if text := out.String(); strings.Count(text, "are lost") != 1 || !strings.Contains(text, "exported again\" lost=2") {
		t.Errorf("log: %s", text)
	}
}

func TestResource(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=7,service.namespace=env,team=blue")
	res, err := describe(t.Context(), Resource{Namespace: "own"}, Build{"1", "2025.1"})
	if err != nil {
		t.Fatal(err)
	}
	text := res.String()
	for _, want := range []string{"service.name=RoadRunner", "service.version=7", "service.namespace=own", "team=blue", "webengine.name=RoadRunner", "service.instance.id="} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestConfig(t *testing.T) {
	for key, c := range map[string]Config{
		"otel.exporter: Jaeger":            {Exporter: "jaeger"},
		"otel.exporter: unknown":           {Exporter: "nope"},
		"otel.client: unknown":             {Client: "tcp"},
		"otel.endpoint: \"http://a:4318\"": {Endpoint: "http://a:4318"},
		"otel.endpoint: \"a:9411\"":        {Exporter: Zipkin, Endpoint: "a:9411"},
		"otel.custom_url":                  {CustomURL: "v1"},
	} {
		c.Defaults()
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	if c := (&Config{}); c.client() != GRPC {
		t.Error("the variable has no effect")
	}
}
