// Package redis keeps the locks of services/lock in Redis, for daemons on several
// machines. The rules and the queue are those of services/lock/memory; lock.lua has
// them.
//
// A daemon may die at any time, so nothing in Redis depends on one for longer than
// it says:
//
//   - a lock ends at its time to live, by Redis's clock;
//   - a lock without one is a lease that its daemon renews as long as it lives, and
//     that the next process takes over at a restart;
//   - who waits shows itself now and then, and loses its place when it does not;
//   - a lock that was granted to one that waited must be fetched.
//
// Who waits is woken by a message to its daemon, and tries by itself now and then,
// because a message may be lost.
//
// Redis replicates behind its answers: after a failover a lock may be granted that
// somebody still holds. Fencing tokens are for that.
package redis

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rr-systemd/rrd/services/lock"
	"github.com/rr-systemd/rrd/services/redisconn"
)

// ErrStore: Redis did not answer, or with an error. No lock was granted.
var ErrStore = errors.New("the lock store cannot be used")

// Config is lock.config of the driver redis.
type Config = redisconn.Config

// times are variables for tests.
type times struct {
	poll     time.Duration // between two tries of who waits
	patience time.Duration // until who waits and does not try counts as dead
	lease    time.Duration // of a lock without a time to live; renewed at a third
}

var usual = times{poll: 2 * time.Second, patience: 10 * time.Second, lease: time.Minute}

//go:embed lock.lua
var source string

// Locks is a lock.Locker and a lock.Lister.
type Locks struct {
	client redis.UniversalClient
	script *redis.Script
	log    *slog.Logger
	times  times

	key     string // before the name of a resource
	channel string // before the name of a daemon
	daemon  string // 16 characters, and the begin of each nonce
	last    atomic.Uint64

	drain    sync.Once
	stopping chan struct{}

	mu      sync.Mutex
	waiting map[string]chan struct{} // by nonce; woken
	leased  map[string]string        // resources by nonce, to be renewed
	left    map[string]string        // resources by nonce, to be withdrawn
}

var (
	_ lock.Locker = (*Locks)(nil)
	_ lock.Lister = (*Locks)(nil)
)

// New makes a client; Redis need not run yet. The error is about the files of TLS
// and begins with the key. The caller must Run and Close it.
func New(c Config, log *slog.Logger) (*Locks, error) {
	client, err := redisconn.New(c, log)
	if err != nil {
		return nil, err
	}
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails
	return &Locks{
		client: client, script: redis.NewScript(source), log: log, times: usual,
		key: c.Prefix + "rrd:lock:", channel: c.Prefix + "rrd:lock-wake:", daemon: hex.EncodeToString(id),
		stopping: make(chan struct{}),
		waiting:  make(map[string]chan struct{}), leased: make(map[string]string), left: make(map[string]string),
	}, nil
}

// nonce names a request.
func (l *Locks) nonce() string { return l.daemon + strconv.FormatUint(l.last.Add(1), 36) }

// call runs a command of lock.lua. The client may send it twice, which is the same
// as once.
func (l *Locks) call(ctx context.Context, resource, command string, args ...any) *redis.Cmd {
	argv := append([]any{command, l.channel, l.times.patience.Microseconds()}, args...)
	c := l.script.Run(ctx, l.client, []string{l.key + resource}, argv...)
	if err := c.Err(); err != nil && !errors.Is(err, redis.Nil) {
		c.SetErr(fmt.Errorf("%w: %w", ErrStore, err))
	}
	return c
}

// terms are a time to live in microseconds, and whether it is a lease.
func (l *Locks) terms(ttl time.Duration) (int64, bool) {
	if ttl >= lock.DefaultTTL {
		return l.times.lease.Microseconds(), true
	}
	return max(1, ttl.Microseconds()), false
}

// Acquire implements lock.Locker. It fails at once when Redis does.
func (l *Locks) Acquire(ctx context.Context, q lock.Request) (lock.Grant, error) {
	if ctx.Err() != nil {
		return lock.Grant{}, lock.ErrGone
	}
	nonce, wake := l.nonce(), make(chan struct{}, 1)
	if q.Wait > 0 {
		l.enqueue(nonce, wake)
		defer l.dequeue(nonce)
	}
	ttl, leased := l.terms(q.TTL)
	deadline, last := time.Now().Add(q.Wait), q.Wait == 0
	var stopped error
	for {
		token, next, err := l.try(ctx, q, nonce, ttl, leased, last)
		switch {
		case ctx.Err() != nil:
			return lock.Grant{}, l.leave(ctx, q.Resource, nonce, lock.ErrGone)
		case err != nil:
			return lock.Grant{}, l.leave(ctx, q.Resource, nonce, err)
		case token > 0:
			if leased {
				l.keep(q.Resource, nonce)
			}
			return lock.Grant{OK: true, Token: token}, nil
		case last:
			return lock.Grant{}, stopped
		}
		pause := time.NewTimer(min(next, time.Until(deadline)))
		select {
		case <-wake:
		case <-pause.C:
		case <-ctx.Done():
		case <-l.stopping:
			stopped = lock.ErrStopping
		}
		pause.Stop()
		last = stopped != nil || !time.Now().Before(deadline)
	}
}

// try asks once: a token, or 0 and when to ask again.
func (l *Locks) try(ctx context.Context, q lock.Request, nonce string, ttl int64, leased, last bool) (uint64, time.Duration, error) {
	answer, err := l.call(ctx, q.Resource, "acquire", nonce, q.ID, q.Mode == lock.Write, ttl, leased, last).Int64Slice()
	if err != nil {
		return 0, 0, err
	}
	next := l.times.poll
	if due := time.Duration(answer[1]) * time.Microsecond; due > 0 && due < next {
		next = due + time.Millisecond
	}
	return uint64(answer[0]), next, nil
}

func (l *Locks) enqueue(nonce string, wake chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting[nonce] = wake
}

func (l *Locks) dequeue(nonce string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, nonce)
}

// Release implements lock.Locker.
func (l *Locks) Release(ctx context.Context, resource, id string) (bool, error) {
	nonce, err := l.call(ctx, resource, "release", l.nonce(), id).Text()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	l.forget(l.leased, nonce)
	return err == nil, err
}

// ForceRelease implements lock.Locker. Those that wait get the lock. A resource is
// known for a day after its last lock.
func (l *Locks) ForceRelease(ctx context.Context, resource string) (bool, error) {
	return l.call(ctx, resource, "force").Bool()
}

// Exists implements lock.Locker.
func (l *Locks) Exists(ctx context.Context, resource, id string) (bool, error) {
	return l.call(ctx, resource, "exists", id).Bool()
}

// Extend implements lock.Locker. A lease is this daemon's from now on.
func (l *Locks) Extend(ctx context.Context, resource, id string, d time.Duration) (bool, error) {
	ttl, leased := l.terms(d)
	nonces, err := l.call(ctx, resource, "extend", id, ttl, leased).StringSlice()
	for _, nonce := range nonces {
		if leased {
			l.keep(resource, nonce)
		}
	}
	return len(nonces) > 0, err
}

// Waiting is how many requests wait in this daemon.
func (l *Locks) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// Drain ends all waits, now and from now on, with lock.ErrStopping. The rest
// works on.
func (l *Locks) Drain() { l.drain.Do(func() { close(l.stopping) }) }

// Close closes the connections. Locks stay.
func (l *Locks) Close() error {
	l.Drain()
	if err := l.client.Close(); !errors.Is(err, redis.ErrClosed) {
		return err
	}
	return nil
}
