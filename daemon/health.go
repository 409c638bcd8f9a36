package daemon

import (
	"fmt"
	"sync"
	"time"
)

// State is where the daemon is in its life. The same model feeds READY=1 and
// STATUS= of sd_notify, `rrctl status` and the RPC method rrd.Status.
//
//	              ┌──────────► Degraded ◄─────────┐
//	              │               │ ▲             │
//	Starting ──► Ready ◄──────────┘ │             │
//	    │         │ ▲               │             │
//	    │         ▼ │               ▼             │
//	    │      Reloading ◄──────────┴─────────────┘
//	    │         │
//	    └──────► Draining ◄── (from every state but Stopped) ──► Stopped
type State uint8

const (
	// Starting: sockets are open, workers boot; nothing is answered yet.
	Starting State = iota
	// Ready: every pool has all its workers and requests are served.
	Ready
	// Degraded: requests are served or queued, but a pool lacks workers.
	Degraded
	// Reloading: the old generation serves while the new one boots.
	Reloading
	// Draining: nothing new is accepted, running requests finish.
	Draining
	// Stopped is final.
	Stopped
)

var stateNames = [...]string{"starting", "ready", "degraded", "reloading", "draining", "stopped"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// transition tells whether the daemon may go from one state to the other.
func transition(from, to State) error {
	ok := false
	switch to {
	case Ready, Degraded:
		ok = from == Starting || from == Ready || from == Degraded || from == Reloading
	case Reloading:
		ok = from == Ready || from == Degraded
	case Draining:
		ok = from != Stopped && from != Draining
	case Stopped:
		ok = from == Draining
	}
	if !ok {
		return fmt.Errorf("cannot go from %s to %s", from, to)
	}
	return nil
}

// health holds the state and why it is so.
type health struct {
	mu     sync.Mutex
	state  State
	reason string
	since  time.Time
}

func newHealth() *health { return &health{since: time.Now()} }

// to moves to a state. Moving to the present state only renews the reason.
func (h *health) to(s State, reason string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.move(s, reason)
}

// move is to for callers that hold mu; nothing else writes the state.
func (h *health) move(s State, reason string) error {
	if s == h.state {
		h.reason = reason
		return nil
	}
	if err := transition(h.state, s); err != nil {
		return err
	}
	h.state, h.reason, h.since = s, reason, time.Now()
	return nil
}

// assess sets Ready or Degraded after what the pools report: problem says what
// is missing, if anything is; trouble says that it does not mend by itself. A
// daemon becomes degraded by trouble, and ready again without a problem. It
// changes nothing while the daemon starts, reloads or drains: those states end
// by themselves.
func (h *health) assess(problem string, trouble bool) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	want := h.state
	switch {
	case h.state != Ready && h.state != Degraded:
		return false
	case problem == "":
		want = Ready
	case trouble:
		want = Degraded
	}
	if want == Ready {
		problem = "" // one that mends by itself
	}
	changed = want != h.state
	return h.move(want, problem) == nil && changed
}

func (h *health) get() (State, string, time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state, h.reason, h.since
}
