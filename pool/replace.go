package pool

import (
	"strings"
	"time"

	"github.com/rr-systemd/rrd/pool/worker"
)

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
	// earlyDeath is the age below which a worker that crashed without having
	// served anything counts as a failed start.
	earlyDeath = time.Second
)

// reconcile starts as many workers as are missing, and there is room for. It is
// called whenever a count has changed; the lock is held. After a failed start it waits for
// retryAt, so that code that does not boot costs no CPU. The pool never gives
// up: requests wait in the queue until allocate_timeout.
func (p *Pool) reconcile() {
	g := p.gen
	if p.halted || g == nil {
		return
	}
	missing := min(g.target-g.live-g.booting, p.most()-p.crowd())
	if missing <= 0 {
		return
	}
	if pause := time.Until(p.retryAt); pause > 0 {
		if !p.retrying {
			p.retrying = true
			p.wg.Go(func() { p.retryAfter(pause) })
		}
		return
	}
	for range missing {
		g.booting++
		p.starting++
		p.wg.Go(func() { p.replace(g) })
	}
}

func (p *Pool) retryAfter(pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.ctx.Done():
	}
	p.mu.Lock()
	p.retrying = false
	p.reconcile()
	p.mu.Unlock()
}

// replace starts one worker of g.
func (p *Pool) replace(g *generation) {
	m, err := p.boot(p.ctx, g)
	p.mu.Lock()
	g.booting--
	if err != nil {
		if g == p.gen && g.extra > 0 {
			// Not worth to insist on: the next waiting request asks again.
			g.extra--
			g.target--
		}
		quiet := p.halted || g != p.gen
		if !quiet {
			p.crashes.failed(time.Now(), g.target)
			p.crashes.why = "a start: " + firstLine(err.Error())
			p.slowDown()
		}
		pause := p.backoff
		p.reconcile()
		p.mu.Unlock()
		if !quiet {
			p.emit(Event{Type: WorkerFailed, Generation: g.number, Cause: worker.BootFailed, Err: err, Retry: pause})
		}
		return
	}
	if p.halted || g != p.gen || g.live >= g.target {
		p.reconcile()
		p.mu.Unlock()
		p.discard(m, worker.Reset)
		return
	}
	p.succeeded = time.Now()
	p.adopt(m)
	p.queue.give(m)
	p.mu.Unlock()
	p.started(m)
}

// slowDown makes the next start wait, longer each time.
func (p *Pool) slowDown() {
	now := time.Now()
	if now.Before(p.retryAt) {
		return // several starts of one attempt failed: that is one failure
	}
	if p.succeeded.After(p.retryAt) && now.Sub(p.succeeded) >= earlyDeath {
		p.backoff = 0
	}
	p.backoff = min(max(2*p.backoff, minBackoff), maxBackoff)
	p.retryAt = now.Add(p.backoff)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
