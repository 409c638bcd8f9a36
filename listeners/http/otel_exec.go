package http

import (
	"context"
	"io"
	"net/http"

	semattr "go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rr-systemd/rrd/ipc"
)

// handlerSpan is the handler's part of a trace: the span http with, below it,
// pool:wait until a worker is free and worker:exec until it is free again. PHP's
// own spans are below http too: what they belong to is sent before a worker is
// found.
type handlerSpan struct {
	tracing *tracing
	ctx     context.Context
	span    trace.Span
}

// beginSpan returns nil for a request that is not traced.
func beginSpan(r *http.Request, id string) *handlerSpan {
	t := traced(r.Context())
	if t == nil {
		return nil
	}
	ctx, span := t.tracer.Start(r.Context(), "http", trace.WithAttributes(semattr.String("rrd.request_id", id)))
	t.inject(ctx, r.Header)
	return &handlerSpan{t, ctx, span}
}

func (s *handlerSpan) end() { s.span.End() }

// exec is that of x with two spans.
func (s *handlerSpan) exec(ctx context.Context, x ipc.Executor, p *ipc.Payload) (ipc.Stream, error) {
	_, current := s.tracing.tracer.Start(s.ctx, "pool:wait")
	p.Taken = func(pid int) {
		current.End() // the wait, or the work of one that was found dead
		_, current = s.tracing.tracer.Start(s.ctx, "worker:exec", trace.WithAttributes(semattr.Int("process.pid", pid)))
	}
	stream, err := x.Exec(ctx, p)
	p.Taken = nil
	if err != nil {
		endSpan(current, err)
		return nil, err
	}
	return &tracedStream{stream, current}, nil
}

// tracedStream ends a span with the answer.
type tracedStream struct {
	ipc.Stream
	span trace.Span
}

// Next implements ipc.Stream.
func (s *tracedStream) Next() (*ipc.Message, error) {
	m, err := s.Stream.Next()
	if err != nil || !m.Stream {
		endSpan(s.span, err)
	}
	return m, err
}

// Close implements ipc.Stream.
func (s *tracedStream) Close() {
	s.Stream.Close()
	s.span.End()
}

func endSpan(span trace.Span, err error) {
	if err != nil && err != io.EOF {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
