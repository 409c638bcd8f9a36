package main

import (
	"context"
	"errors"
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
	requests float64 // a second
	cpu      float64 // microseconds a request, of the server's whole process tree
	php      float64 // of that in PHP processes
	p50, p99 time.Duration
	memory   float64 // MiB of the process tree (PSS), the most that was seen
	worker   float64 // of that a PHP process has on average
}

// measure loads the server for d, longer if that is too short for a single request.
func (s *server) measure(ctx context.Context, c *testCase, d time.Duration) (m measurement, err error) {
	for range 4 {
		if m, err = s.measureOnce(ctx, c, d); !errors.Is(err, errNoRequests) {
			break
		}
		d *= 2
	}
	return m, err
}

// measureOnce takes the difference of what the kernel counted for the processes.
func (s *server) measureOnce(ctx context.Context, c *testCase, d time.Duration) (m measurement, err error) {
	script := filepath.Join(s.dir, c.name+".lua")
	if err := os.WriteFile(script, []byte(c.script()), 0o644); err != nil {
		return m, err
	}
	daemon, php := cpuTimes(tree(s.pids()))
	wrk := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(c.conns), fmt.Sprintf("-d%ds", int(d.Seconds())),
		"--timeout", "10s", "--latency", "-s", script, s.url(c.path))
	peak := watchMemory(s)
	out, err := wrk.Output()
	most := peak()
	if err != nil {
		return m, fmt.Errorf("wrk: %w", err)
	}
	w, err := parseWrk(string(out))
	if err != nil {
		return m, err
	}
	daemonAfter, phpAfter := cpuTimes(tree(s.pids()))
	m.requests, m.p50, m.p99 = w.perSecond, w.p50, w.p99
	m.php = float64((phpAfter - php).Microseconds()) / w.total
	m.cpu = m.php + float64((daemonAfter-daemon).Microseconds())/w.total
	m.memory = most.all
	if most.workers > 0 {
		m.worker = most.php / float64(most.workers)
	}
	return m, nil
}

// watchMemory looks at the memory of s now and then, until the function that it
// returns is called. That returns the most that was seen. It looks rarely, because
// to add up the pages of a process disturbs it.
func watchMemory(s *server) func() memory {
	done, most := make(chan struct{}), make(chan memory)
	go func() {
		tick := time.NewTicker(400 * time.Millisecond)
		defer tick.Stop()
		var top memory
		for {
			select {
			case <-tick.C:
				if m := pss(tree(s.pids())); m.all > top.all {
					top = m
				}
			case <-done:
				most <- top
				return
			}
		}
	}()
	return func() memory {
		close(done)
		return <-most
	}
}

// wrkResult is what wrk counted.
type wrkResult struct {
	total, perSecond float64
	p50, p99         time.Duration
}

var errNoRequests = errors.New("wrk counted no requests")

var (
	wrkTotal = regexp.MustCompile(`(?m)^\s*(\d+) requests in`)
	wrkRate  = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	wrkP50   = regexp.MustCompile(`(?m)^\s*50%\s+(\S+)`)
	wrkP99   = regexp.MustCompile(`(?m)^\s*99%\s+(\S+)`)
)

// parseWrk reads the output of wrk. Requests that failed are an error.
func parseWrk(text string) (w wrkResult, err error) {
	for _, bad := range []string{"Non-2xx", "Socket errors"} {
		if strings.Contains(text, bad) {
			return w, fmt.Errorf("wrk saw errors:\n%s", text)
		}
	}
	if w.total, err = number(wrkTotal, text); err != nil {
		return w, err
	}
	if w.total == 0 {
		return w, errNoRequests
	}
	if w.perSecond, err = number(wrkRate, text); err != nil {
		return w, err
	}
	if w.p50, err = wrkTime(wrkP50, text); err != nil {
		return w, err
	}
	w.p99, err = wrkTime(wrkP99, text)
	return w, err
}

func number(pattern *regexp.Regexp, text string) (float64, error) {
	f := pattern.FindStringSubmatch(text)
	if f == nil {
		return 0, fmt.Errorf("cannot find %s in wrk's output:\n%s", pattern, text)
	}
	return strconv.ParseFloat(f[1], 64)
}

func wrkTime(pattern *regexp.Regexp, text string) (time.Duration, error) {
	f := pattern.FindStringSubmatch(text)
	if f == nil {
		return 0, fmt.Errorf("cannot find %s in wrk's output:\n%s", pattern, text)
	}
	return time.ParseDuration(f[1])
}
