package pool

import (
	"cmp"
	"slices"
	"time"

	"github.com/rr-systemd/rrd/pool/cgroup"
	"github.com/rr-systemd/rrd/pool/worker"
)

// WorkerInfo describes one worker process.
type WorkerInfo struct {
	PID        int
	State      worker.State
	Cause      worker.Cause // why it is about to end, if it is
	Generation uint64
	Execs      uint64
	Created    time.Time
	LastUsed   time.Time // zero: never
	Request    worker.Request
	RequestAge time.Duration // 0 while idle
	Memory     uint64        // bytes of the worker and its children, without file cache; without control groups resident bytes of the worker
	Peak       uint64        // highest Memory, with file cache; 0: unknown
	CPUPercent float64       // CPU time in per cent of the life time, with control groups that of its children too
	Transport  string        // how jobs and answers go: slots, shm, pipe
	Before     worker.Cause  // why the worker ended whose place this one took
}

// Workers lists all processes of the pool, those that are ending included, by
// pid. A process whose figures cannot be read any more is left out.
func (p *Pool) Workers() []WorkerInfo {
	p.mu.Lock()
	all := make([]*member, 0, len(p.members))
	for m := range p.members {
		all = append(all, m)
	}
	p.mu.Unlock()
	now := time.Now()
	list := make([]WorkerInfo, 0, len(all))
	for _, m := range all {
		w := m.w
		memory, cpu, ok := Resident(w.PID())
		if !ok {
			continue
		}
		u, counted := w.Leaf().Usage()
		if counted {
			cpu = u.CPU
		}
		if u.Working > 0 {
			memory = u.Working
		}
		i := WorkerInfo{
			PID: w.PID(), State: w.State(), Cause: w.Cause(), Generation: m.gen.number, Execs: w.Execs(),
			Created: w.Created(), LastUsed: w.LastUsed(), Request: w.Request(), Memory: memory, Peak: u.Peak,
			Transport: w.Channel.Transport(), Before: m.before.get(),
		}
		if !i.Request.Since.IsZero() {
			i.RequestAge = now.Sub(i.Request.Since)
		}
		if age := now.Sub(i.Created); age > 0 {
			i.CPUPercent = 100 * cpu.Seconds() / age.Seconds()
		}
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b WorkerInfo) int { return cmp.Compare(a.PID, b.PID) })
	return list
}

// Usage is what the kernel has counted for all workers of the pool together, the
// ended ones included; false without control groups.
func (p *Pool) Usage() (cgroup.Usage, bool) { return p.cgroup.Usage() }

// Stats is the pool in numbers.
type Stats struct {
	Workers    int // ready and working, of the generation that serves
	Ready      int
	Working    int
	Starting   int
	Ending     int
	Draining   int    // let go, or of an old generation, with a request that runs to its end
	Target     int    // workers wanted
	Waiting    int    // requests in the queue
	Execs      uint64 // payloads given to workers since the start
	Generation uint64
	CrashLoop  string // workers fail over and over: how many, and why the last did; "" if they do not
}

// Stats counts, at one moment.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{Waiting: p.queue.waiting, Execs: p.execs.Load()}
	s.CrashLoop = p.crashes.text(time.Now())
	if p.gen != nil {
		s.Generation, s.Starting, s.Target = p.gen.number, p.gen.booting, p.gen.target
	}
	for m := range p.members {
		switch {
		case m.busy && (m.gone || m.gen != p.gen):
			s.Draining++
		case m.busy:
			s.Working++
		case m.gone:
			s.Ending++
		default:
			s.Ready++
		}
	}
	s.Workers = s.Ready + s.Working
	return s
}
