package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"
)

// Usage is what the kernel has counted for a worker and all that it started.
// What the kernel does not count is 0 or nil.
type Usage struct {
	Memory    uint64        // bytes charged: anonymous memory, file cache, kernel memory
	Working   uint64        // Memory without file cache that could be dropped: what a limit has to hold
	Peak      uint64        // highest Memory; before Linux 5.19 the highest that was seen
	CPU       time.Duration // user and system time, of ended children too
	Throttled time.Duration // time that limits.cpu made it wait
	Processes uint64        // processes and threads

	CPUPressure, MemoryPressure, IOPressure *Pressure
}

// Usage reads the counters; false if there is no group (any more).
func (l *Leaf) Usage() (Usage, bool) {
	if !l.Real() {
		return Usage{}, false
	}
	return readUsage(l.dir, l.peak.seen)
}

// Usage is that of all workers of the pool together: those of now in Memory,
// Peak the highest sum that there was, CPU with that of all that have ended.
func (p *Pool) Usage() (Usage, bool) {
	if p == nil || p.dir == "" {
		return Usage{}, false
	}
	return readUsage(p.dir, p.peak.seen)
}

// readUsage reads the counters of a group. seen keeps the highest memory.current
// for kernels without memory.peak.
func readUsage(dir string, seen func(uint64) uint64) (Usage, bool) {
	cpu, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		return Usage{}, false
	}
	var u Usage
	us, _ := lookup(cpu, "usage_usec")
	u.CPU = time.Duration(us) * time.Microsecond
	us, _ = lookup(cpu, "throttled_usec")
	u.Throttled = time.Duration(us) * time.Microsecond
	u.Processes, _ = value(dir, "pids.current")
	if m, ok := value(dir, "memory.current"); ok {
		u.Memory = m
		u.Working = m - min(m, inactive(dir))
		u.Peak = seen(m)
		if p, ok := value(dir, "memory.peak"); ok {
			u.Peak = max(p, u.Peak)
		}
	}
	u.CPUPressure = pressure(dir, "cpu.pressure")
	u.MemoryPressure = pressure(dir, "memory.pressure")
	u.IOPressure = pressure(dir, "io.pressure")
	return u, true
}

// Over reports whether the worker uses at least bytes of memory, inactive file
// cache not counted. It is made for the end of every request: it costs one read
// of memory.current, and only close to the limit a second one of memory.stat,
// for which the kernel has to sum up. ok is false without the memory controller.
func (l *Leaf) Over(bytes uint64) (over, ok bool) {
	if !l.Real() || l.current == nil {
		return false, false
	}
	var buf [32]byte
	n, _ := l.current.ReadAt(buf[:], 0)
	m, ok := number(buf[:n])
	if !ok {
		return false, false
	}
	l.peak.seen(m)
	if m < bytes {
		return false, true
	}
	return m-min(m, inactive(l.dir)) >= bytes, true
}

// peak is the highest value that was seen.
type peak struct{ atomic.Uint64 }

// seen keeps m if it is the highest value, and returns the highest.
func (p *peak) seen(m uint64) uint64 {
	for {
		old := p.Load()
		if m <= old {
			return old
		}
		if p.CompareAndSwap(old, m) {
			return m
		}
	}
}

func inactive(dir string) uint64 {
	b, _ := os.ReadFile(filepath.Join(dir, "memory.stat"))
	v, _ := lookup(b, "inactive_file")
	return v
}

func (l *Leaf) read(file string) ([]byte, error) {
	return os.ReadFile(filepath.Join(l.dir, file))
}

func value(dir, file string) (uint64, bool) {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, false
	}
	return limit(b)
}

func pressure(dir, file string) *Pressure {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil { // also EOPNOTSUPP: PSI is built in but off (psi=0)
		return nil
	}
	p, ok := parsePressure(b)
	if !ok {
		return nil
	}
	return p
}

// OOM is what out-of-memory kills did to a leaf.
type OOM struct {
	// Incidents counts the times that processes of the leaf were killed for
	// want of memory.
	Incidents uint64
	// OwnLimit says that limits.memory was what ran out. Otherwise it was the
	// memory of the unit (MemoryMax=) or of the machine.
	OwnLimit bool
	Peak     uint64 // see Usage
	Limit    uint64 // limits.memory in bytes, 0 for none
}

// String is the incident in words, with the figures that mend it.
func (o OOM) String() string {
	if o.OwnLimit && o.Limit > 0 {
		return fmt.Sprintf("out of memory: used %s of limits.memory %s", mib(o.Peak), mib(o.Limit))
	}
	return fmt.Sprintf("out of memory: the unit or the machine had none left while it used %s", mib(o.Peak))
}

func mib(bytes uint64) string {
	return strconv.FormatFloat(float64(bytes)/(1<<20), 'f', 1, 64) + " MiB"
}

// OOM reads the kernel's counters; false if there is no group (any more) or no
// memory controller. It works after the processes have ended, until Close.
func (l *Leaf) OOM() (OOM, bool) {
	if !l.Real() {
		return OOM{}, false
	}
	b, err := l.read("memory.events")
	if err != nil {
		return OOM{}, false
	}
	e, ok := parseEvents(b)
	if !ok {
		return OOM{}, false
	}
	o := OOM{Incidents: e.incidents(l.group), OwnLimit: e.oom > 0}
	if o.Incidents == 0 {
		return o, true
	}
	o.Limit, _ = value(l.dir, "memory.max")
	o.Peak = l.peak.Load()
	if p, ok := value(l.dir, "memory.peak"); ok {
		o.Peak = max(p, o.Peak)
	}
	return o, true
}

// events is a memory.events file.
type events struct {
	high, oom, oomKill, oomGroup uint64
	hasGroup                     bool // oom_group_kill is there: Linux 5.17
}

func parseEvents(b []byte) (e events, ok bool) {
	e.high, _ = lookup(b, "high")
	e.oom, _ = lookup(b, "oom")
	e.oomKill, ok = lookup(b, "oom_kill")
	e.oomGroup, e.hasGroup = lookup(b, "oom_group_kill")
	return e, ok
}

// incidents counts kills of the whole group as one: oom_kill counts one for
// each process, and one more.
func (e events) incidents(group bool) uint64 {
	switch {
	case group && e.hasGroup:
		// oom_kill is counted before the signal, oom_group_kill after it.
		return max(e.oomGroup, min(e.oomKill, 1))
	case group:
		return min(e.oomKill, 1) // a group is killed only once in its life
	}
	return e.oomKill
}
