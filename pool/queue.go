package pool

import (
	"sync"
	"time"

	"github.com/rr-systemd/rrd/ipc"
)

// ticket is a request's place in the queue.
type ticket struct {
	// ready gets the worker, or nil when the pool has ended. It has room for
	// one, so whoever hands over never waits for the waiter.
	ready chan *member
	timer *time.Timer
	// probe tickets take no worker: it is enough that their turn comes. own is one
	// of the pool, which takes a worker but is no request (see withdraw).
	probe  bool
	own    bool
	line   uint8 // see lineOf
	queued bool

	prev, next *ticket
}

// tickets are reused: waiting allocates nothing.
type tickets struct{ pool sync.Pool }

func (s *tickets) get() *ticket {
	if t, ok := s.pool.Get().(*ticket); ok {
		return t
	}
	t := &ticket{ready: make(chan *member, 1), timer: time.NewTimer(time.Hour)}
	t.timer.Stop()
	return t
}

func (s *tickets) put(t *ticket) {
	t.timer.Stop() // since Go 1.23 no stale tick is left in the channel
	t.probe, t.own, t.line = false, false, 0
	s.pool.Put(t)
}

// queue holds who waits and who is free. At any time at least one of the two is
// empty. The caller locks.
//
// Free workers are a stack: the one used last has warm caches, and those that
// are not needed get old at the bottom, where the scaler and idle_ttl find them.
// Waiting requests are a line for each priority.
type queue struct {
	idle    []*member
	lines   [3]line // high, normal, low
	waiting int     // tickets of requests
}

// line is a list in order of arrival.
type line struct{ first, last *ticket }

// request tells whether t counts among those that wait.
func (t *ticket) request() bool { return !t.probe && !t.own }

// lineOf maps a priority, whose zero value is the one in the middle.
func lineOf(p ipc.Priority) uint8 {
	switch p {
	case ipc.High:
		return 0
	case ipc.Low:
		return 2
	}
	return 1
}

// first is who gets the next worker, nil if nobody waits.
func (q *queue) first() *ticket {
	for i := range q.lines {
		if t := q.lines[i].first; t != nil {
			return t
		}
	}
	return nil
}

// push puts t at the end of its line.
func (q *queue) push(t *ticket) {
	l := &q.lines[t.line]
	t.queued, t.prev, t.next = true, l.last, nil
	if l.last != nil {
		l.last.next = t
	} else {
		l.first = t
	}
	l.last = t
	if t.request() {
		q.waiting++
	}
}

// pushFront puts t before all others of its line: it has had its turn once, but
// its worker could not take the payload.
func (q *queue) pushFront(t *ticket) {
	l := &q.lines[t.line]
	if l.first == nil {
		q.push(t)
		return
	}
	t.queued, t.prev, t.next = true, nil, l.first
	l.first.prev = t
	l.first = t
	if t.request() {
		q.waiting++
	}
}

// drop takes t out, wherever it is; false if it is not in the queue any more.
func (q *queue) drop(t *ticket) bool {
	if !t.queued {
		return false
	}
	l := &q.lines[t.line]
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		l.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		l.last = t.prev
	}
	t.queued, t.prev, t.next = false, nil, nil
	if t.request() {
		q.waiting--
	}
	return true
}

// take returns the free worker that was used last, nil if there is none.
func (q *queue) take() *member {
	n := len(q.idle)
	if n == 0 {
		return nil
	}
	m := q.idle[n-1]
	q.idle[n-1] = nil
	q.idle = q.idle[:n-1]
	m.idle, m.busy = false, true
	return m
}

// give hands m to the first of those that wait, else m becomes free. It
// reports whether a request has it now.
func (q *queue) give(m *member) bool {
	for t := q.first(); t != nil; t = q.first() {
		q.drop(t)
		if t.probe {
			t.ready <- nil
			continue
		}
		m.busy = true
		t.ready <- m
		return true
	}
	m.idle, m.busy = true, false
	q.idle = append(q.idle, m)
	return false
}

// remove takes m out of the free workers; false if it is not one of them.
func (q *queue) remove(m *member) bool {
	if !m.idle {
		return false
	}
	for i, x := range q.idle {
		if x == m {
			copy(q.idle[i:], q.idle[i+1:])
			q.idle[len(q.idle)-1] = nil
			q.idle = q.idle[:len(q.idle)-1]
			m.idle = false
			return true
		}
	}
	return false
}

// cancel ends the wait of all.
func (q *queue) cancel() {
	for t := q.first(); t != nil; t = q.first() {
		q.drop(t)
		t.ready <- nil
	}
}
