// Package locktest is what every driver of lock must do under concurrency.
package locktest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rr-systemd/rrd/services/lock"
)

// op is one call of the linearizability test. Callers that go away are not in it:
// what they wait for may be theirs for a moment, which they do not hear of.
type op struct{ kind, resource, id string }

// held is the state of one resource, as simple as the rules can be written: the
// queue is not in it, because a wait is a call that takes effect when it gets the
// lock.
type held struct {
	writer  string
	readers []string // sorted
}

func (h held) without(id string) (held, bool) {
	if h.writer == id {
		return held{}, true
	}
	i := slices.Index(h.readers, id)
	if i < 0 {
		return h, false
	}
	return held{readers: slices.Delete(slices.Clone(h.readers), i, i+1)}, true
}

func (h held) free() bool { return h.writer == "" && len(h.readers) == 0 }

func (h held) holds(id string) bool { return h.writer == id || slices.Contains(h.readers, id) }

var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[string][]porcupine.Operation{}
		for _, o := range history {
			name := o.Input.(op).resource
			parts[name] = append(parts[name], o)
		}
		var list [][]porcupine.Operation
		for _, p := range parts {
			list = append(list, p)
		}
		return list
	},
	Init: func() any { return held{} },
	Step: func(state, input, output any) (bool, any) {
		h, o, ok := state.(held), input.(op), output.(bool)
		switch o.kind {
		case "lock":
			can := h.free() || h.writer == "" && slices.Equal(h.readers, []string{o.id})
			if ok {
				return can, held{writer: o.id}
			}
			return !can, h
		case "read":
			if ok {
				readers := append(slices.Clone(h.readers), o.id)
				slices.Sort(readers)
				return h.writer == "", held{readers: readers}
			}
			return !h.free(), h // with readers: behind a writer that waits
		case "release":
			next, held := h.without(o.id)
			return ok == held, next
		case "force":
			if ok {
				return true, held{}
			}
			return h.free(), h // never used so far
		case "exists":
			return ok == h.holds(o.id), h
		}
		return ok == !h.free(), h // any
	},
	Equal: func(a, b any) bool {
		x, y := a.(held), b.(held)
		return x.writer == y.writer && slices.Equal(x.readers, y.readers)
	},
}

// Linearizable runs clients against few resources and ids, and looks whether some
// order of the calls explains all answers. open makes the drivers of a round, which
// share their locks; clients take turns in using them.
func Linearizable(t *testing.T, rounds int, open func(round int) []lock.Locker) {
	t.Helper()
	for round := range rounds {
		drivers := open(round)
		var mu sync.Mutex
		var history []porcupine.Operation
		var clients sync.WaitGroup
		start := time.Now()
		for client := range 8 {
			clients.Go(func() {
				r := rand.New(rand.NewPCG(uint64(round), uint64(client)))
				for range 60 {
					o := op{
						kind:     []string{"lock", "lock", "read", "read", "release", "release", "release", "exists", "any", "force"}[r.IntN(10)],
						resource: fmt.Sprint("r", r.IntN(2)), id: fmt.Sprint("id", r.IntN(4)),
					}
					wait := time.Duration(r.IntN(3)) * time.Millisecond
					call := time.Since(start)
					ok, err := perform(t.Context(), drivers[client%len(drivers)], o, wait)
					back := time.Since(start)
					if err != nil {
						t.Errorf("%v: %v", o, err)
					}
					mu.Lock()
					history = append(history, porcupine.Operation{ClientId: client, Input: o, Call: int64(call), Output: ok, Return: int64(back)})
					mu.Unlock()
				}
			})
		}
		clients.Wait()
		if got := porcupine.CheckOperationsTimeout(model, history, time.Minute); got != porcupine.Ok {
			t.Fatalf("round %d: %s: %v", round, got, history)
		}
	}
}

func perform(ctx context.Context, l lock.Locker, o op, wait time.Duration) (ok bool, err error) {
	switch o.kind {
	case "lock", "read":
		q := lock.Request{Resource: o.resource, ID: o.id, TTL: time.Hour, Wait: wait}
		if o.kind == "read" {
			q.Mode = lock.Read
		}
		var g lock.Grant
		g, err = l.Acquire(ctx, q)
		ok = g.OK
	case "release":
		ok, err = l.Release(ctx, o.resource, o.id)
	case "force":
		ok, err = l.ForceRelease(ctx, o.resource)
	case "exists":
		ok, err = l.Exists(ctx, o.resource, o.id)
	default:
		ok, err = l.Exists(ctx, o.resource, lock.AnyID)
	}
	return ok, err
}

// MutualExclusion is what users count on: nobody is inside with a writer, and no
// increment gets lost. The drivers share their locks.
func MutualExclusion(t *testing.T, drivers ...lock.Locker) {
	t.Helper()
	const clients, rounds = 32, 50
	var last uint64
	counter := 0 // guarded by the lock alone: the race detector watches
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			l, id := drivers[c%len(drivers)], fmt.Sprint(c)
			for range rounds {
				g, err := l.Acquire(t.Context(), lock.Request{Resource: "r", ID: id, TTL: time.Hour, Wait: time.Minute})
				if !g.OK || err != nil {
					t.Error(g, err)
					return
				}
				if g.Token <= last {
					t.Errorf("token %d after %d", g.Token, last)
				}
				last = g.Token
				counter++
				if ok, _ := l.Release(t.Context(), "r", id); !ok {
					t.Error("cannot release")
				}
			}
		})
	}
	wg.Wait()
	if counter != clients*rounds {
		t.Errorf("%d, want %d", counter, clients*rounds)
	}
}
