// Package tracing makes spans leave the daemon: it is the section `otel`, as
// providers of OpenTelemetry.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Build is what spans say of the server.
type Build struct {
	Version    string // ours
	RoadRunner string // of the RoadRunner whose place this server takes
}

// Provider makes tracers, and exports what they see in batches.
type Provider struct {
	provider *sdk.TracerProvider
}

// New starts to export in the background, with the sampler of
// OTEL_TRACES_SAMPLER: all, or what the caller has decided. Close must be called.
func New(ctx context.Context, c Config, b Build, log *slog.Logger) (*Provider, error) {
	res, err := describe(ctx, c.Resource, b)
	if err != nil {
		return nil, fmt.Errorf("cannot describe the service for its spans: %w", err)
	}
	exporter, err := newExporter(ctx, &c)
	if err != nil {
		return nil, fmt.Errorf("cannot make the exporter %s: %w", c.Exporter, err)
	}
	if c.CustomURL != "" && (c.Exporter != OTLP || c.client() != HTTP) {
		log.Warn("otel.custom_url has no effect: it is for the exporter otlp with the client http")
	}
	return &Provider{sdk.NewTracerProvider(
		sdk.WithResource(res),
		sdk.WithBatcher(&reporting{SpanExporter: exporter, log: log}),
	)}, nil
}

// Tracer of a part of the daemon.
func (p *Provider) Tracer(name string) trace.Tracer { return p.provider.Tracer(name) }

// Provider for what makes its own tracers.
func (p *Provider) Provider() trace.TracerProvider { return p.provider }

// Close exports what is left, as long as ctx allows, and ends. It is idempotent.
func (p *Provider) Close(ctx context.Context) error { return p.provider.Shutdown(ctx) }

// describe has RoadRunner's attributes: dashboards count on them. Configured
// values go first, then OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, then
// RoadRunner's defaults.
func describe(ctx context.Context, c Resource, b Build) (*resource.Resource, error) {
	env, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, err
	}
	var list []attribute.KeyValue
	set := func(key attribute.Key, configured, fallback string) string {
		value := configured
		if value == "" {
			given, _ := env.Set().Value(key)
			value = given.AsString()
		}
		if value == "" {
			value = fallback
		}
		list = append(list, key.String(value))
		return value
	}
	id := uuid.NewString()
	name := set("service.name", c.Name, "RoadRunner")
	set("service.version", c.Version, "1.0.0")
	set("service.instance.id", c.InstanceID, id)
	set("service.namespace", c.Namespace, name+"-"+id)
	set("webengine.name", "RoadRunner", "")
	set("webengine.version", b.RoadRunner, "")
	set("webengine.description", "rrd "+b.Version, "")
	set("os.name", "", runtime.GOOS)
	set("host.arch", "", runtime.GOARCH)
	return resource.Merge(env, resource.NewSchemaless(list...))
}
