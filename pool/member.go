package pool

import (
	"math/rand/v2"
	"os"
	"strconv"

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

	freed chan struct{} // gets one value when the request lets go of a gone worker
}

func newMember(w *worker.Worker, g *generation) *member {
	m := &member{w: w, gen: g, maxJobs: jitter(g.cfg.MaxJobs), freed: make(chan struct{}, 1)}
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
	if m.statm == nil {
		return false
	}
	rss, ok := readRSS(m.statm)
	return ok && rss >= m.gen.cfg.memoryLimit()
}
