package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// measurement is one run of the client against one server.
type measurement struct {
	requests  float64 // a second
	cpu       float64 // microseconds a request, of the server's whole process tree
	php       float64 // of that in PHP processes
	p99       time.Duration
	memoryPSS float64 // MiB of the process tree, at the end
}

// measure loads the server and takes the difference of what the kernel counted
// for its processes.
func (s *server) measure(ctx context.Context, d time.Duration, conns int) (m measurement, err error) {
	before, phpBefore := s.cpuTime()
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(conns), fmt.Sprintf("-d%ds", int(d.Seconds())), "--latency", s.url).Output()
	if err != nil {
		return m, fmt.Errorf("wrk: %w", err)
	}
	after, phpAfter := s.cpuTime()
	text := string(out)
	if strings.Contains(text, "Non-2xx") || strings.Contains(text, "Socket errors") {
		return m, fmt.Errorf("wrk saw errors:\n%s", text)
	}
	total, err := number(text, `(\d+) requests in`)
	if err != nil || total == 0 {
		return m, errNoRequests
	}
	m.requests, err = number(text, `Requests/sec:\s+([\d.]+)`)
	if err != nil {
		return m, err
	}
	if f := regexp.MustCompile(`99%\s+(\S+)`).FindStringSubmatch(text); f != nil {
		m.p99, _ = time.ParseDuration(f[1])
	}
	m.cpu = float64((after - before).Microseconds()) / total
	m.php = float64((phpAfter - phpBefore).Microseconds()) / total
	m.memoryPSS = s.memory()
	return m, nil
}

func number(text, pattern string) (float64, error) {
	f := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if f == nil {
		return 0, fmt.Errorf("cannot find %s in wrk's output", pattern)
	}
	return strconv.ParseFloat(f[1], 64)
}

// cpuTime sums user and system time over the process tree: of all, of PHP.
func (s *server) cpuTime() (all, php time.Duration) {
	for _, pid := range s.tree() {
		name, t := times(pid)
		all += t
		if strings.HasPrefix(name, "php") {
			php += t
		}
	}
	return all, php
}

// tick is the unit of /proc/PID/stat; it is 100 Hz on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// times reads the name and CPU time of a process. The ticks are coarse, but a
// measurement is seconds long.
func times(pid int) (name string, t time.Duration) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	open, end := strings.IndexByte(string(b), '('), strings.LastIndexByte(string(b), ')')
	f := strings.Fields(string(b[end+1:]))
	name = string(b[open+1 : end])
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return name, time.Duration(user+system) * tick
}

// tree lists the server's processes with all their descendants.
func (s *server) tree() []int {
	var pids []int
	for _, cmd := range s.running {
		pids = append(pids, cmd.Process.Pid)
	}
	for i := 0; i < len(pids); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[i]))
		for _, list := range lists {
			b, _ := os.ReadFile(list)
			for _, f := range strings.Fields(string(b)) {
				pid, _ := strconv.Atoi(f)
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// memory is the proportional set size of the process tree in MiB.
func (s *server) memory() float64 {
	var kib float64
	for _, pid := range s.tree() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if n, err := number(string(b), `(?m)^Pss:\s+(\d+) kB`); err == nil {
			kib += n
		}
	}
	return kib / 1024
}
