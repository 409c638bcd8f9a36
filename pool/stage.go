package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rr-systemd/rrd/pool/worker"
)

// Staged is a reload half way: the first workers of the new generation have booted
// and outlived reload.warmup, and nothing has changed for anybody. So several pools
// take new code together:
//
//	Stage ──► staged ──► Commit ──► the new generation serves ──► Undo
//	              │           └───► the old one serves on (rolled back)
//	              └────► Discard
//
// Without reload.surge the first workers are all of them, and Commit only hands
// over: it fails only when the pool is stopped. With surge they are the first step,
// because the memory for more is what surge saves; what fails in a later step rolls
// this pool back, and other pools by Undo.
//
// It is for one goroutine, which has to call Commit or Discard: until then no
// other reload of the pool begins.
type Staged struct {
	p      *Pool
	g      *generation
	before *generation
	ready  []*member // the first workers
	begin  time.Time
	spent  time.Duration // of reload.timeout
	debug  bool
}

// Stage boots the first workers of a new generation. On error, which wraps a
// *BootError if it was a worker's fault, nothing is left of it. When ctx is canceled the
// error is its cause.
func (p *Pool) Stage(ctx context.Context, cfg Config, spec worker.Spec) (*Staged, error) {
	select {
	case p.reloads <- struct{}{}:
	case <-p.ctx.Done():
		return nil, errClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	if p.closed || p.gen == nil {
		p.mu.Unlock()
		<-p.reloads
		return nil, errClosed
	}
	s := &Staged{p: p, before: p.gen, begin: time.Now()}
	p.numbers++
	number := p.numbers
	p.mu.Unlock()
	var err error
	if s.g, err = newGeneration(number, cfg, spec); err == nil {
		s.debug = s.g.cfg.Debug || s.before.cfg.Debug
		err = s.bounded(ctx, s.boot)
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(err, context.Canceled) && cause != nil {
		err = cause
	}
	if err != nil {
		s.over(number, err)
		return nil, err
	}
	s.spent = time.Since(s.begin)
	return s, nil
}

// Commit lets the new generation take over. On error the old one serves on.
func (s *Staged) Commit(ctx context.Context) error {
	err := s.alive("before it served")
	if err != nil {
		s.p.discardAll(s.ready)
	} else {
		begin := time.Now()
		err = s.bounded(ctx, func(ctx context.Context) error {
			if s.Rolls() {
				return s.p.roll(ctx, s.g, s.ready, s.size())
			}
			return s.p.exchange(s.g, s.ready)
		})
		s.spent += time.Since(begin)
	}
	s.over(s.g.number, err)
	return err
}

// Rolls tells whether workers are still to boot in Commit, which may fail.
func (s *Staged) Rolls() bool { return s.g.cfg.surge() > 0 && !s.debug }

// Dirs are the working folders of the workers of both generations, their links
// resolved.
func (s *Staged) Dirs() (before, after string) { return s.before.spec.Dir, s.g.spec.Dir }

// Discard ends the new workers; why is for the event.
func (s *Staged) Discard(why error) {
	s.p.discardAll(s.ready)
	s.over(s.g.number, why)
}

// Undo replaces the workers once more, after Commit, with the configuration and in
// the folder of those before it. On error the new ones serve on.
func (s *Staged) Undo(ctx context.Context) error {
	return s.p.reload(ctx, s.before.cfg, s.before.spec)
}

// over is the end of every reload.
func (s *Staged) over(number uint64, err error) {
	e := Event{Type: Reloaded, Generation: number, Took: s.spent, Err: err}
	if err != nil {
		e.Type, e.Took = ReloadFailed, time.Since(s.begin)
	}
	s.ready = nil
	<-s.p.reloads
	s.p.emit(e)
}

// size is how many workers the new generation is to have.
func (s *Staged) size() int {
	p, g := s.p, s.g
	if g.cfg.NumWorkers == Auto && !g.cfg.Debug && s.ready == nil {
		p.resize(g, nil)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g.keepSize(p.gen)
	return g.target
}

// boot boots the first workers, which are still there after reload.warmup.
func (s *Staged) boot(ctx context.Context) error {
	p, g, n := s.p, s.g, s.size()
	least, want := n, n
	if s.Rolls() {
		least, want = 1, min(g.cfg.surge(), n)
	}
	if s.debug {
		p.claim(n)
	} else {
		var err error
		if want, err = p.awaitRoom(ctx, g, n, least, want); err != nil {
			return fmt.Errorf("there was no room for new workers beside those that run or end: %w", err)
		}
	}
	var err error
	if s.ready, err = p.bootAll(ctx, g, want); err != nil || g.cfg.warmup() == 0 {
		return err
	}
	t := time.NewTimer(g.cfg.warmup())
	defer t.Stop()
	select {
	case <-t.C:
		err = s.alive("within reload.warmup")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		p.discardAll(s.ready)
	}
	return err
}

// alive is the error of the first of the workers that has ended before it served.
func (s *Staged) alive(when string) error {
	for _, m := range s.ready {
		select {
		case <-m.w.Done():
			return allocateError(&BootError{
				Text: "a new worker ended " + when + ": " + m.w.Exit().String(),
				Argv: s.g.spec.Argv, Dir: s.g.spec.Dir, Exit: m.w.Exit(), Stderr: m.w.StderrTail(),
			})
		default:
		}
	}
	return nil
}

// bounded runs a part of the reload within what is left of reload.timeout, and
// puts that limit into its error. The wait for other pools between two parts does
// not count.
func (s *Staged) bounded(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.p.ctx, cancel)()
	limit := s.g.cfg.reloadTimeout()
	if limit == 0 {
		return f(ctx)
	}
	ctx, stop := context.WithTimeout(ctx, limit-s.spent)
	defer stop()
	err := f(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("reload.timeout of %s passed: %w", limit, err)
	}
	return err
}
