package cgroup

import (
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Budget is what the service may use: the tightest of the limits of its unit
// (MemoryMax=, MemoryHigh=, CPUQuota=), of the slices or the container around
// it, and of the machine.
type Budget struct {
	Memory uint64  // bytes
	CPU    float64 // processors
}

// Budget reads the present limits. It works without delegation too, as far as
// the groups can be read.
func (t *Tree) Budget() Budget {
	b := Budget{CPU: float64(runtime.NumCPU())}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		b.Memory = uint64(info.Totalram) * uint64(info.Unit)
	}
	if t != nil && t.own != "" {
		dir := t.own
		if t.unit != "" {
			dir = t.unit
		}
		b.within(dir, isGroup)
	}
	return b
}

// within lowers the budget to the limits of dir and all groups above it.
func (b *Budget) within(dir string, isGroup func(string) bool) {
	for ; isGroup(dir) && dir != "/"; dir = filepath.Dir(dir) {
		for _, file := range []string{"memory.max", "memory.high"} {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if m, ok := limit(text); err == nil && ok && (b.Memory == 0 || m < b.Memory) {
				b.Memory = m
			}
		}
		text, err := os.ReadFile(filepath.Join(dir, "cpu.max"))
		if c, ok := cores(text); err == nil && ok && c < b.CPU {
			b.CPU = c
		}
	}
}
