package memory

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

// op is one call of the linearizability test, answer what it returned.
type op struct{ kind, resource, id string }

type answer struct{ ok, failed bool }

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
		h, o, a := state.(held), input.(op), output.(answer)
		if a.failed {
			return true, h // the caller went away: nothing is held
		}
		switch o.kind {
		case "lock":
			can := h.free() || h.writer == "" && slices.Equal(h.readers, []string{o.id})
			if a.ok {
				return can, held{writer: o.id}
			}
			return !can, h
		case "read":
			if a.ok {
				readers := append(slices.Clone(h.readers), o.id)
				slices.Sort(readers)
				return h.writer == "", held{readers: readers}
			}
			return !h.free(), h // with readers: behind a writer that waits
		case "release":
			next, ok := h.without(o.id)
			return a.ok == ok, next
		case "force":
			if a.ok {
				return true, held{}
			}
			return h.free(), h // never used so far
		case "exists":
			return a.ok == h.holds(o.id), h
		}
		return a.ok == !h.free(), h // any
	},
	Equal: func(a, b any) bool {
		x, y := a.(held), b.(held)
		return x.writer == y.writer && slices.Equal(x.readers, y.readers)
	},
}

// TestLinearizable runs clients against few resources and ids, and looks whether
// some order of the calls explains all answers.
func TestLinearizable(t *testing.T) {
	for round := range 20 {
		l := New()
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
					ctx, cancel := context.WithCancel(t.Context())
					if r.IntN(8) == 0 {
						cancel()
					}
					call := time.Since(start)
					a := perform(ctx, l, o, wait)
					back := time.Since(start)
					cancel()
					mu.Lock()
					history = append(history, porcupine.Operation{ClientId: client, Input: o, Call: int64(call), Output: a, Return: int64(back)})
					mu.Unlock()
				}
			})
		}
		clients.Wait()
		if got := porcupine.CheckOperationsTimeout(model, history, time.Minute); got != porcupine.Ok {
			t.Fatalf("round %d: %s: %v", round, got, history)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func perform(ctx context.Context, l *Locks, o op, wait time.Duration) answer {
	var ok bool
	var err error
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
	return answer{ok, err != nil}
}

// TestModelRejects shows that the model would notice two writers.
func TestModelRejects(t *testing.T) {
	history := []porcupine.Operation{
		{Input: op{"lock", "r", "a"}, Output: answer{ok: true}, Call: 0, Return: 1},
		{Input: op{"lock", "r", "b"}, Output: answer{ok: true}, Call: 2, Return: 3},
	}
	if porcupine.CheckOperations(model, history) {
		t.Error("two writers are linearizable")
	}
}

// TestMutualExclusion is what users count on: nobody is inside with a writer, and
// no increment gets lost.
func TestMutualExclusion(t *testing.T) {
	l := New()
	defer l.Close()
	const clients, rounds = 32, 50
	counter := 0 // guarded by the lock alone: the race detector watches
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			id := fmt.Sprint(c)
			for range rounds {
				g, err := l.Acquire(t.Context(), lock.Request{Resource: "r", ID: id, TTL: time.Hour, Wait: time.Minute})
				if !g.OK || err != nil {
					t.Error(g, err)
					return
				}
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
