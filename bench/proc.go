package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of /proc/PID/stat: 100 Hz on every Linux that Go runs on. The
// kernel scales the sum to what it has counted in nanoseconds.
const tick = 10 * time.Millisecond

// parseStat reads the name and the CPU time, user and system, of /proc/PID/stat.
func parseStat(stat string) (name string, t time.Duration, err error) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return "", 0, fmt.Errorf("cannot read %q as /proc/PID/stat", stat)
	}
	f := strings.Fields(stat[end+1:])
	if len(f) < 13 {
		return "", 0, fmt.Errorf("cannot read %q as /proc/PID/stat", stat)
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	if err1 != nil || err2 != nil {
		return "", 0, fmt.Errorf("cannot read the times of %q", stat)
	}
	return stat[open+1 : end], time.Duration(user+system) * tick, nil
}

// parsePSS reads the proportional set size of /proc/PID/smaps_rollup in KiB.
func parsePSS(rollup string) (float64, bool) {
	for line := range strings.Lines(rollup) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			f := strings.Fields(rest)
			if len(f) == 0 {
				return 0, false
			}
			kib, err := strconv.ParseFloat(f[0], 64)
			return kib, err == nil
		}
	}
	return 0, false
}

// process is what a process of a tree is and has used.
type process struct {
	pid int
	php bool
	cpu time.Duration
}

// tree lists processes with all their descendants. Those that end meanwhile are left
// out.
func tree(roots []int) (list []process) {
	pids := append([]int(nil), roots...)
	for i := 0; i < len(pids); i++ {
		dir := fmt.Sprintf("/proc/%d", pids[i])
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue
		}
		name, cpu, err := parseStat(string(stat))
		if err != nil {
			continue
		}
		list = append(list, process{pids[i], strings.HasPrefix(name, "php"), cpu})
		children, _ := filepath.Glob(dir + "/task/*/children")
		for _, file := range children {
			b, _ := os.ReadFile(file)
			for _, f := range strings.Fields(string(b)) {
				pid, _ := strconv.Atoi(f)
				pids = append(pids, pid)
			}
		}
	}
	return list
}

// cpuTimes sums the CPU time of PHP processes and of the others.
func cpuTimes(list []process) (daemon, php time.Duration) {
	for _, p := range list {
		if p.php {
			php += p.cpu
		} else {
			daemon += p.cpu
		}
	}
	return daemon, php
}

// memory is proportional set size in MiB.
type memory struct {
	all, php float64
	workers  int // PHP processes
}

// pss measures the memory of processes.
func pss(list []process) (m memory) {
	for _, p := range list {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.pid))
		kib, ok := parsePSS(string(b))
		if !ok {
			continue
		}
		m.all += kib / 1024
		if p.php {
			m.php += kib / 1024
			m.workers++
		}
	}
	return m
}
