package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rr-systemd/rrd/pool/worker"
)

// roll exchanges the workers in steps of reload.surge, so that at no time there
// are more than surge processes beyond the wanted number:
//
//	old  ████████      ████████      ██████        ████              ──
//	new                ██ boot       ██ serve      ████       ...    ████████
//	               first step,    two old ones   the next two
//	               warmup         end            boot
//
// Nothing changes before the first step has booted and outlived reload.warmup.
// If a later step fails, the pool rolls back: the old generation is completed
// again and the new workers end.
func (p *Pool) roll(ctx context.Context, g *generation, n int) error {
	surge := g.cfg.surge()
	ready, err := p.bootWarm(ctx, g, min(surge, n))
	if err != nil {
		return err
	}
	p.mu.Lock()
	old := p.gen // only a reload changes it, and this is the only one
	p.mu.Unlock()
	if !p.takeOver(g, old, ready, n) {
		return errClosed
	}
	p.retuned()
	for done := len(ready); done < n; {
		room, err := p.awaitRoom(ctx, g, old, n+surge)
		if err == nil {
			ready, err = p.bootAll(ctx, g, min(surge, n-done, room))
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
	old.rolling = false
	p.retireIdle(old, old.live)
	old.check()
	if !p.halted {
		p.wg.Go(func() { p.drain(old, g.cfg.ResetTimeout) })
	}
	p.mu.Unlock()
	return nil
}

// bootWarm boots n workers that are still there after reload.warmup.
func (p *Pool) bootWarm(ctx context.Context, g *generation, n int) ([]*member, error) {
	ready, err := p.bootAll(ctx, g, n)
	if err != nil || g.cfg.warmup() == 0 {
		return ready, err
	}
	t := time.NewTimer(g.cfg.warmup())
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		p.discardAll(ready)
		return nil, ctx.Err()
	}
	for _, m := range ready {
		select {
		case <-m.w.Done():
			err := &BootError{
				Text: "a new worker ended within reload.warmup: " + m.w.Exit().String(),
				Argv: g.spec.Argv, Dir: g.spec.Dir, Exit: m.w.Exit(), Stderr: m.w.StderrTail(),
			}
			p.discardAll(ready)
			return nil, allocateError(err)
		default:
		}
	}
	return ready, nil
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
		old.retired, old.rolling, old.wanted = true, true, old.target
		g.target, p.gen = 0, g
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

// awaitRoom waits until fewer than most processes are there, and returns how
// many are missing. Requests that keep old workers busy are waited for at most
// reset_timeout.
func (p *Pool) awaitRoom(ctx context.Context, g, old *generation, most int) (int, error) {
	limit := time.NewTimer(g.cfg.ResetTimeout)
	defer limit.Stop()
	for {
		p.mu.Lock()
		room := most - g.booting
		for m := range p.members {
			// Those that end for another reason come and go at any time: to
			// wait for them might never end.
			if !m.gone || m.w.Cause() == worker.Reset {
				room--
			}
		}
		p.mu.Unlock()
		if room > 0 {
			return room, nil
		}
		select {
		case <-p.shrunk:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-limit.C:
			p.mu.Lock()
			for m := range p.members {
				if m.gen == old && m.busy && old.live > old.target {
					p.retire(m, worker.Reset, m.w.Terminate)
				}
			}
			p.mu.Unlock()
			limit.Reset(worker.StopLimit)
		}
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
	p.gen = old
	p.retireIdle(g, g.live)
	g.check()
	p.reconcile()
	p.retuned()
	p.wg.Go(func() { p.drain(g, g.cfg.ResetTimeout) })
}

// bounded limits a reload by reload.timeout, and puts that into its error.
func (p *Pool) bounded(cfg *Config, f func(context.Context) error) error {
	limit := cfg.reloadTimeout()
	if limit == 0 {
		return f(p.ctx)
	}
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	err := f(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("reload.timeout of %s passed: %w", limit, err)
	}
	return err
}

func (p *Pool) retuned() {
	select {
	case p.retune <- struct{}{}:
	default:
	}
}
