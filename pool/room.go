package pool

import (
	"context"
	"time"

	"github.com/rr-systemd/rrd/pool/worker"
)

// A pool never has more processes than its workers and reload.surge, or twice
// its workers without it: serving, starting and ending ones together. So its
// memory is bounded while it reloads, and when workers that are replaced often
// (a small max_jobs) take their time to end:
//
//	reload, surge 0   serves ████████ starts ████████     twice the workers
//	reload, surge 2   serves ████████ starts ██           workers + surge
//	slow exits        serves █████    ends   ████████     the others wait
//
// A process takes its place when its start is decided and gives it back when it
// is reaped, or when not even SIGKILL ends it: what hangs in the kernel must not
// stop the pool as well.

// most is the number of processes that the pool may have. The lock is held, as
// for the following.
func (p *Pool) most() int {
	n := max(p.gen.target, p.gen.full)
	most := 2 * n
	if surge := p.gen.cfg.surge(); surge > 0 {
		most = n + surge
	}
	if p.ceiling > 0 {
		most = min(most, p.ceiling)
	}
	return most
}

// mostWith is the same while the pool reloads to g, which has n workers.
func (p *Pool) mostWith(g *generation, n int) int {
	now := max(p.gen.target, p.gen.full)
	if surge := g.cfg.surge(); surge > 0 {
		return max(n, now) + surge
	}
	return n + now
}

// crowd is the number of processes that the pool has.
func (p *Pool) crowd() int { return len(p.members) - p.stuck + p.starting }

// ending reports whether a process is about to give its place back.
func (p *Pool) ending() bool {
	for m := range p.members {
		if m.gone && !m.stuck {
			return true
		}
	}
	return false
}

// giveUpOn is called when all was done to end m.
func (p *Pool) giveUpOn(m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.members[m]; !ok || m.stuck {
		return
	}
	m.stuck = true
	p.stuck++
	p.changed()
}

// claim takes the places of n processes.
func (p *Pool) claim(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting += n
}

// unclaim gives the place of a process back that did not become a member.
func (p *Pool) unclaim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting--
	p.changed()
}

// changed is called when a process has given its place back, or the pool has become
// larger: there is more room.
func (p *Pool) changed() {
	p.reconcile()
	select {
	case p.shrunk <- struct{}{}:
	default:
	}
}

// awaitRoom takes the places of least to want processes for a reload to g, which
// has n workers, and returns how many. It comes before all replacements. Requests
// that keep workers of old generations busy are waited for at most for
// reset_timeout.
func (p *Pool) awaitRoom(ctx context.Context, g *generation, n, least, want int) (int, error) {
	limit := time.NewTimer(g.cfg.ResetTimeout)
	defer limit.Stop()
	defer func() {
		p.mu.Lock()
		p.ceiling = 0
		p.reconcile()
		p.mu.Unlock()
	}()
	for {
		p.mu.Lock()
		most := p.mostWith(g, n)
		p.ceiling = max(1, most-least)
		if room := most - p.crowd(); room >= least {
			room = min(room, want)
			p.starting += room
			p.mu.Unlock()
			return room, nil
		}
		p.mu.Unlock()
		select {
		case <-p.shrunk:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-limit.C:
			p.endOld(g)
			limit.Reset(worker.StopLimit)
		}
	}
}

// endOld ends the requests for whose workers a reload to g has waited too long.
func (p *Pool) endOld(g *generation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range p.members {
		old := m.gen
		if m.busy && old != g && old.retired && (!old.rolling || old.live > old.target) {
			p.retire(m, worker.Reset, m.w.Terminate)
		}
	}
}
