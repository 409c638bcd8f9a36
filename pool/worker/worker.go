package worker

import (
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc"
)

// Worker is a process that speaks the protocol. Between Begin and End it
// belongs to the goroutine that called Begin; only that one uses the Channel.
type Worker struct {
	*Process
	Channel *ipc.Channel

	created  time.Time
	state    atomic.Uint32
	cause    atomic.Uint32
	execs    atomic.Uint64
	lastUsed atomic.Int64    // unix nanoseconds, end of the last execution
	sent     syscall.RawConn // write end of the pipe to the worker; nil with a relay
	pipeSize int             // bytes that surely fit into that pipe, 0 with a relay
	closed   atomic.Bool
}

// Created is when the process was started.
func (w *Worker) Created() time.Time { return w.created }

// Execs is how many payloads the worker was given.
func (w *Worker) Execs() uint64 { return w.execs.Load() }

// LastUsed is when the worker last finished a payload, the zero time if it
// never did.
func (w *Worker) LastUsed() time.Time {
	if n := w.lastUsed.Load(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

// IdleSince is LastUsed, or Created for a worker that was never used.
func (w *Worker) IdleSince() time.Time {
	if t := w.LastUsed(); !t.IsZero() {
		return t
	}
	return w.created
}

// State is the present state.
func (w *Worker) State() State { return State(w.state.Load()) }

// To moves the worker to another state, by the rules of State.To.
func (w *Worker) To(next State) error {
	for {
		old := w.state.Load()
		s, err := State(old).To(next)
		if err != nil {
			return err
		}
		if w.state.CompareAndSwap(old, uint32(s)) {
			return nil
		}
	}
}

// Cause is why the worker ended or is about to; NoCause while it serves.
func (w *Worker) Cause() Cause { return Cause(w.cause.Load()) }

// Doom records why the worker is let go. The first cause counts: what follows
// is only a consequence.
func (w *Worker) Doom(c Cause) {
	if (c == Signaled || c == Protocol) && w.ranOut() {
		c = OOM
	}
	if w.cause.CompareAndSwap(uint32(NoCause), uint32(c)) {
		_ = w.To(c.state(w.State() == Working))
	}
}

// ranOut tells an end for want of memory from others. The kernel kills with
// SIGKILL; one that ended otherwise has outlived the kill of a child of its own.
func (w *Worker) ranOut() bool {
	if o, _ := w.Leaf().OOM(); o.Incidents == 0 {
		return false
	}
	e := w.Exit()
	return !e.Known || e.Signal == unix.SIGKILL
}

// Begin takes the worker for one payload. An error means that it cannot be
// used (it is not ready any more).
func (w *Worker) Begin(p *ipc.Payload) error {
	if err := w.To(Working); err != nil {
		return err
	}
	w.execs.Add(1)
	w.beginOutput(p.ID)
	w.setRequest(Request{ID: p.ID, Label: p.Label, Detail: p.Detail, Since: time.Now()})
	return nil
}

// End is the counterpart of Begin after the last message. The worker is ready
// again, unless it was doomed meanwhile.
func (w *Worker) End() {
	w.lastUsed.Store(time.Now().UnixNano())
	w.requestOver()
	_ = w.To(Ready)
}

// Untouched reports whether the worker, whose channel has just failed, read no
// byte of p: then p had no effect and may be given to another worker. In doubt
// it is false.
func (w *Worker) Untouched(p *ipc.Payload) bool {
	if taken, known := w.Channel.Taken(); known {
		return !taken
	}
	if !w.WrittenAtOnce(p) || w.Channel.Heard() {
		return false
	}
	// What is in a pipe stays there after its reader is gone. Nothing there
	// means that it was all read, or that nothing was written.
	unread := -1
	_ = w.sent.Control(func(fd uintptr) {
		if n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ); err == nil {
			unread = n
		}
	})
	return int64(unread) >= w.Channel.FrameSize(p)
}

// WrittenAtOnce reports whether p fits into the empty pipe to the worker, so
// that a failed write means that nothing of it was written.
func (w *Worker) WrittenAtOnce(p *ipc.Payload) bool {
	return w.Channel.FrameSize(p) <= int64(w.pipeSize)
}

// Alive reports whether the process still runs, by asking the kernel.
func (w *Worker) Alive() bool { return w.alive() }

// Close closes the channel and settles the final state. The process must be
// done or about to be. It is idempotent.
func (w *Worker) Close() {
	if w.closed.Swap(true) {
		return
	}
	if w.Channel != nil {
		_ = w.Channel.Close()
	}
	if w.Exit().Signal == unix.SIGKILL {
		_ = w.To(Destroyed)
	} else {
		_ = w.To(Stopped)
	}
	_ = w.Leaf().Close()
}

// Settle is called once the process is Done. It names the cause of an end that
// nobody ordered, and returns the cause.
func (w *Worker) Settle() Cause {
	c := Exited
	if w.Exit().Signal != 0 {
		c = Signaled
	}
	w.Doom(c)
	return w.Cause()
}
