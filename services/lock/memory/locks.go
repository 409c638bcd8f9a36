// Package memory keeps the locks of services/lock in this process.
//
// A resource is in one of three states, and has a queue:
//
//	         ┌──── one writer ◄──┐
//	         ▼                   │ the only reader's id asks for write
//	free ◄───┴───► readers ──────┘
//
// Whoever cannot be served at once waits in the queue, first come first served,
// so a writer that waits makes later readers wait behind it and cannot starve.
// One request overtakes: a reader that asks for the write lock under its own id
// comes first, because all others would wait for the very lock that it holds. It
// is promoted as soon as it is the only reader.
//
// A lock is not re-entrant: the writer that asks again waits for itself. Reading
// twice under one id is two holds, each to be released.
//
// What ends a wait, besides the lock: the time of the request, the end of its
// caller, the end of the daemon. The queue holds nobody who has gone.
package memory

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rr-systemd/rrd/services/lock"
)

// shards is how many resources can be worked on at a time, by chance: more than
// processors of any machine that runs this.
const shards = 128

// ErrClosed: Close was called.
var ErrClosed = errors.New("the lock service is closed")

// Locks is a lock.Locker and a lock.Lister.
type Locks struct {
	seed   maphash.Seed
	shards [shards]shard

	drain    sync.Once
	stopping chan struct{}
	timers   sync.WaitGroup // those that may still fire
}

var (
	_ lock.Prompt = (*Locks)(nil)
	_ lock.Lister = (*Locks)(nil)
)

// Prompt implements lock.Prompt.
func (*Locks) Prompt() {}

// shard is a part of the resources. Its mutex is held for a moment only.
type shard struct {
	owner *Locks

	mu        sync.Mutex
	closed    bool
	token     uint64 // of the last grant
	resources map[string]*resource
	known     known // resources that are free again
}

// New returns an empty set of locks. The caller must Close it.
func New() *Locks {
	l := &Locks{seed: maphash.MakeSeed(), stopping: make(chan struct{})}
	// Tokens grow over the life of the machine, not only of the process: after a
	// crash nothing but the clock is left of those that were given out. One
	// shard grants less than a lock in a microsecond.
	first := uint64(time.Now().UnixMicro())
	for i := range l.shards {
		s := &l.shards[i]
		s.owner, s.token, s.resources = l, first, make(map[string]*resource)
	}
	return l
}

// enter locks the shard of a resource. The hash is that of the name.
func (l *Locks) enter(name string) (s *shard, hash uint64) {
	hash = maphash.String(l.seed, name)
	s = &l.shards[hash%shards]
	s.mu.Lock()
	return s, hash
}

// get returns a resource after what was due by now, nil if nobody holds it.
func (s *shard) get(name string, now time.Time) *resource {
	r := s.resources[name]
	if r == nil {
		return nil
	}
	s.settle(r, now)
	return s.resources[name]
}

// settle ends what has expired, serves the queue, and forgets a resource that
// nobody holds or waits for. It is called after every change.
func (s *shard) settle(r *resource, now time.Time) {
	r.expire(now)
	for w := r.next(); w != nil; w = r.next() {
		w.token = s.grant(r, w.request, now)
		w.granted = true
		close(w.ready)
	}
	if len(r.holds) == 0 { // so nobody waits either
		s.disarm(r)
		delete(s.resources, r.name)
		s.known.add(r.hash)
		return
	}
	s.arm(r, now)
}

// grant makes the request's id a holder.
func (s *shard) grant(r *resource, q lock.Request, now time.Time) uint64 {
	s.token++
	r.hold(hold{id: q.ID, token: s.token, expires: now.Add(q.TTL)}, q.Mode)
	return s.token
}

// Acquire implements lock.Locker.
func (l *Locks) Acquire(ctx context.Context, q lock.Request) (lock.Grant, error) {
	s, hash := l.enter(q.Resource)
	if s.closed {
		s.mu.Unlock()
		return lock.Grant{}, ErrClosed
	}
	now := time.Now()
	r := s.get(q.Resource, now)
	if r == nil {
		r = &resource{name: q.Resource, hash: hash}
		s.resources[q.Resource] = r
	}
	if r.admits(q, r.waiting() > 0) {
		token := s.grant(r, q, now)
		s.arm(r, now)
		s.mu.Unlock()
		return lock.Grant{OK: true, Token: token}, nil
	}
	if q.Wait == 0 {
		s.mu.Unlock()
		return lock.Grant{}, nil
	}
	w := &waiter{request: q, ready: make(chan struct{})}
	r.enqueue(w)
	s.mu.Unlock()
	return l.wait(ctx, s, r, w)
}

