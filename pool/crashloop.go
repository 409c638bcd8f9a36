package pool

import (
	"fmt"
	"time"

	"github.com/rr-systemd/rrd/pool/worker"
)

const (
	// crashWindow is the time in which failures are counted, and crashQuiet how
	// long none may come until the pool counts as well again.
	crashWindow = 30 * time.Second
	crashQuiet  = 10 * time.Second
	// crashSpare is how many workers may fail in crashWindow beside each of the
	// pool once: that all are killed at one time is an accident, not a loop.
	crashSpare = 5
)

// crashLoop tells workers that fail over and over from one that fails now and
// then. A failure is a start that did not succeed, or a worker that ended by
// itself: crashed, exited, ran out of memory, broke the protocol.
//
//	         workers + 5 failures in 30 s
//	sound ────────────────────────────────► looping
//	      ◄────────────────────────────────
//	              10 s without one
//
// While it loops the daemon is degraded and says why, and workers that fail
// before they have answered anything are started with growing pauses. A worker
// that did answer is replaced at once even then: one poisonous URL must not
// take the pool down.
type crashLoop struct {
	failures []time.Time // those of the last crashWindow
	last     time.Time
	why      string // of the last
	looping  bool
}

// failed counts a failure.
func (c *crashLoop) failed(now time.Time, workers int) {
	keep := c.failures[:0]
	for _, t := range c.failures {
		if now.Sub(t) < crashWindow {
			keep = append(keep, t)
		}
	}
	limit := workers + crashSpare
	if over := len(keep) - 4*limit; over > 0 { // enough to know
		keep = append(keep[:0], keep[over:]...)
	}
	c.failures, c.last = append(keep, now), now
	c.looping = c.is(now) || len(c.failures) >= limit
}

// is reports whether workers fail over and over.
func (c *crashLoop) is(now time.Time) bool {
	if c.looping && now.Sub(c.last) >= crashQuiet {
		c.looping, c.failures = false, nil
	}
	return c.looping
}

// text says it for people, "" if there is no loop.
func (c *crashLoop) text(now time.Time) string {
	if !c.is(now) {
		return ""
	}
	s := fmt.Sprintf("%d failures of workers in %s", len(c.failures), crashWindow)
	if c.why != "" {
		s += ", the last: " + c.why
	}
	return s
}

// crashed reports whether a cause is a failure of the worker.
func crashed(c worker.Cause) bool {
	switch c {
	case worker.Exited, worker.Signaled, worker.Protocol, worker.OOM:
		return true
	}
	return false
}

// noteEnd is told of a worker that is gone, before its replacement is started;
// the lock is held. A worker that died by itself has no cause yet.
func (p *Pool) noteEnd(m *member) {
	cause := m.w.Cause()
	if m.gen != p.gen || p.halted || cause != worker.NoCause && !crashed(cause) {
		return
	}
	now := time.Now()
	p.crashes.failed(now, m.gen.target)
	answered := m.w.Execs()
	if m.busy && answered > 0 {
		answered--
	}
	if answered > 0 {
		return
	}
	if p.crashes.is(now) || !m.busy && now.Sub(m.w.Created()) < earlyDeath {
		p.slowDown()
	}
}

// explainEnd is the counterpart of noteEnd when the cause is known.
func (p *Pool) explainEnd(e Event) {
	if !crashed(e.Cause) {
		return
	}
	why := e.Cause.String()
	switch {
	case e.OOM != nil:
		why = e.OOM.String()
	case e.Cause != worker.Protocol:
		why = e.Exit.String()
	}
	if r := e.Request; r.Label != "" || r.Detail != "" {
		why += " in " + r.Label + " " + r.Detail
	}
	p.mu.Lock()
	p.crashes.why = why
	p.mu.Unlock()
}
