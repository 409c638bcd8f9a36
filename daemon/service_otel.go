package daemon

import (
	"context"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/listeners/http"
	"github.com/rr-systemd/rrd/services/kv"
	"github.com/rr-systemd/rrd/services/tracing"
)

// otelModule exports spans. It is started before all that makes some.
var otelModule = module{
	name:     "otel",
	sections: []string{"otel"},
	settings: func(t *config.Tree) section {
		if !t.Has("otel") {
			return nil
		}
		return new(tracing.Config)
	},
	beside: true,
	start:  startOtel,
}

// lastSpans is how long a stop waits at most for a collector that does not answer, or
// hurriedSpans if the stop may not take its time: one that answers at once gets the
// last spans all the same, and nothing is called lost where there is nothing.
const (
	lastSpans    = 5 * time.Second
	hurriedSpans = 250 * time.Millisecond
)

func startOtel(d *Daemon, s *settings) (*service, error) {
	c := s.modules["otel"].(*tracing.Config)
	log := d.root.With(logkey.Logger, "otel")
	// OpenTelemetry reads the environment of the process, to which the variables
	// of an envfile do not belong.
	for _, entry := range s.tree.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if _, ok := os.LookupEnv(name); !ok && strings.HasPrefix(name, "OTEL_") {
			if err := os.Setenv(name, value); err != nil {
				return nil, err
			}
		}
	}
	for _, key := range []string{"service_name", "service_version"} {
		if s.tree.Has("otel." + key) {
			log.Warn("otel." + key + " is deprecated, use otel.resource." + key)
		}
	}
	p, err := tracing.New(d.life, *c, tracing.Build{Version: Version, RoadRunner: RoadRunnerVersion}, log)
	if err != nil {
		return nil, s.tree.At("otel", err)
	}
	d.tracing = p
	stop := context.Background()
	return &service{
		drain: func(ctx context.Context) { stop = ctx },
		// Not in drain: the last calls of kv come after it.
		close: func() error {
			limit := lastSpans
			if stop.Err() != nil {
				stop, limit = context.Background(), hurriedSpans
			}
			ctx, cancel := context.WithTimeout(stop, limit)
			defer cancel()
			if err := p.Close(ctx); err != nil {
				log.Warn("the last spans are lost", logkey.Error, err)
			}
			return nil
		},
	}, nil
}

// traceHTTP lets the middleware otel of the frontend work, if there is a section
// otel.
func (d *Daemon) traceHTTP(env *http.Environment) {
	if d.tracing != nil {
		env.Tracer, env.Propagator = d.tracing.Tracer("http"), tracing.Propagator()
	}
}

// traceKV makes RoadRunner's spans of kv. They are roots: RPC carries no trace.
func (d *Daemon) traceKV() kv.Tracer {
	if d.tracing == nil {
		return nil
	}
	tracer := d.tracing.Tracer("kv")
	return func(ctx context.Context, c kv.Call) (context.Context, func(error)) {
		ctx, span := tracer.Start(ctx, "kv:"+c.Method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("kv.storage", c.Storage), attribute.String("kv.driver", c.Driver), attribute.Int("kv.items", c.Items)))
		return ctx, func(err error) {
			if err != nil {
				span.RecordError(err)
				span.SetStatus(codes.Error, err.Error())
			}
			span.End()
		}
	}
}
