package pool

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool/cgroup"
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
	OOM     *cgroup.OOM    // if Cause is worker.OOM
	Usage   cgroup.Usage   // what it used in all; zero without control groups
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

// ended describes the end of a worker. Its leaf must still be there.
func (p *Pool) ended(m *member, cause worker.Cause) Event {
	w := m.w
	usage, _ := w.Leaf().Usage()
	e := Event{
		Type: WorkerStopped, Generation: m.gen.number, PID: w.PID(), Cause: cause, Exit: w.Exit(),
		Execs: w.Execs(), Age: time.Since(w.Created()), Request: w.Request(), OOM: m.oom(), Usage: usage,
	}
	if !cause.Planned() {
		e.Stderr = w.StderrTail()
	}
	p.mu.Lock()
	e.Err = m.failure
	p.mu.Unlock()
	return e
}

// tellEnd writes the one record of a worker's end.
func (p *Pool) tellEnd(e Event) {
	level := slog.LevelDebug
	switch {
	case e.Cause == worker.Memory:
		level = slog.LevelInfo
	case !e.Cause.Planned():
		level = slog.LevelError
	}
	if p.log.Enabled(context.Background(), level) {
		attrs := []slog.Attr{
			slog.Int(logkey.Worker, e.PID),
			slog.Uint64(logkey.Generation, e.Generation),
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
		p.log.LogAttrs(context.Background(), level, "worker stopped", attrs...)
	}
	p.emit(e)
}
