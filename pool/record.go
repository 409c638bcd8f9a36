package pool

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool/worker"
)

// record makes the one log record of an event. That a reload failed is for
// whoever asked for it to tell.
func (p *Pool) record(e *Event) {
	level := e.level()
	if e.Type == ReloadFailed || !p.log.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{slog.Uint64(logkey.Generation, e.Generation)}
	text := e.Type.String()
	switch e.Type {
	case WorkerStarted:
		attrs = append(attrs, slog.Int(logkey.Worker, e.PID))
	case WorkerStopped:
		attrs = append(attrs, e.end()...)
	case WorkerFailed:
		text = "cannot start a worker"
		attrs = append(attrs, e.failure()...)
	case Reloaded:
		attrs = append(attrs, slog.Int64(logkey.Elapsed, e.Took.Milliseconds()))
	case Grown, Shrunk:
		attrs = append(attrs, slog.Int("workers", e.Workers), slog.Int("waiting", e.Waiting))
	}
	p.log.LogAttrs(context.Background(), level, text, attrs...)
}

// level: what is part of normal service is for those who look closely.
func (e *Event) level() slog.Level {
	switch {
	case e.Type == WorkerFailed:
		return slog.LevelError
	case e.Type != WorkerStopped || e.Cause.Planned():
		return slog.LevelDebug
	case e.Cause == worker.Memory:
		return slog.LevelInfo
	}
	return slog.LevelError
}

// end is what there is to say about the end of a worker.
func (e *Event) end() []slog.Attr {
	attrs := []slog.Attr{
		slog.Int(logkey.Worker, e.PID),
		slog.String(logkey.Cause, e.Cause.String()),
		slog.String("exit", e.Exit.String()),
		slog.Uint64("execs", e.Execs),
		slog.Int64("age", e.Age.Milliseconds()),
		slog.Uint64("max_rss", e.Exit.MaxRSS),
	}
	if e.Usage.CPU > 0 {
		attrs = append(attrs, slog.Int64("cpu", e.Usage.CPU.Milliseconds()), slog.Uint64("memory_peak", e.Usage.Peak))
	}
	switch o := e.OOM; {
	case o != nil:
		attrs = append(attrs, slog.String(logkey.Error, o.String()), slog.Uint64("oom_peak", o.Peak), slog.Uint64("oom_limit", o.Limit))
	case e.Err != nil:
		attrs = append(attrs, slog.String(logkey.Error, e.Err.Error()))
		var broken *ipc.ProtocolError
		if errors.As(e.Err, &broken) && broken.Hint() != "" {
			attrs = append(attrs, slog.String("hint", broken.Hint()))
		}
	}
	if r := e.Request; !r.Since.IsZero() || e.Cause == worker.Protocol && r.ID != "" {
		attrs = append(attrs,
			slog.String(logkey.RequestID, r.ID),
			slog.String("request", r.Label+" "+r.Detail))
		if !r.Since.IsZero() {
			attrs = append(attrs, slog.Int64(logkey.Elapsed, time.Since(r.Since).Milliseconds()))
		}
	}
	if len(e.Stderr) > 0 {
		attrs = append(attrs, slog.Any("stderr", e.Stderr))
	}
	return attrs
}

// failure is what there is to say about a worker that did not become ready.
func (e *Event) failure() []slog.Attr {
	attrs := []slog.Attr{slog.Any(logkey.Error, e.Err), slog.Int64("retry_in", e.Retry.Milliseconds())}
	var boot *BootError
	if errors.As(e.Err, &boot) {
		attrs = append(attrs, slog.String("exit", boot.Exit.String()), slog.String("hint", boot.Hint), slog.Any("stderr", boot.Stderr))
	}
	return attrs
}
