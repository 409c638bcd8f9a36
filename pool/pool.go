// Package pool runs payloads on a set of worker processes: it hands them out,
// replaces those that end, and exchanges all of them on reload.
package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool/cgroup"
	"github.com/rr-systemd/rrd/pool/worker"
)

// Options is what New needs.
type Options struct {
	Name    string // for logs and events: http, jobs, ...
	Config  Config
	Spec    worker.Spec
	Spawner *worker.Spawner // not owned; it must outlive the pool
	Cgroup  *cgroup.Pool    // nil: no control groups
	// Budget is what the service may use, for num_workers: auto; nil: all
	// processors of the machine, and no limit of memory.
	Budget func() cgroup.Budget
	Log    *slog.Logger // nil: no logs
	// OnEvent is called by the goroutine in which something happened, and
	// should be quick; nil for nobody.
	OnEvent func(Event)
}

// Pool is a set of workers. All methods are safe for concurrent use.
//
// It has one lock, which is never held over a system call that can wait, and no
// goroutine of its own on the way of a request. Goroutines: one per worker that
// awaits its end, one per worker that is being started or stopped. Stop waits
// for all of them.
type Pool struct {
	name    string
	log     *slog.Logger
	onEvent func(Event)
	spawner *worker.Spawner
	cgroup  *cgroup.Pool
	leaves  atomic.Uint64 // number of the last leaf
	budget  func() cgroup.Budget
	shrunk  chan struct{} // there is more room, see changed

	ctx     context.Context // ends when the pool halts
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	slots   chan struct{} // worker starts in progress
	retune  chan struct{} // tells Run that the configuration has changed
	execs   atomic.Uint64 // payloads given to workers
	tickets tickets
	waits   waits

	mu      sync.Mutex
	queue   queue
	gen     *generation // nil before Start
	numbers uint64      // of generations
	members map[*member]struct{}
	// For the places of processes, see room.go: starts under way of all
	// generations; members that cannot be ended; while a reload waits for places,
	// those that are left for others.
	starting, stuck, ceiling int
	active                   int  // requests that wait or run
	closed                   bool // no new requests
	halted                   bool // no new goroutines, no workers
	drained                  chan struct{}
	stopped                  chan struct{}
	stopErr                  error

	backoff   time.Duration // the pause after the last failed start
	retryAt   time.Time
	retrying  bool
	succeeded time.Time // last start that did not fail
	crashes   crashLoop

	reloads   chan struct{} // holds a value while a reload is staged or runs
	reloading bool
	next      *reloadCall
}

var errClosed = fmt.Errorf("static_pool: %w", ipc.ErrPoolClosed)

