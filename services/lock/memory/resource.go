package memory

import (
	"container/list"
	"slices"
	"time"

	"github.com/rr-systemd/rrd/services/lock"
)

// resource is something that is locked. The mutex of its shard guards it.
type resource struct {
	name string
	hash uint64

	mode  lock.Mode // of the holds
	holds []hold    // one writer or any number of readers
	queue list.List // of *waiter

	due   time.Time   // not later than the first end of a hold
	timer *time.Timer // fires at due; nil without holds
	armed time.Time   // when the timer fires
}

// hold is one lock that was granted.
type hold struct {
	id      string
	token   uint64
	expires time.Time
}

// waiter is a request in the queue. Its owner reads granted and token with the
// mutex of the shard.
type waiter struct {
	request lock.Request
	place   *list.Element
	ready   chan struct{} // closed when granted
	granted bool
	token   uint64
}

// admits tells whether the request can be granted now; behind says that others
// wait who came before it.
func (r *resource) admits(q lock.Request, behind bool) bool {
	switch {
	case len(r.holds) == 0:
		return !behind
	case r.mode == lock.Write:
		return false
	case q.Mode == lock.Read:
		return !behind
	}
	return r.promotes(q) && len(r.holds) == 1
}

// promotes tells whether a reader asks for the write lock.
func (r *resource) promotes(q lock.Request) bool {
	return r.mode == lock.Read && q.Mode == lock.Write && r.held(q.ID)
}

// hold adds a holder, which may be a promoted reader.
func (r *resource) hold(h hold, mode lock.Mode) {
	if mode == lock.Write {
		r.holds = r.holds[:0]
	}
	if len(r.holds) == 0 {
		r.due = h.expires
	}
	r.mode = mode
	r.holds = append(r.holds, h)
	r.soon(h.expires)
}

func (r *resource) soon(t time.Time) {
	if t.Before(r.due) {
		r.due = t
	}
}

// expire ends the holds whose time is over.
func (r *resource) expire(now time.Time) {
	if len(r.holds) == 0 || now.Before(r.due) {
		return
	}
	r.holds = slices.DeleteFunc(r.holds, func(h hold) bool { return !now.Before(h.expires) })
	if len(r.holds) > 0 {
		r.due = slices.MinFunc(r.holds, func(a, b hold) int { return a.expires.Compare(b.expires) }).expires
	}
}

func (r *resource) held(id string) bool {
	return slices.ContainsFunc(r.holds, func(h hold) bool { return h.id == id })
}

// release ends the hold of the id that would end first: the longest promise that
// was made to a reader of that id is kept.
func (r *resource) release(id string) bool {
	first := -1
	for i, h := range r.holds {
		if h.id == id && (first < 0 || h.expires.Before(r.holds[first].expires)) {
			first = i
		}
	}
	if first < 0 {
		return false
	}
	r.holds = slices.Delete(r.holds, first, first+1)
	return true
}

// drop ends the hold with the token, if it is still there.
func (r *resource) drop(token uint64) {
	r.holds = slices.DeleteFunc(r.holds, func(h hold) bool { return h.token == token })
}

// extend gives the id's holds another end.
func (r *resource) extend(id string, expires time.Time) (found bool) {
	for i := range r.holds {
		if r.holds[i].id == id {
			r.holds[i].expires, found = expires, true
		}
	}
	if found {
		r.soon(expires)
	}
	return found
}

func (r *resource) waiting() int { return r.queue.Len() }

func (r *resource) enqueue(w *waiter) {
	if r.promotes(w.request) {
		w.place = r.queue.PushFront(w)
		return
	}
	w.place = r.queue.PushBack(w)
}

func (r *resource) dequeue(w *waiter) { r.queue.Remove(w.place) }

// next takes the first of the queue if it can be served now.
func (r *resource) next() *waiter {
	front := r.queue.Front()
	if front == nil {
		return nil
	}
	w := front.Value.(*waiter)
	if !r.admits(w.request, false) {
		return nil
	}
	r.dequeue(w)
	return w
}
