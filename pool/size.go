package pool

import (
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool/cgroup"
)

// Count is a number of workers, or Auto.
type Count int

// Auto lets the pool derive its number of workers from what the service may use
// and how large a worker is; see autoSize.
const Auto Count = math.MinInt

// UnmarshalText reads a number or "auto".
func (c *Count) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	switch s {
	case "auto":
		*c = Auto
		return nil
	case "":
		*c = 0
		return nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n != math.Trunc(n) || math.Abs(n) > 1<<31 {
		return fmt.Errorf("%q is not a whole number; write a number of workers, or auto", s)
	}
	*c = Count(n)
	return nil
}

const (
	// workersPerCPU: a PHP worker waits about half of its time for a database.
	workersPerCPU = 2
	// growth is how much larger a worker gets than the largest that was
	// measured; leastSize is what no PHP application stays below.
	growth    = 1.5
	leastSize = 32 << 20
	// memoryShare leaves room for the daemon, bodies and the file cache.
	memoryShare = 0.8
)

// Footprint is the memory, in bytes, that the pool may take while it reloads, as
// far as it can be told from the configuration: as autoSize reckons, without a
// measurement. The number of workers must be fixed.
func (c *Config) Footprint() uint64 {
	n := int(c.NumWorkers)
	if surge := c.surge(); surge > 0 {
		n += surge
	} else {
		n *= 2
	}
	return uint64(max(0, n)) * c.workerSize(0)
}

// workerSize is the memory that a worker is reckoned with, in bytes.
func (c *Config) workerSize(measured uint64) uint64 {
	if size := uint64(c.Limits.Memory); size > 0 {
		return size
	}
	if size := c.memoryLimit(); size > 0 {
		return size
	}
	return max(leastSize, uint64(growth*float64(measured)))
}

// autoSize is the number of workers for num_workers: auto.
//
//	by CPU:    2 for each processor, rounded up
//	by memory: as many as fit into 80 % of the memory, where a reload needs room
//	           for surge workers more (for as many again if surge is 0), and a
//	           worker takes limits.memory, else supervisor.max_worker_memory,
//	           else 1.5 times the largest worker measured, at least 32 MiB
//
// The smaller of the two counts, at least 1 and at most 500.
func autoSize(b cgroup.Budget, cfg *Config, measured uint64) int {
	n := int(math.Ceil(workersPerCPU * b.CPU))
	size := cfg.workerSize(measured)
	if b.Memory > 0 {
		fit := int(min(uint64(memoryShare*float64(b.Memory))/size, 2*MaxWorkers))
		if surge := cfg.surge(); surge > 0 {
			fit -= surge
		} else {
			fit /= 2
		}
		n = min(n, fit)
	}
	return min(max(n, 1), MaxWorkers)
}

// resize fixes the size of a generation with num_workers: auto. first is a
// worker of it, if one is there already.
func (p *Pool) resize(g *generation, first *member) {
	var measured uint64
	p.mu.Lock()
	all := make([]*member, 0, len(p.members)+1)
	for m := range p.members {
		all = append(all, m)
	}
	p.mu.Unlock()
	if first != nil {
		all = append(all, first)
	}
	for _, m := range all {
		if u, _ := m.w.Leaf().Usage(); u.Working > 0 {
			measured = max(measured, u.Working)
		} else if rss, _, ok := Resident(m.w.PID()); ok {
			measured = max(measured, rss)
		}
	}
	b := cgroup.Budget{CPU: float64(runtime.NumCPU())}
	if p.budget != nil {
		b = p.budget()
	}
	g.target = autoSize(b, &g.cfg, measured)
	p.log.Info("num_workers: auto", "workers", g.target, "cpus", b.CPU, "memory", b.Memory, "worker_memory", measured, logkey.Generation, g.number)
}
