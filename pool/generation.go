package pool

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/rr-systemd/rrd/pool/worker"
)

// parallelBoots bounds how many workers of a pool start at one time. More do
// not get ready sooner, but a reload would need their memory all at once.
const parallelBoots = 32

// generation is the workers that were started with one configuration and one
// release of the code. Its counters are guarded by Pool.mu.
type generation struct {
	number uint64
	cfg    Config
	spec   worker.Spec

	target  int // workers wanted
	full    int // target at the end of the roll that is under way, else 0
	extra   int // those of target that the dynamic allocator added
	live    int // members that are not gone
	booting int

	// vacant has an entry for each worker that is gone and not yet replaced,
	// so that its successor can tell why it is there.
	vacant []*lastEnd

	// rolling: it serves beside the next generation, and shrinks to target;
	// wanted is the target before.
	rolling bool
	wanted  int

	retired bool
	drained chan struct{} // closed when a retired generation has no live member
}

// newGeneration fixes what its workers share. Symbolic links in the working
// directory are resolved here, once, so that a worker replaced later runs the
// same release as its siblings, and the next generation the new one.
func newGeneration(number uint64, cfg Config, spec worker.Spec) (*generation, error) {
	cfg.Defaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("pool.%w", err)
	}
	if spec.Dir != "" {
		dir, err := filepath.EvalSymlinks(spec.Dir)
		if err != nil {
			return nil, fmt.Errorf("cannot resolve the working directory %s of the workers: %w", spec.Dir, err)
		}
		spec.Dir = dir
	}
	spec.Generation = number
	g := &generation{number: number, cfg: cfg, spec: spec, target: max(0, int(cfg.NumWorkers)), drained: make(chan struct{})}
	if cfg.Debug {
		g.target = 0
	}
	return g, nil
}

// joined counts a new member. The lock is held, as for the following.
func (g *generation) joined(m *member) {
	g.live++
	if len(g.vacant) > 0 {
		m.before, g.vacant = g.vacant[0], g.vacant[1:]
	}
	if g.live >= g.target {
		g.vacant = nil
	}
}

// left counts a member that is gone.
func (g *generation) left(m *member) {
	g.live--
	if !g.cfg.Debug && len(g.vacant) < g.target {
		g.vacant = append(g.vacant, m.end)
	}
	g.check()
}

// check closes drained when it is time.
func (g *generation) check() {
	if g.retired && g.live == 0 {
		select {
		case <-g.drained:
		default:
			close(g.drained)
		}
	}
}

// boot starts one worker of g, within allocate_timeout. The caller has counted
// it in p.starting, where it stays until it is adopted or discarded.
func (p *Pool) boot(ctx context.Context, g *generation) (*member, error) {
	m, err := p.tryBoot(ctx, g)
	if err != nil {
		p.unclaim()
	}
	return m, err
}

func (p *Pool) tryBoot(ctx context.Context, g *generation) (*member, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, allocateError(ctx.Err())
	case <-p.ctx.Done():
		return nil, errClosed
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.AllocateTimeout)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	leaf, err := p.cgroup.Leaf(p.leaves.Add(1), g.cfg.Limits)
	if err != nil {
		return nil, allocateError(err)
	}
	spec := g.spec
	spec.Leaf, spec.Rlimits = leaf, g.cfg.Limits.Rlimits
	w, err := p.spawner.Boot(ctx, &spec)
	if err != nil {
		_ = leaf.Close()
		if p.ctx.Err() != nil {
			return nil, errClosed
		}
		return nil, allocateError(err)
	}
	return newMember(w, g), nil
}

// bootAll starts n workers, all or none, for which there is room. The error is
// that of the first that failed.
func (p *Pool) bootAll(ctx context.Context, g *generation, n int) ([]*member, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	ready := make([]*member, 0, n)
	for range n {
		wg.Go(func() {
			m, err := p.boot(ctx, g)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				ready = append(ready, m)
				return
			}
			if first == nil {
				first = err
				cancel()
			}
		})
	}
	wg.Wait()
	if first == nil {
		return ready, nil
	}
	for _, m := range ready {
		wg.Go(func() { p.discard(m, worker.BootFailed) })
	}
	wg.Wait()
	return nil, first
}

// bootGeneration starts all workers of g. With num_workers: auto the first one
// is measured before the others.
func (p *Pool) bootGeneration(ctx context.Context, g *generation) ([]*member, error) {
	if g.cfg.NumWorkers != Auto || g.cfg.Debug {
		p.claim(g.target)
		return p.bootAll(ctx, g, g.target)
	}
	p.claim(1)
	first, err := p.boot(ctx, g)
	if err != nil {
		return nil, err
	}
	p.resize(g, first)
	p.claim(g.target - 1)
	rest, err := p.bootAll(ctx, g, g.target-1)
	if err != nil {
		p.discard(first, worker.BootFailed)
		return nil, err
	}
	return append(rest, first), nil
}

// discard stops a worker that never joined the pool.
func (p *Pool) discard(m *member, cause worker.Cause) {
	m.w.Doom(cause)
	m.w.Stop()
	m.close()
	p.unclaim()
}