// New checks the options; nothing is started.
func New(o Options) (*Pool, error) {
	if o.Spawner == nil {
		return nil, errors.New("cannot make a pool: Options.Spawner is not set")
	}
	p := &Pool{
		name: o.Name, log: o.Log, onEvent: o.OnEvent, spawner: o.Spawner, cgroup: o.Cgroup, budget: o.Budget,
		shrunk:  make(chan struct{}, 1),
		slots:   make(chan struct{}, parallelBoots),
		retune:  make(chan struct{}, 1),
		reloads: make(chan struct{}, 1),
		members: make(map[*member]struct{}),
		drained: make(chan struct{}),
		stopped: make(chan struct{}),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.log = p.log.With(logkey.Pool, o.Name)
	cfg := o.Config
	cfg.Defaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("pool.%w", err)
	}
	if len(o.Spec.Argv) == 0 {
		return nil, errors.New("command should not be empty")
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.next = &reloadCall{cfg: cfg, spec: o.Spec} // for Start
	return p, nil
}

// Start boots the first generation and returns when every worker is ready. On
// error, which wraps a *BootError if it was a worker's fault, nothing is left
// running and the pool can only be stopped.
func (p *Pool) Start(ctx context.Context) error {
	p.mu.Lock()
	first := p.next
	if p.closed || p.gen != nil || first == nil {
		p.mu.Unlock()
		return errors.New("cannot start the pool: it was started or stopped before")
	}
	p.next = nil
	p.numbers++
	number := p.numbers
	p.mu.Unlock()

	g, err := newGeneration(number, first.cfg, first.spec)
	if err != nil {
		return err
	}
	ready, err := p.bootGeneration(ctx, g)
	if err != nil {
		return err
	}
	p.mu.Lock()
	if p.halted {
		p.mu.Unlock()
		for _, m := range ready {
			p.discard(m, worker.Shutdown)
		}
		return errClosed
	}
	p.gen = g
	for _, m := range ready {
		p.adopt(m)
		p.queue.give(m)
	}
	p.mu.Unlock()
	for _, m := range ready {
		p.started(m)
	}
	return nil
}

// adopt makes m a member and watches it. The lock is held and the pool is not
// halted.
func (p *Pool) adopt(m *member) {
	p.starting--
	p.members[m] = struct{}{}
	m.gen.joined(m)
	p.wg.Go(func() { p.watch(m) })
}

// watch waits for the end of m's process and is the only place where a member
// leaves the pool.
func (p *Pool) watch(m *member) {
	p.watchMemory(m)
	<-m.w.Done()
	p.mu.Lock()
	if !m.gone {
		m.gone = true
		p.queue.remove(m)
		m.gen.left(m)
		p.noteEnd(m)
		p.reconcile()
	}
	busy := m.busy
	p.mu.Unlock()
	if busy {
		// The request reads what the worker has written before its end. It
		// finds the end by itself, unless a child of the worker holds the
		// pipe open: then closing the channel is what wakes it up.
		t := time.NewTimer(lastWords)
		select {
		case <-m.freed:
		case <-t.C:
		}
		t.Stop()
	}
	cause := m.w.Settle()
	m.end.cause.Store(uint32(cause))
	e := p.ended(m, cause)
	m.close()
	p.mu.Lock()
	delete(p.members, m)
	if m.stuck {
		p.stuck--
	}
	p.changed()
	p.mu.Unlock()
	p.explainEnd(e)
	p.emit(e)
}

// lastWords is how long the answer of a dead worker is waited for.
const lastWords = time.Second

// retire lets m go: it is not handed out any more, end ends its process, and a
// replacement is started at once. The lock is held.
func (p *Pool) retire(m *member, cause worker.Cause, end func()) {
	if m.gone {
		return
	}
	m.gone = true
	p.queue.remove(m)
	m.w.Doom(cause)
	m.end.cause.Store(uint32(m.w.Cause()))
	m.gen.left(m)
	if crashed(m.w.Cause()) {
		p.noteEnd(m)
	}
	p.wg.Go(func() { // its watcher runs, so Stop cannot have stopped waiting
		end()
		p.giveUpOn(m)
	})
	p.reconcile()
}

// Stop refuses new payloads, lets those that wait or run come to their end
// until ctx is done (without a deadline: for destroy_timeout), and stops all
// workers, which takes a bounded time. It is idempotent; the error names
// processes that could not be killed.
func (p *Pool) Stop(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.stopped
		return p.stopErr
	}
	p.closed = true
	p.checkDrained()
	limit := time.Minute
	if p.gen != nil {
		limit = p.gen.cfg.DestroyTimeout
	}
	p.mu.Unlock()
	defer close(p.stopped)

	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	select {
	case <-p.drained:
	case <-ctx.Done():
	}

	p.mu.Lock()
	p.halted = true
	p.queue.cancel()
	for m := range p.members {
		if m.busy {
			p.retire(m, worker.Shutdown, m.w.Terminate)
		} else {
			p.retire(m, worker.Shutdown, m.w.Stop)
		}
	}
	p.mu.Unlock()
	p.cancel()
	p.stopErr = p.waitAll()
	return p.stopErr
}

// waitAll waits for all goroutines, but not for a process that hangs in the
// kernel.
func (p *Pool) waitAll() error {
	done := make(chan struct{})
	go func() { // ends with the last of p.wg's
		defer close(done)
		p.wg.Wait()
	}()
	t := time.NewTimer(worker.StopLimit + lastWords)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var pids []int
	for m := range p.members {
		pids = append(pids, m.w.PID())
	}
	return fmt.Errorf("cannot stop the pool %s: processes %v do not end after SIGKILL", p.name, pids)
}

func (p *Pool) checkDrained() {
	if p.closed && p.active == 0 {
		select {
		case <-p.drained:
		default:
			close(p.drained)
		}
	}
}
