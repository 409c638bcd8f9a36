package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/worker"
)

// scaleAfter is the wait of a request that shows a want of workers.
const scaleAfter = 50 * time.Millisecond

// acquire gets a worker for a request. The request then counts as active, until
// leave; again says that it already does. On error it is not active any more.
func (p *Pool) acquire(ctx context.Context, payload *ipc.Payload, again bool) (*member, error) {
	if err := ctx.Err(); err != nil {
		if again {
			p.leave()
		}
		return nil, p.gaveUp(err, 0)
	}
	p.mu.Lock()
	if !again {
		if p.closed || p.gen == nil {
			p.mu.Unlock()
			return nil, errClosed
		}
		p.active++
	}
	if p.halted {
		p.left()
		p.mu.Unlock()
		return nil, errClosed
	}
	g := p.gen
	if g.cfg.Debug {
		if p.crowd() >= MaxWorkers {
			p.left()
			p.mu.Unlock()
			return nil, noFreeWorkers(0, nil)
		}
		p.starting++
		p.mu.Unlock()
		return p.acquireFresh(ctx, g)
	}
	if m := p.queue.take(); m != nil {
		p.mu.Unlock()
		p.waits.none()
		return m, nil
	}
	limit := shorter(g.cfg.AllocateTimeout, payload.Wait)
	if most := g.cfg.MaxQueueSize; !again && (most > 0 && p.queue.waiting >= most || !payload.Line.Enter()) {
		p.left()
		p.mu.Unlock()
		p.waits.full.Add(1)
		return nil, queueFull()
	}
	t := p.tickets.get()
	t.line = lineOf(payload.Priority)
	if again {
		p.queue.pushFront(t)
	} else {
		p.queue.push(t)
		defer payload.Line.Leave()
	}
	p.mu.Unlock()
	return p.wait(ctx, t, limit, g.cfg.DynamicAllocator != nil)
}

// wait waits for t's turn, at most limit.
func (p *Pool) wait(ctx context.Context, t *ticket, limit time.Duration, scale bool) (*member, error) {
	defer p.tickets.put(t)
	start := time.Now()
	pause := limit
	if scale {
		pause = min(pause, scaleAfter)
	}
	t.timer.Reset(pause)
	var late error
	for {
		select {
		case m := <-t.ready:
			if m == nil {
				p.leave()
				return nil, errClosed
			}
			p.waits.add(time.Since(start))
			return m, nil
		case <-ctx.Done():
			late = ctx.Err()
		case <-t.timer.C:
			if left := limit - time.Since(start); left > 0 {
				p.scaleUp()
				t.timer.Reset(min(left, scaleAfter))
				continue
			}
		}
		break
	}
	p.mu.Lock()
	if p.queue.drop(t) {
		p.left()
		p.mu.Unlock()
		return nil, p.gaveUp(late, time.Since(start))
	}
	p.mu.Unlock()
	m := <-t.ready // its turn came at the same moment
	if m != nil && late == nil {
		p.waits.add(time.Since(start))
		return m, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left()
	if m == nil {
		return nil, errClosed
	}
	p.putBack(m)
	return nil, p.gaveUp(late, time.Since(start))
}

// gaveUp is the error of a request that got no worker: its context ended, or
// (late is nil) allocate_timeout passed.
func (p *Pool) gaveUp(late error, waited time.Duration) error {
	if errors.Is(late, context.Canceled) {
		p.waits.gaveUp.Add(1)
		return fmt.Errorf("static_pool_exec: %w", late)
	}
	p.waits.late.Add(1)
	return noFreeWorkers(waited, late)
}

// release takes back a worker that has answered.
func (p *Pool) release(m *member) {
	if cause := m.overdue(); cause != worker.NoCause {
		m.w.Doom(cause)
	}
	m.w.End()
	p.mu.Lock()
	p.putBack(m)
	p.left()
	p.mu.Unlock()
}

// putBack makes a worker free that nobody uses any more. The lock is held.
func (p *Pool) putBack(m *member) {
	m.free()
	switch cause := m.w.Cause(); {
	case m.gone:
	case cause != worker.NoCause:
		p.retire(m, cause, m.w.Stop)
	case m.gen != p.gen && (!m.gen.rolling || m.gen.live > m.gen.target):
		p.retire(m, worker.Reset, m.w.Stop)
	case p.halted:
		p.retire(m, worker.Shutdown, m.w.Stop)
	default:
		p.queue.give(m)
	}
}

// leave is called when a request has come to its end.
func (p *Pool) leave() {
	p.mu.Lock()
	p.left()
	p.mu.Unlock()
}

func (p *Pool) left() {
	p.active--
	p.checkDrained()
}

// acquireFresh starts a worker for one request: debug mode.
func (p *Pool) acquireFresh(ctx context.Context, g *generation) (*member, error) {
	m, err := p.boot(ctx, g)
	if err != nil {
		p.leave()
		return nil, err
	}
	p.mu.Lock()
	if p.halted {
		p.left()
		p.mu.Unlock()
		p.discard(m, worker.Shutdown)
		return nil, errClosed
	}
	p.adopt(m)
	m.busy = true
	p.mu.Unlock()
	p.started(m)
	return m, nil
}

// Probe takes a place in the queue and waits for its turn, without taking a
// worker. It fails if dispatch makes no progress: a worker is free while
// requests wait, or there is neither a worker nor an attempt to get one. That
// all workers are busy until ctx ends is no failure.
func (p *Pool) Probe(ctx context.Context) error {
	p.mu.Lock()
	if p.halted || p.gen == nil {
		p.mu.Unlock()
		return errClosed
	}
	if len(p.queue.idle) > 0 && p.queue.first() == nil || p.gen.cfg.Debug {
		p.mu.Unlock()
		return nil
	}
	t := p.tickets.get()
	t.probe, t.line = true, lineOf(ipc.Normal)
	p.queue.push(t)
	p.mu.Unlock()
	defer p.tickets.put(t)
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.queue.drop(t) {
		<-t.ready
		return nil
	}
	g := p.gen
	switch {
	case len(p.queue.idle) > 0:
		return fmt.Errorf("pool %s: %d requests wait while %d workers are free", p.name, p.queue.waiting, len(p.queue.idle))
	case g.live == 0 && g.booting == 0 && !p.retrying && !p.halted && p.starting == 0 && !p.ending():
		return fmt.Errorf("pool %s: there is no worker and none is being started", p.name)
	}
	return nil
}

var _ ipc.Executor = (*Pool)(nil)
