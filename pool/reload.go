package pool

import (
	"context"
	"fmt"
	"time"

	"github.com/rr-systemd/rrd/pool/worker"
)

// reloadCall is one reload, with all callers that share it.
type reloadCall struct {
	cfg  Config
	spec worker.Spec
	done chan struct{}
	err  error
}

// Reload replaces all workers. The new generation is started beside the old
// one, takes over at once when all of it is ready, and the old workers end when
// they have answered, at the latest after reset_timeout. With reload.surge it takes over in steps; see roll. If a new
// worker does not boot, the old generation serves on and the error wraps its
// *BootError. Several pools reload together by Stage.
//
// A call during a reload shares one that begins after it, with the newest
// configuration: what ran before may have read the old code. The reload goes
// on when ctx ends; only the wait for it ends.
func (p *Pool) Reload(ctx context.Context, cfg Config, spec worker.Spec) error {
	p.mu.Lock()
	if p.closed || p.gen == nil {
		p.mu.Unlock()
		return errClosed
	}
	if p.next == nil {
		p.next = &reloadCall{done: make(chan struct{})}
	}
	call := p.next
	call.cfg, call.spec = cfg, spec
	if !p.reloading {
		p.reloading = true
		p.wg.Go(p.reloadLoop)
	}
	p.mu.Unlock()
	select {
	case <-call.done:
		return call.err
	case <-ctx.Done():
		return fmt.Errorf("the reload of pool %s goes on: %w", p.name, ctx.Err())
	}
}

func (p *Pool) reloadLoop() {
	for {
		p.mu.Lock()
		call := p.next
		p.next = nil
		if call == nil {
			p.reloading = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		call.err = p.reload(p.ctx, call.cfg, call.spec)
		close(call.done)
	}
}

// reload is a whole reload of this pool alone.
func (p *Pool) reload(ctx context.Context, cfg Config, spec worker.Spec) error {
	s, err := p.Stage(ctx, cfg, spec)
	if err != nil {
		return err
	}
	return s.Commit(ctx)
}

// exchange lets the workers of g, which are ready, take over at once.
func (p *Pool) exchange(g *generation, ready []*member) error {
	p.mu.Lock()
	if p.halted {
		p.mu.Unlock()
		p.discardAll(ready)
		return errClosed
	}
	old := p.gen
	old.retired = true
	g.keepSize(old) // workers may have been added or removed meanwhile
	ready = p.trim(g, ready, g.target)
	p.gen = g
	p.backoff, p.retryAt = 0, time.Time{}
	replaced := new(lastEnd)
	replaced.cause.Store(uint32(worker.Reset))
	for _, m := range ready {
		p.adopt(m)
		m.before = replaced
	}
	free := p.queue.idle
	p.queue.idle = nil
	for _, m := range ready {
		p.queue.give(m)
	}
	for _, m := range free {
		m.idle = false
		p.retire(m, worker.Reset, m.w.Stop)
	}
	old.check()
	p.reconcile()
	p.wg.Go(func() { p.drain(old, g.cfg.ResetTimeout) })
	p.mu.Unlock()
	for _, m := range ready {
		p.started(m)
	}
	p.retuned()
	return nil
}

// trim ends those of the workers that booted for g which are more than n, and returns
// the others. The lock is held and the pool is not halted.
func (p *Pool) trim(g *generation, ready []*member, n int) []*member {
	if g.cfg.Debug || len(ready) <= n {
		return ready
	}
	surplus := ready[n:]
	p.wg.Go(func() { p.discardAll(surplus) })
	return ready[:n]
}

// keepSize keeps workers that were added or removed by hand, unless the
// configured number has changed.
func (g *generation) keepSize(old *generation) {
	if !g.cfg.Debug && !old.cfg.Debug && g.cfg.NumWorkers == old.cfg.NumWorkers && g.cfg.NumWorkers != Auto {
		g.target = old.target - old.extra
	}
}

// drain waits until the busy workers of an old generation have answered, and
// ends those that have not within limit.
func (p *Pool) drain(old *generation, limit time.Duration) {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-old.drained:
		return
	case <-p.ctx.Done():
		return
	case <-t.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range p.members {
		if m.gen == old {
			p.retire(m, worker.Reset, m.w.Terminate)
		}
	}
}
