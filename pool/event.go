package pool

import (
	"context"
	"log/slog"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool/worker"
)

// EventType says what happened.
type EventType uint8

const (
	WorkerStarted EventType = iota + 1 // a worker became ready
	WorkerStopped                      // a worker ended; Cause says why
	WorkerFailed                       // a worker could not be started; Err is a *BootError
	Reloaded                           // a new generation serves
	ReloadFailed                       // it did not boot; the old one serves on
)

func (t EventType) String() string {
	switch t {
	case WorkerStarted:
		return "worker started"
	case WorkerStopped:
		return "worker stopped"
	case WorkerFailed:
		return "worker failed to start"
	case Reloaded:
		return "pool reloaded"
	case ReloadFailed:
		return "pool reload failed"
	}
	return "unknown"
}

// Event is told to Options.OnEvent, by the goroutine in which it happened and
// without locks; the callback should be quick.
type Event struct {
	Type       EventType
	Time       time.Time
	Pool       string
	Generation uint64

	PID     int
	Cause   worker.Cause
	Exit    worker.Exit
	Execs   uint64
	Age     time.Duration
	Request worker.Request // what the worker died with, if anything
	Stderr  []string       // the last lines; only if the end was not planned
	Err     error
}

func (p *Pool) emit(e Event) {
	if p.onEvent != nil {
		e.Time, e.Pool = time.Now(), p.name
		p.onEvent(e)
	}
}

func (p *Pool) started(m *member) {
	p.log.Debug("worker started", logkey.Worker, m.w.PID(), logkey.Generation, m.gen.number)
	p.emit(Event{Type: WorkerStarted, Generation: m.gen.number, PID: m.w.PID()})
}

// ended is the one record of a worker's end.
func (p *Pool) ended(m *member, cause worker.Cause) {
	w := m.w
	e := Event{
		Type: WorkerStopped, Generation: m.gen.number, PID: w.PID(), Cause: cause, Exit: w.Exit(),
		Execs: w.Execs(), Age: time.Since(w.Created()), Request: w.Request(),
	}
	level := slog.LevelDebug
	switch {
	case cause == worker.Memory:
		level = slog.LevelInfo
	case !cause.Planned():
		level = slog.LevelError
		e.Stderr = w.StderrTail()
	}
	if p.log.Enabled(context.Background(), level) {
		attrs := []slog.Attr{
			slog.Int(logkey.Worker, e.PID),
			slog.Uint64(logkey.Generation, e.Generation),
			slog.String(logkey.Cause, cause.String()),
			slog.String("exit", e.Exit.String()),
			slog.Uint64("execs", e.Execs),
			slog.Int64("age", e.Age.Milliseconds()),
			slog.Uint64("max_rss", e.Exit.MaxRSS),
		}
		if r := e.Request; !r.Since.IsZero() {
			attrs = append(attrs,
				slog.String(logkey.RequestID, r.ID),
				slog.String("label", r.Label),
				slog.String("detail", r.Detail),
				slog.Int64(logkey.Elapsed, time.Since(r.Since).Milliseconds()))
		}
		if len(e.Stderr) > 0 {
			attrs = append(attrs, slog.Any("stderr", e.Stderr))
		}
		p.log.LogAttrs(context.Background(), level, "worker stopped", attrs...)
	}
	p.emit(e)
}
