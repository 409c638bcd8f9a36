// Package lock is the RPC service "lock": named locks that processes share, with
// one writer or many readers each. Who keeps them is a driver: services/lock/memory
// in this daemon, services/lock/redis for several machines.
//
// A lock belongs to an id that its holder chose, not to a connection or a
// process, and ends by itself when its time to live is over.
//
// The rules are RoadRunner's, where it has them; see package memory for the
// queue.
package lock

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/rr-systemd/rrd/services/lock/lockpb"
	"github.com/rr-systemd/rrd/services/rpc"
)

const (
	// DefaultTTL is the time to live of a lock that is asked for without one,
	// as in RoadRunner: about a year.
	DefaultTTL = 31_555_952 * time.Second
	// MaxTTL is what a longer time to live, or wait, is cut to.
	MaxTTL = 100 * 365 * 24 * time.Hour
	// AnyID stands for every id in Exists.
	AnyID = "*"
)

// Errors whose texts callers see.
var (
	// ErrNoID: a method but ForceRelease was called without an id. The text is
	// RoadRunner's.
	ErrNoID = errors.New("empty ID is not allowed")
	// ErrNegativeTTL: RoadRunner crashes.
	ErrNegativeTTL = errors.New("a negative ttl is not allowed")
	// ErrStopping: the daemon stops or restarts while the caller waits. Locks
	// that are held survive a restart, places in the queue do not.
	ErrStopping = errors.New("the server is stopping and the lock was not obtained; connect again to wait on")
	// ErrGone: the caller went away while it waited.
	ErrGone = errors.New("the caller has gone while it waited for the lock")
)

// Mode is how a resource is held.
type Mode uint8

const (
	// Write excludes everybody else.
	Write Mode = iota
	// Read excludes writers.
	Read
)

func (m Mode) String() string {
	if m == Read {
		return "read"
	}
	return "write"
}

// Request asks for a lock.
type Request struct {
	Resource string
	ID       string
	Mode     Mode
	TTL      time.Duration // greater than 0
	Wait     time.Duration // 0: do not wait
}

// Grant is the answer to a Request.
type Grant struct {
	OK bool // false: not within Request.Wait
	// Token is a fencing token: of two grants of one resource the later has the
	// greater one, so that a store can refuse what a holder writes whose time
	// was over before it knew.
	Token uint64
}

// Locker keeps locks. All methods are safe for concurrent use.
type Locker interface {
	// Acquire waits until the lock is granted, Request.Wait is over, or ctx
	// ends, which takes the caller out of the queue: ErrGone, ErrStopping.
	Acquire(ctx context.Context, r Request) (Grant, error)
	// Release ends one hold of the id; of several the one that would end first.
	Release(ctx context.Context, resource, id string) (bool, error)
	// ForceRelease ends all holds. It is true for a resource that was in use
	// not too long ago, although nobody may hold it.
	ForceRelease(ctx context.Context, resource string) (bool, error)
	// Exists tells whether the id, or with AnyID anybody, holds the resource.
	Exists(ctx context.Context, resource, id string) (bool, error)
	// Extend gives all holds of the id a new time to live, from now on.
	Extend(ctx context.Context, resource, id string, ttl time.Duration) (bool, error)
}

// Prompt is a Locker that asks nobody: only a request with a Wait takes longer than
// a moment.
type Prompt interface {
	Locker
	Prompt()
}

// Lister tells what is locked.
type Lister interface {
	// List returns the resources that are held, by name.
	List(ctx context.Context) ([]Resource, error)
}

// Resource is one that somebody holds. It is made for JSON.
type Resource struct {
	Name    string   `json:"name"`
	Mode    string   `json:"mode"` // read, write
	Holders []Holder `json:"holders"`
	Waiting int      `json:"waiting"` // requests in the queue
}

// Holder is one lock that was granted.
type Holder struct {
	ID    string  `json:"id"`
	TTL   float64 `json:"ttl"` // seconds that are left
	Token uint64  `json:"token"`
}

// Register adds RoadRunner's methods to s, and lock.List, which is for rrctl.
func Register(s *rpc.Server, l Locker, list Lister) {
	type request = lockpb.Request
	type response = lockpb.Response
	acquire := func(mode Mode) func(context.Context, *request, *response) error {
		return func(ctx context.Context, q *request, reply *response) error {
			r, err := parse(q, mode)
			if err != nil {
				return err
			}
			g, err := l.Acquire(ctx, r)
			reply.Ok = g.OK
			if q.GetFencing() {
				reply.Token = g.Token
			}
			return err
		}
	}
	_, prompt := l.(Prompt)
	inline := func(*request) bool { return prompt }
	atOnce := func(q *request) bool { return prompt && q.GetWait() <= 0 }
	rpc.RegisterInline(s, "lock.Lock", rpc.Anyone, atOnce, acquire(Write))
	rpc.RegisterInline(s, "lock.LockRead", rpc.Anyone, atOnce, acquire(Read))
	rpc.RegisterInline(s, "lock.Release", rpc.Anyone, inline, func(ctx context.Context, q *request, reply *response) (err error) {
		if q.GetId() == "" {
			return ErrNoID
		}
		reply.Ok, err = l.Release(ctx, q.GetResource(), q.GetId())
		return err
	})
	rpc.RegisterInline(s, "lock.ForceRelease", rpc.Anyone, inline, func(ctx context.Context, q *request, reply *response) (err error) {
		reply.Ok, err = l.ForceRelease(ctx, q.GetResource())
		return err
	})
	rpc.RegisterInline(s, "lock.Exists", rpc.Anyone, inline, func(ctx context.Context, q *request, reply *response) (err error) {
		if q.GetId() == "" {
			return ErrNoID
		}
		reply.Ok, err = l.Exists(ctx, q.GetResource(), q.GetId())
		return err
	})
	rpc.RegisterInline(s, "lock.UpdateTTL", rpc.Anyone, inline, func(ctx context.Context, q *request, reply *response) error {
		r, err := parse(q, Write)
		if err != nil {
			return err
		}
		reply.Ok, err = l.Extend(ctx, r.Resource, r.ID, r.TTL)
		return err
	})
	// Who knows an id can release its lock.
	rpc.Register(s, "lock.List", rpc.Admin, func(ctx context.Context, _ *bool, reply *[]Resource) (err error) {
		*reply, err = list.List(ctx)
		return err
	})
}

// parse checks a request. A negative wait comes from a deadline that has passed:
// it is no wait.
func parse(q *lockpb.Request, mode Mode) (Request, error) {
	switch {
	case q.GetId() == "":
		return Request{}, ErrNoID
	case q.GetTtl() < 0:
		return Request{}, fmt.Errorf("%w: %d microseconds", ErrNegativeTTL, q.GetTtl())
	}
	r := Request{
		Resource: q.GetResource(), ID: q.GetId(), Mode: mode,
		TTL: microseconds(q.GetTtl()), Wait: max(0, microseconds(q.GetWait())),
	}
	if r.TTL == 0 {
		r.TTL = DefaultTTL
	}
	return r, nil
}

// microseconds is what the wire has, without overflow.
func microseconds(n int64) time.Duration {
	if n > math.MaxInt64/int64(time.Microsecond) {
		return MaxTTL
	}
	return min(time.Duration(max(n, 0))*time.Microsecond, MaxTTL)
}