// wait is the rest of Acquire, for a request in the queue.
func (l *Locks) wait(ctx context.Context, s *shard, r *resource, w *waiter) (lock.Grant, error) {
	t := time.NewTimer(w.request.Wait)
	defer t.Stop()
	var failure error
	select {
	case <-w.ready:
	case <-t.C:
	case <-ctx.Done():
	case <-l.stopping:
		failure = lock.ErrStopping
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !w.granted {
		s.settle(r, now) // what is due now comes before the end of the wait
	}
	switch {
	case w.granted && ctx.Err() != nil:
		// Nobody is there to release it.
		if r := s.resources[w.request.Resource]; r != nil {
			r.drop(w.token)
			s.settle(r, now)
		}
		return lock.Grant{}, lock.ErrGone
	case w.granted:
		return lock.Grant{OK: true, Token: w.token}, nil
	}
	r.dequeue(w)
	s.settle(r, now) // who stood behind may be served now
	if ctx.Err() != nil {
		failure = lock.ErrGone
	}
	return lock.Grant{}, failure
}

// Release implements lock.Locker. It has taken effect when it returns.
func (l *Locks) Release(_ context.Context, name, id string) (bool, error) {
	s, _ := l.enter(name)
	defer s.mu.Unlock()
	now := time.Now()
	r := s.get(name, now)
	if r == nil || !r.release(id) {
		return false, nil
	}
	s.settle(r, now)
	return true, nil
}

// ForceRelease implements lock.Locker. Those that wait get the lock.
func (l *Locks) ForceRelease(_ context.Context, name string) (bool, error) {
	s, hash := l.enter(name)
	defer s.mu.Unlock()
	now := time.Now()
	r := s.get(name, now)
	if r == nil {
		return s.known.has(hash), nil
	}
	r.holds = nil
	s.settle(r, now)
	return true, nil
}

// Exists implements lock.Locker.
func (l *Locks) Exists(_ context.Context, name, id string) (bool, error) {
	s, _ := l.enter(name)
	defer s.mu.Unlock()
	r := s.get(name, time.Now())
	return r != nil && (id == lock.AnyID || r.held(id)), nil
}

// Extend implements lock.Locker.
func (l *Locks) Extend(_ context.Context, name, id string, ttl time.Duration) (bool, error) {
	s, _ := l.enter(name)
	defer s.mu.Unlock()
	now := time.Now()
	r := s.get(name, now)
	if r == nil || !r.extend(id, now.Add(ttl)) {
		return false, nil
	}
	s.arm(r, now)
	return true, nil
}

// List implements lock.Lister.
func (l *Locks) List(context.Context) ([]lock.Resource, error) {
	list := []lock.Resource{}
	l.each(func(_ *shard, r *resource, now time.Time) {
		e := lock.Resource{Name: r.name, Mode: r.mode.String(), Waiting: r.waiting()}
		for _, h := range r.holds {
			e.Holders = append(e.Holders, lock.Holder{ID: h.id, TTL: h.expires.Sub(now).Seconds(), Token: h.token})
		}
		list = append(list, e)
	})
	slices.SortFunc(list, func(a, b lock.Resource) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Stats are the locks in numbers.
type Stats struct {
	Resources, Holders, Waiting int
}

// Stats counts. It looks at one shard at a time.
func (l *Locks) Stats() (s Stats) {
	l.each(func(_ *shard, r *resource, _ time.Time) {
		s.Resources++
		s.Holders += len(r.holds)
		s.Waiting += r.waiting()
	})
	return s
}

// each visits what is held, shard after shard.
func (l *Locks) each(visit func(*shard, *resource, time.Time)) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		now := time.Now()
		for name := range s.resources {
			if r := s.get(name, now); r != nil {
				visit(s, r, now)
			}
		}
		s.mu.Unlock()
	}
}

// Drain ends all waits, now and from now on, with lock.ErrStopping. The rest
// works on.
func (l *Locks) Drain() { l.drain.Do(func() { close(l.stopping) }) }

// Close forgets everything. It is idempotent.
func (l *Locks) Close() error {
	l.Drain()
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		s.closed = true
		for _, r := range s.resources {
			s.disarm(r)
		}
		s.mu.Unlock()
	}
	l.timers.Wait()
	return nil
}
