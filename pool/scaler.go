package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/worker"
)

// scaleUp is called by a request that has waited for scaleAfter. Workers are
// added in batches, the next one when the last is ready.
func (p *Pool) scaleUp() {
	p.mu.Lock()
	g := p.gen
	d := g.cfg.DynamicAllocator
	if p.halted || d == nil || g.booting > 0 || time.Now().Before(p.retryAt) {
		p.mu.Unlock()
		return
	}
	n := min(d.SpawnRate, d.MaxWorkers-g.extra, p.queue.waiting, MaxWorkers-g.target)
	if n <= 0 {
		p.mu.Unlock()
		return
	}
	g.target += n
	g.extra += n
	e := Event{Type: Grown, Generation: g.number, Workers: g.target, Waiting: p.queue.waiting}
	p.changed()
	p.mu.Unlock()
	p.emit(e)
}

// scaleDown lets additional workers go that were idle for idle_timeout. Which
// of the workers are the additional ones does not matter: the bottom of the
// stack is what was not needed for longest.
func (p *Pool) scaleDown(now time.Time) {
	p.mu.Lock()
	g := p.gen
	n := p.spare(g, now)
	e := Event{Type: Shrunk, Generation: g.number, Workers: g.target}
	p.mu.Unlock()
	if n > 0 {
		p.emit(e)
	}
}

// spare does it, and returns how many there were. The lock is held.
func (p *Pool) spare(g *generation, now time.Time) (n int) {
	d := g.cfg.DynamicAllocator
	if d == nil {
		return 0
	}
	for most := min(d.SpawnRate, g.extra); n < most && len(p.queue.idle) > 0; n++ {
		m := p.queue.idle[0]
		if now.Sub(m.w.IdleSince()) < d.IdleTimeout {
			break
		}
		g.target--
		g.extra--
		p.retire(m, worker.ScaleDown, m.w.Stop)
	}
	return n
}

// Add starts one more worker. Errors: ErrWorkersFull, or one that wraps a
// *BootError. In debug mode it does nothing.
func (p *Pool) Add(ctx context.Context) error {
	p.mu.Lock()
	g := p.gen
	switch {
	case p.closed || g == nil:
		p.mu.Unlock()
		return errClosed
	case g.cfg.Debug:
		p.mu.Unlock()
		p.log.Warn("cannot add a worker in debug mode: every request has its own")
		return nil
	case g.target >= MaxWorkers:
		p.mu.Unlock()
		return fmt.Errorf("cannot add a worker, there are %d: %w", MaxWorkers, ErrWorkersFull)
	}
	p.starting++
	p.mu.Unlock()
	m, err := p.boot(ctx, g)
	if err != nil {
		return err
	}
	p.mu.Lock()
	if p.halted {
		p.mu.Unlock()
		p.discard(m, worker.Shutdown)
		return errClosed
	}
	p.gen.target++
	if p.gen != g { // reloaded meanwhile: the new generation gets one more
		p.changed()
		p.mu.Unlock()
		p.discard(m, worker.Reset)
		return nil
	}
	p.adopt(m)
	p.queue.give(m)
	p.changed() // a larger pool has more room
	p.mu.Unlock()
	p.started(m)
	return nil
}

// Remove stops one worker, as soon as one is free, at most until ctx ends or
// destroy_timeout. The last worker stays: then, as in debug mode, Remove does
// nothing.
func (p *Pool) Remove(ctx context.Context) error {
	p.mu.Lock()
	g := p.gen
	switch {
	case p.closed || g == nil:
		p.mu.Unlock()
		return errClosed
	case g.cfg.Debug || g.target <= 1:
		p.mu.Unlock()
		p.log.Warn("cannot remove a worker: it is the last, or the pool is in debug mode")
		return nil
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, g.cfg.DestroyTimeout)
	defer cancel()
	m, err := p.withdraw(ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.left()
	m.free()
	if m.gen != p.gen || p.gen.target <= 1 {
		p.putBack(m)
		return nil
	}
	p.gen.target--
	p.gen.extra = min(p.gen.extra, max(0, p.gen.target-1))
	p.retire(m, worker.Removed, m.w.Stop)
	return nil
}

// withdraw takes a worker away from the requests: a free one, or in its turn the next
// that becomes free. It is active until left, as a request is, but it is none: it
// finds no queue full and counts in no metric of waits.
func (p *Pool) withdraw(ctx context.Context) (*member, error) {
	p.mu.Lock()
	if p.halted {
		p.mu.Unlock()
		return nil, errClosed
	}
	p.active++
	if m := p.queue.take(); m != nil {
		p.mu.Unlock()
		return m, nil
	}
	t := p.tickets.get()
	defer p.tickets.put(t)
	t.own, t.line = true, lineOf(ipc.Normal)
	p.queue.push(t)
	p.mu.Unlock()

	var late error
	var m *member
	select {
	case m = <-t.ready:
	case <-ctx.Done():
		late = ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if late != nil && !p.queue.drop(t) {
		m, late = <-t.ready, nil // its turn came at the same moment
	}
	switch {
	case late != nil:
		p.left()
		if errors.Is(late, context.Canceled) {
			return nil, late
		}
		return nil, fmt.Errorf("cannot remove a worker, all are busy: %w", ipc.ErrNoFreeWorkers)
	case m == nil:
		p.left()
		return nil, errClosed
	}
	return m, nil
}
