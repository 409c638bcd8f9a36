package pool

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/worker"
)

const tick = 20 * time.Millisecond

func TestTTL(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1, Supervisor: &Supervisor{WatchTick: tick, TTL: 200 * time.Millisecond}})
	// The limit is soft: a request outlives it.
	equal(t, "answer", mustDo(t, p, "sleep 400"), "sleep 400")
	equal(t, "cause", r.causes(t, 1)[0], worker.TTL)
	equal(t, "exit", r.all(WorkerStopped)[0].Exit.Code, 0)
	equal(t, "idle cause", r.causes(t, 2)[1], worker.TTL)
	mustPID(t, p)
}

func TestIdleTTL(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 2, Supervisor: &Supervisor{WatchTick: tick, IdleTTL: 100 * time.Millisecond}})
	pid := mustPID(t, p)
	equal(t, "cause", r.causes(t, 1)[0], worker.IdleTTL)
	equal(t, "pid", r.all(WorkerStopped)[0].PID, pid) // not the one that was never used
	mustPID(t, p)
}

func TestMemoryIsCheckedAfterEachRequest(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1, Supervisor: &Supervisor{WatchTick: time.Hour, MaxWorkerMemory: 100}})
	pid := mustPID(t, p)
	equal(t, "answer", mustDo(t, p, "memory 90"), "94371840")
	equal(t, "cause", r.causes(t, 1)[0], worker.Memory)
	if mustPID(t, p) == pid {
		t.Error("the worker serves on")
	}
	if rss := r.all(WorkerStopped)[0].Exit.MaxRSS; rss < 90<<20 {
		t.Errorf("max rss %d", rss)
	}
}

func TestScaling(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1, DynamicAllocator: &DynamicAllocator{MaxWorkers: 3, SpawnRate: 2, IdleTimeout: time.Second}})
	results := make(chan error, 8)
	busy := newGate(t)
	for range 8 {
		go func() { _, err := do(p, busy.body); results <- err }()
	}
	eventually(t, "four workers", func() bool { return p.Stats().Workers == 4 })
	busy.open(t)
	for range 8 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	eventually(t, "one worker", func() bool { return p.Stats().Workers == 1 })
	for _, c := range r.causes(t, 3) {
		equal(t, "cause", c, worker.ScaleDown)
	}
	equal(t, "target", p.Stats().Target, 1)
}

func TestAddRemove(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1})
	ctx := context.Background()
	for range 2 {
		if err := p.Add(ctx); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "workers", p.Stats().Ready, 3)
	if err := p.Reload(ctx, Config{NumWorkers: 1}, phpSpec(t)); err != nil {
		t.Fatal(err)
	}
	equal(t, "workers after reload", p.Stats().Ready, 3)
	for range 4 { // the last one stays
		if err := p.Remove(ctx); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "workers", p.Stats().Ready, 1)
	ends := map[worker.Cause]int{}
	for _, c := range r.causes(t, 5) {
		ends[c]++
	}
	equal(t, "reset", ends[worker.Reset], 3)
	equal(t, "removed", ends[worker.Removed], 2)
	p.mu.Lock()
	p.gen.target = MaxWorkers
	p.mu.Unlock()
	err := p.Add(ctx)
	p.mu.Lock()
	p.gen.target = 1
	p.mu.Unlock()
	if !errors.Is(err, ErrWorkersFull) {
		t.Errorf("got %v", err)
	}
}

// Remove waits in the queue for a worker, but is no request: it finds no queue
// full, takes no place in it and is in no metric.
func TestRemoveIsNoRequest(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 2, MaxQueueSize: 1})
	ctx := context.Background()
	busy := newGate(t)
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() { mustDo(t, p, busy.body) })
	}
	eventually(t, "both work", func() bool { return p.Stats().Working == 2 })
	queued := func(n int) {
		t.Helper()
		eventually(t, "the queue", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			i := 0
			for l := p.queue.lines[lineOf(ipc.Normal)].first; l != nil; l = l.next {
				i++
			}
			return i == n
		})
	}
	calls.Go(func() {
		if err := p.Remove(ctx); err != nil {
			t.Error(err)
		}
	})
	queued(1)
	equal(t, "waiting", p.Stats().Waiting, 0)
	calls.Go(func() { mustDo(t, p, "a") }) // there is room for one
	queued(2)
	gone, cancel := context.WithCancel(ctx)
	calls.Go(func() {
		if err := p.Remove(gone); !errors.Is(err, context.Canceled) { // the queue is full, for requests
			t.Error(err)
		}
	})
	queued(3)
	if _, err := do(p, "b"); !errors.Is(err, ipc.ErrQueueFull) {
		t.Errorf("got %v", err)
	}
	cancel()
	queued(2)
	busy.open(t)
	calls.Wait()
	equal(t, "workers", p.Stats().Target, 1)
	equal(t, "cause", r.causes(t, 1)[0], worker.Removed)
	w := p.Waits()
	var waits uint64
	for _, n := range w.Counts {
		waits += n
	}
	equal(t, "waits", waits, 3)
	equal(t, "refused", w.Full, 1)
	equal(t, "late", w.Late+w.GaveUp, 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	equal(t, "active", p.active, 0)
}

func TestProbe(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 1})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := p.Probe(ctx); err != nil {
		t.Error(err)
	}
	done := make(chan struct{})
	busy := newGate(t)
	go func() { defer close(done); mustDo(t, p, busy.body) }()
	eventually(t, "one working", func() bool { return p.Stats().Working == 1 })
	if err := p.Probe(ctx); err != nil { // busy is not broken
		t.Error(err)
	}
	busy.open(t)
	if err := p.Probe(context.Background()); err != nil { // its turn comes
		t.Error(err)
	}
	<-done

	// A dispatcher that has lost its worker is found out.
	p.mu.Lock()
	m := p.queue.take()
	p.gen.live--
	p.gen.target--
	p.mu.Unlock()
	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := p.Probe(ctx); err == nil {
		t.Error("no error")
	}
	p.mu.Lock()
	p.gen.live++
	p.gen.target++
	p.queue.give(m)
	p.mu.Unlock()
}

func TestWorkers(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 2})
	mustPID(t, p)
	done := make(chan struct{})
	go func() { defer close(done); mustDo(t, p, "sleep 300") }()
	eventually(t, "one working", func() bool { return p.Stats().Working == 1 })
	list := p.Workers()
	equal(t, "workers", len(list), 2)
	var busy int
	for _, w := range list {
		if w.PID == 0 || w.Memory < 1<<20 || w.Generation != 1 || time.Since(w.Created) > time.Minute || w.CPUPercent < 0 {
			t.Errorf("%+v", w)
		}
		if w.State == worker.Working {
			busy++
			equal(t, "id", w.Request.ID, "req-sleep 300")
			equal(t, "label", w.Request.Label, "TEST")
			equal(t, "execs", w.Execs, 2)
			if w.RequestAge <= 0 {
				t.Errorf("age %s", w.RequestAge)
			}
		}
	}
	equal(t, "busy", busy, 1)
	<-done
}
