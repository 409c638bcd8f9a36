package pool

import (
	"context"
	"errors"
	"time"

	"github.com/rr-systemd/rrd/pool/worker"
)

// Run checks the limits of the workers every watch_tick and removes workers
// that are not needed any more, until ctx is done. Dead workers are replaced
// without it.
func (p *Pool) Run(ctx context.Context) error {
	for {
		p.mu.Lock()
		g := p.gen
		p.mu.Unlock()
		if g == nil {
			return errors.New("cannot run the pool: it was not started")
		}
		t := time.NewTimer(g.cfg.tick())
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-p.ctx.Done():
			t.Stop()
			return nil
		case <-p.retune:
			t.Stop()
		case now := <-t.C:
			p.supervise(now)
			p.scaleDown(now)
		}
	}
}

// tick is the interval of Run.
func (c *Config) tick() time.Duration {
	tick := time.Minute
	if c.Supervisor != nil {
		tick = min(tick, c.Supervisor.WatchTick)
	}
	if c.DynamicAllocator != nil {
		tick = min(tick, c.DynamicAllocator.IdleTimeout/2)
	}
	return tick
}

// supervise lets workers go that have passed a limit: free ones at once, busy
// ones when they have answered. Workers that started together reach ttl
// together, so in one tick at most a quarter of the pool goes for its age; too
// much memory allows no delay.
func (p *Pool) supervise(now time.Time) {
	p.mu.Lock()
	quota := max(1, p.gen.target/4)
	all := make([]*member, 0, len(p.members))
	for m := range p.members {
		if !m.gone && m.gen.cfg.Supervisor != nil {
			all = append(all, m)
		}
	}
	p.mu.Unlock()
	for _, m := range all {
		cause := m.limit(now) // reads /proc: without the lock
		if cause == worker.NoCause || m.w.Cause() != worker.NoCause {
			continue
		}
		if cause != worker.Memory {
			if quota == 0 {
				continue
			}
			quota--
		}
		p.mu.Lock()
		switch {
		case m.gone:
		case m.idle:
			p.retire(m, cause, m.w.Stop)
		case cause != worker.IdleTTL:
			m.w.Doom(cause)
		}
		p.mu.Unlock()
	}
}

// limit is the first limit that the worker has passed, in RoadRunner's order.
func (m *member) limit(now time.Time) worker.Cause {
	s := m.gen.cfg.Supervisor
	switch {
	case s.TTL > 0 && now.Sub(m.w.Created()) >= s.TTL:
		return worker.TTL
	case m.overMemory():
		return worker.Memory
	case s.IdleTTL > 0 && m.w.State() == worker.Ready && !m.w.LastUsed().IsZero() && now.Sub(m.w.LastUsed()) >= s.IdleTTL:
		return worker.IdleTTL
	}
	return worker.NoCause
}
