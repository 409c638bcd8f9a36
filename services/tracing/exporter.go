package tracing

import (
	"context"
	"log/slog"
	"os"
	"sync"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/exporters/zipkin"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// newExporter makes what the configuration names. None of them needs its receiver
// to be there now.
func newExporter(ctx context.Context, c *Config) (trace.SpanExporter, error) {
	switch c.Exporter {
	case Stdout:
		return stdouttrace.New(stdouttrace.WithWriter(os.Stdout))
	case Stderr:
		return stdouttrace.New(stdouttrace.WithWriter(os.Stderr))
	case Zipkin:
		return zipkin.New(c.Endpoint, zipkin.WithHeaders(c.Headers))
	}
	if c.client() == GRPC {
		return otlptracegrpc.New(ctx, grpcOptions(c)...)
	}
	return otlptracehttp.New(ctx, httpOptions(c)...)
}

// What is not configured is left to the variables that the exporter reads.
func grpcOptions(c *Config) (list []otlptracegrpc.Option) {
	if c.Endpoint != "" {
		list = append(list, otlptracegrpc.WithEndpoint(c.Endpoint))
	}
	if c.Insecure {
		list = append(list, otlptracegrpc.WithInsecure())
	}
	if c.Compress {
		list = append(list, otlptracegrpc.WithCompressor("gzip"))
	}
	if len(c.Headers) > 0 {
		list = append(list, otlptracegrpc.WithHeaders(c.Headers))
	}
	return list
}

func httpOptions(c *Config) (list []otlptracehttp.Option) {
	if c.Endpoint != "" {
		list = append(list, otlptracehttp.WithEndpoint(c.Endpoint))
	}
	if c.CustomURL != "" {
		list = append(list, otlptracehttp.WithURLPath(c.CustomURL))
	}
	if c.Insecure {
		list = append(list, otlptracehttp.WithInsecure())
	}
	if c.Compress {
		list = append(list, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	}
	if len(c.Headers) > 0 {
		list = append(list, otlptracehttp.WithHeaders(c.Headers))
	}
	return list
}

// reporting says in the log when exports begin to fail and when they work again,
// once each: a collector that is away must not fill the log.
type reporting struct {
	trace.SpanExporter
	log *slog.Logger

	mu   sync.Mutex
	lost int // spans since exports fail
}

// ExportSpans implements trace.SpanExporter. Its error has been told.
func (r *reporting) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	err := r.SpanExporter.ExportSpans(ctx, spans)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil && r.lost > 0:
		r.log.Info("spans are exported again", "lost", r.lost)
		r.lost = 0
	case err != nil:
		if r.lost == 0 {
			r.log.Warn("spans cannot be exported and are lost", logkey.Error, err)
		}
		r.lost += len(spans)
	}
	return nil
}
