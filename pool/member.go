package pool

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool/cgroup"
	"github.com/rr-systemd/rrd/pool/worker"
)

// member is a worker in the pool. Its flags are guarded by Pool.mu.
type member struct {
	w       *worker.Worker
	gen     *generation
	maxJobs uint64   // 0: no limit
	statm   *os.File // /proc/PID/statm, only with a memory limit

	idle bool // in queue.idle
	busy bool // a request has it
	gone bool // is being let go or has died; never handed out again

	stuck bool // all was done to end it

	failure error // what its channel reported at last; guarded by Pool.mu

	freed chan struct{} // gets one value when the request lets go of a gone worker

	end    *lastEnd    // filled in when this worker ends
	before *lastEnd    // that of the worker whose place this one took, may be nil
	high   atomic.Bool // filled limits.memory_high, which was lifted then
}

// lastEnd is why a worker ended. It outlives the worker, for its successor.
type lastEnd struct{ cause atomic.Uint32 }

func (e *lastEnd) get() worker.Cause {
	if e == nil {
		return worker.NoCause
	}
	return worker.Cause(e.cause.Load())
}

func newMember(w *worker.Worker, g *generation) *member {
	m := &member{w: w, gen: g, maxJobs: jitter(g.cfg.MaxJobs), freed: make(chan struct{}, 1), end: new(lastEnd)}
	if g.cfg.memoryLimit() > 0 {
		// Kept open: it is read after every request, and it can never mean
		// another process with a reused pid.
		m.statm, _ = os.Open("/proc/" + strconv.Itoa(w.PID()) + "/statm")
	}
	return m
}

// jitter raises max_jobs by 0 to 14 %, so that workers which started together
// are not replaced together.
func jitter(jobs uint64) uint64 {
	if jobs == 0 {
		return 0
	}
	percent := rand.Uint64N(15)
	return jobs + jobs/100*percent + jobs%100*percent/100
}

func (m *member) free() {
	m.busy = false
	if m.gone {
		select {
		case m.freed <- struct{}{}:
		default:
		}
	}
}

func (m *member) close() {
	m.w.Close()
	if m.statm != nil {
		m.statm.Close()
	}
}

// overdue is the limit that the worker has passed with the request it has just
// finished.
func (m *member) overdue() worker.Cause {
	if m.gen.cfg.Debug {
		return worker.Debug
	}
	if m.maxJobs > 0 && m.w.Execs() >= m.maxJobs {
		return worker.MaxJobs
	}
	if m.overMemory() {
		return worker.Memory
	}
	return worker.NoCause
}

func (m *member) overMemory() bool {
	if m.high.Load() {
		return true
	}
	if limit := m.gen.cfg.memoryLimit(); limit > 0 {
		if over, ok := m.w.Leaf().Over(limit); ok {
			return over
		}
	}
	if m.statm == nil {
		return false
	}
	rss, ok := readRSS(m.statm)
	return ok && rss >= m.gen.cfg.memoryLimit()
}

// nearHigh reports whether the worker itself fills limits.memory_high. The
// kernel tells of file cache as well, which it takes back without harm.
func (m *member) nearHigh() bool {
	over, ok := m.w.Leaf().Over(uint64(m.gen.cfg.Limits.MemoryHigh) / 10 * 9)
	return ok && over
}

// watchMemory lets m go when the kernel tells that it has passed memory_high,
// after its request if it has one, which then runs on unhindered.
func (p *Pool) watchMemory(m *member) {
	if m.gen.cfg.Limits.MemoryHigh == 0 {
		return
	}
	err := m.w.Leaf().Watch(func(e cgroup.Event) {
		if e.High == 0 || !m.nearHigh() {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if m.idle {
			p.retire(m, worker.Memory, m.w.Stop)
		} else {
			m.high.Store(true)
			_ = m.w.Leaf().LiftHigh() // else the request only crawls
		}
	})
	if err != nil {
		p.log.Warn("limits.memory_high limits the worker, but does not replace it", logkey.Worker, m.w.PID(), logkey.Error, err)
	}
}

// oom is what the kernel says of an end for want of memory, nil for other ends.
func (m *member) oom() *cgroup.OOM {
	if m.w.Cause() != worker.OOM {
		return nil
	}
	o, ok := m.w.Leaf().OOM()
	if !ok {
		return nil
	}
	return &o
}
