package pool

import (
	"context"
	"fmt"
	"time"

	"github.com/rr-systemd/rrd/pool/worker"
)

// roll exchanges the workers in steps of reload.surge, so that at no time there
// are more than surge processes beyond the wanted number:
//
//	old  ████████      ████████      ██████        ████              ──
//	new                ██ staged     ██ serve      ████       ...    ████████
//	                                 two old ones  the next two
//	                                 end           boot
//
// If a step fails, the pool rolls back: the old generation is completed again and
// the new workers end. ready is the first step of those to n workers.
func (p *Pool) roll(ctx context.Context, g *generation, ready []*member, n int) error {
	p.mu.Lock()
	old := p.gen // only a reload changes it, and this is the only one
	p.mu.Unlock()
	if !p.takeOver(g, old, ready, n) {
		return errClosed
	}
	p.retuned()
	for done := len(ready); done < n; {
		room, err := p.awaitRoom(ctx, g, n, 1, min(g.cfg.surge(), n-done))
		if err == nil {
			ready, err = p.bootAll(ctx, g, room)
		}
		if err != nil {
			p.rollBack(g, old)
			return fmt.Errorf("rolled back after %d of %d workers: %w", done, n, err)
		}
		done += len(ready)
		if !p.takeOver(g, old, ready, n) {
			return errClosed
		}
	}
	p.mu.Lock()
	g.full, old.rolling = 0, false
	p.retireIdle(old, old.live)
	old.check()
	if !p.halted {
		p.wg.Go(func() { p.drain(old, g.cfg.ResetTimeout) })
	}
	p.mu.Unlock()
	return nil
}

func (p *Pool) discardAll(ready []*member) {
	done := make(chan struct{}, len(ready))
	for _, m := range ready {
		go func() {
			p.discard(m, worker.Reset)
			done <- struct{}{}
		}()
	}
	for range ready {
		<-done
	}
}

// takeOver lets new workers serve and as many old ones end as are too many then.
func (p *Pool) takeOver(g, old *generation, ready []*member, n int) bool {
	replaced := new(lastEnd)
	replaced.cause.Store(uint32(worker.Reset))
	p.mu.Lock()
	if p.halted {
		p.mu.Unlock()
		p.discardAll(ready)
		return false
	}
	if p.gen == old { // the first step
		ready = p.trim(g, ready, n)
		old.retired, old.rolling, old.wanted = true, true, old.target
		g.target, g.full, p.gen = 0, n, g
		p.backoff, p.retryAt = 0, time.Time{}
	}
	g.target += len(ready)
	for _, m := range ready {
		p.adopt(m)
		m.before = replaced
		p.queue.give(m)
	}
	old.target = max(0, min(old.target, n-g.target))
	p.retireIdle(old, old.live-old.target)
	p.reconcile()
	p.mu.Unlock()
	for _, m := range ready {
		p.started(m)
	}
	return true
}

// retireIdle lets up to n free workers of g go, those first that were not used
// for longest. The lock is held.
func (p *Pool) retireIdle(g *generation, n int) {
	for i := 0; i < len(p.queue.idle) && n > 0; {
		m := p.queue.idle[i]
		if m.gen != g {
			i++
			continue
		}
		p.retire(m, worker.Reset, m.w.Stop) // takes it out of idle
		n--
	}
}

// rollBack makes the old generation the one that serves again.
func (p *Pool) rollBack(g, old *generation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.halted {
		return
	}
	old.retired, old.rolling, old.target = false, false, old.wanted
	old.drained = make(chan struct{})
	g.retired = true
	p.gen, g.full = old, 0
	p.retireIdle(g, g.live)
	g.check()
	p.reconcile()
	p.retuned()
	p.wg.Go(func() { p.drain(g, g.cfg.ResetTimeout) })
}

func (p *Pool) retuned() {
	select {
	case p.retune <- struct{}{}:
	default:
	}
}
