package cgroup

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Limits is a pool's section `limits:`. They hold for each worker, together
// with all processes that it starts; the two weights hold for the pool. 0 means
// no limit.
type Limits struct {
	// Memory is where the kernel kills the worker, with all its processes.
	// Nothing of the worker is swapped out then, or the limit would only make
	// it slow.
	Memory int64 `cfg:"memory,size"`
	// MemoryHigh is where the kernel takes the worker's file cache back, and
	// slows it down. Package pool lets a worker that fills it without file
	// cache finish its request and replaces it; see Leaf.LiftHigh.
	MemoryHigh int64 `cfg:"memory_high,size"`
	// CPU is how many processors the worker may use in the mean: 1.5 or "150%".
	CPU CPU `cfg:"cpu"`
	// CPUWeight is the share of all workers of the pool together against other
	// pools when processors are short, 1 to 10000; 100 for pools without it.
	// (Workers of one pool always share alike.)
	CPUWeight int `cfg:"cpu_weight"`
	// Pids is the number of processes and threads.
	Pids int `cfg:"pids"`
	// IOWeight is the same for disk time. It needs io.cost or the BFQ scheduler.
	IOWeight int `cfg:"io_weight"`

	// Rlimits are for each single process, and need no control group.
	Rlimits `cfg:",squash"`
}

// CPU is a number of processors.
type CPU float64

// UnmarshalText reads 1.5 or 150%.
func (c *CPU) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	n, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%q is not a number of processors; write 1.5 or 150%%", s)
	}
	if percent {
		v /= 100
	}
	*c = CPU(v)
	return nil
}

const (
	// leastMemory is far below what PHP needs to start. A smaller value is a
	// forgotten unit.
	leastMemory = 1 << 20
	// The kernel takes no quota below 1 ms, here of a period of 100 ms.
	leastCPU  = 0.01
	mostCPU   = 100_000
	period    = 100_000 // microseconds; the kernel's default
	mostPids  = 4 << 20 // PID_MAX_LIMIT
	maxWeight = 10_000
)

// Validate checks the values. Keys are named without "limits.".
func (l *Limits) Validate() error {
	for _, m := range []struct {
		key   string
		value int64
	}{{"memory", l.Memory}, {"memory_high", l.MemoryHigh}} {
		switch {
		case m.value < 0:
			return fmt.Errorf("%s: cannot be negative, got %d; use 0 for no limit", m.key, m.value)
		case m.value > 0 && m.value < leastMemory:
			return fmt.Errorf("%s: %d bytes are too few to start PHP; write %dM for MiB", m.key, m.value, m.value)
		}
	}
	switch {
	case l.Memory > 0 && l.MemoryHigh >= l.Memory:
		return fmt.Errorf("memory_high: %d is not below memory (%d), so it would never count; write a lower value, for example %dM",
			l.MemoryHigh, l.Memory, l.Memory*8/10>>20)
	case l.CPU < 0 || l.CPU > mostCPU:
		return fmt.Errorf("cpu: %v is not a number of processors; write 1.5 or 150%%, 0 for no limit", l.CPU)
	case l.CPU > 0 && l.CPU < leastCPU:
		return fmt.Errorf("cpu: %v is less than the kernel can enforce; write at least %v", l.CPU, leastCPU)
	case l.Pids < 0 || l.Pids > mostPids:
		return fmt.Errorf("pids: %d is out of range; write 1 to %d, 0 for no limit", l.Pids, mostPids)
	}
	for _, w := range []struct {
		key   string
		value int
	}{{"cpu_weight", l.CPUWeight}, {"io_weight", l.IOWeight}} {
		if w.value < 0 || w.value > maxWeight {
			return fmt.Errorf("%s: %d is out of range; write 1 to %d, 0 for the default of 100", w.key, w.value, maxWeight)
		}
	}
	return l.Rlimits.Validate()
}

// setting is one write to an interface file.
type setting struct {
	key, controller, file, value string
	optional                     bool // not worth a warning where it is missing
	pool                         bool // belongs to the group of the pool
}

// settings are the writes that make up the limits, in the order in which the
// kernel has to get them.
func (l *Limits) settings() []setting {
	var s []setting
	if l.MemoryHigh > 0 {
		s = append(s, setting{"memory_high", "memory", "memory.high", strconv.FormatInt(l.MemoryHigh, 10), false, false})
	}
	if l.Memory > 0 {
		s = append(s,
			setting{"memory", "memory", "memory.max", strconv.FormatInt(l.Memory, 10), false, false},
			setting{"memory", "memory", "memory.oom.group", "1", true, false},
			setting{"memory", "memory", "memory.swap.max", "0", true, false}) // missing without swap support
	}
	if l.CPU > 0 {
		s = append(s, setting{"cpu", "cpu", "cpu.max", fmt.Sprintf("%d %d", int64(math.Round(float64(l.CPU)*period)), period), false, false})
	}
	if l.CPUWeight > 0 {
		s = append(s, setting{"cpu_weight", "cpu", "cpu.weight", strconv.Itoa(l.CPUWeight), false, true})
	}
	if l.Pids > 0 {
		s = append(s, setting{"pids", "pids", "pids.max", strconv.Itoa(l.Pids), false, false})
	}
	if l.IOWeight > 0 {
		s = append(s, setting{"io_weight", "io", "io.weight", "default " + strconv.Itoa(l.IOWeight), false, true})
	}
	return s
}

// bfq is the file that BFQ has instead of io.weight, with weights up to 1000.
const bfq = "io.bfq.weight"

func (s setting) apply(dir string) error {
	err := write(filepath.Join(dir, s.file), s.value)
	if s.file == "io.weight" && errors.Is(err, os.ErrNotExist) {
		n, _ := strconv.Atoi(strings.TrimPrefix(s.value, "default "))
		err = write(filepath.Join(dir, bfq), strconv.Itoa(bfqWeight(n)))
	}
	return err
}

// bfqWeight maps 1..100..10000 to 1..100..1000.
func bfqWeight(n int) int {
	if n <= 100 {
		return n
	}
	return 100 + (n-100)*(1000-100)/(10000-100)
}

// Missing is a limit that this machine cannot enforce.
type Missing struct {
	Key string // without "limits."
	Why error
}

// Unsupported lists the limits that are set and cannot be enforced here, each
// once. The caller warns of them, once for a key.
func (t *Tree) Unsupported(l Limits) []Missing {
	var list []Missing
	for _, s := range l.settings() {
		if s.optional {
			continue
		}
		if err := t.supports(s); err != nil {
			list = append(list, Missing{s.key, err})
		}
	}
	return list
}

func (t *Tree) supports(s setting) error {
	if err := t.Degraded(); err != nil {
		return err
	}
	if err := t.enable(t.unit, s.controller); err != nil {
		return err
	}
	// The files of the leaves are those of the group above them.
	if exists(filepath.Join(t.Dir(), s.file)) || s.file == "io.weight" && exists(filepath.Join(t.Dir(), bfq)) {
		return nil
	}
	return fmt.Errorf("the kernel has no %s", s.file)
}
