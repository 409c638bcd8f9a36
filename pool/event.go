package pool

import (
	"time"

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
	Grown                              // requests wait: workers are added
	Shrunk                             // workers that the queue does not need any more end
)

var eventNames = [...]string{
	"unknown", "worker started", "worker stopped", "worker failed to start",
	"pool reloaded", "pool reload failed", "pool grows", "pool shrinks",
}

func (t EventType) String() string {
	if int(t) < len(eventNames) {
		return eventNames[t]
	}
	return eventNames[0]
}

// Event is one thing that happened in a pool. All that tells of it is made of
// the same value: the log record, the metrics, the health of the daemon and
// what rrctl shows.
type Event struct {
	Type       EventType
	Time       time.Time
	Pool       string
	Generation uint64

	// Of a worker.
	PID     int
	Cause   worker.Cause
	Exit    worker.Exit
	Execs   uint64
	Age     time.Duration
	Request worker.Request // what the worker died with, if anything
	Stderr  []string       // the last lines; only if the end was not planned
	OOM     *cgroup.OOM    // if Cause is worker.OOM
	Usage   cgroup.Usage   // what it used in all; zero without control groups
	Retry   time.Duration  // of WorkerFailed: when the next start is tried

	// Of the pool.
	Took    time.Duration // of Reloaded and ReloadFailed
	Workers int           // of Grown and Shrunk: workers wanted from now on
	Waiting int           // of Grown: requests in the queue

	Err error
}

// emit tells an event: to the log and to Options.OnEvent, in the goroutine in
// which it happened, without locks.
func (p *Pool) emit(e Event) {
	e.Time, e.Pool = time.Now(), p.name
	p.record(&e)
	if p.onEvent != nil {
		p.onEvent(e)
	}
}

func (p *Pool) started(m *member) {
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
