package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// idleResult is what connections cost that wait for their next request.
type idleResult struct {
	variant string
	memory  float64 // KiB a connection
}

// measureIdle opens n connections to each contender, makes one request over each and
// keeps them. Memory is that of the processes; what the kernel keeps for a socket is
// not in it.
func measureIdle(ctx context.Context, all []*server, n int) ([]idleResult, error) {
	// The servers inherit it.
	limit := syscall.Rlimit{}
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	if limit.Max < uint64(n)+200 {
		return nil, fmt.Errorf("cannot hold %d connections: only %d descriptors are allowed (ulimit -Hn)", n, limit.Max)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	var results []idleResult
	for _, s := range all {
		files := s.files
		s.files = map[string]string{}
		for name, text := range files {
			s.files[name] = strings.Replace(text, "worker_connections 1024", fmt.Sprintf("worker_connections %d", 2*n), 1)
		}
		kib, err := idleMemory(ctx, s, n)
		s.stop()
		s.files = files
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		results = append(results, idleResult{s.name, kib})
	}
	return results, nil
}

// idleMemory is what one of n connections takes, in KiB.
func idleMemory(ctx context.Context, s *server, n int) (float64, error) {
	if err := s.start(ctx); err != nil {
		return 0, err
	}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	open := func(count int) error {
		for len(conns) < count {
			c, err := net.Dial("tcp", s.address)
			if err != nil {
				return err
			}
			conns = append(conns, c)
			if err := askOnce(c, s); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
	// The first ones warm the server up.
	if err := open(n / 20); err != nil {
		return 0, err
	}
	before := pss(tree(s.pids()))
	first := len(conns)
	if err := open(n); err != nil {
		return 0, err
	}
	after := pss(tree(s.pids()))
	return (after.all - before.all) * 1024 / float64(n-first), nil
}

func askOnce(c net.Conn, s *server) error {
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", s.first, s.address); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", resp.Status)
	}
	return err
}

func idleTable(w io.Writer, results []idleResult, n int) {
	fmt.Fprintf(w, "\n### Idle connections\n\n%d keep-alive connections that have made one request: memory of the processes for each of them.\n\n", n)
	row(w, "", "KiB a connection")
	row(w, "---", "---")
	for _, r := range results {
		row(w, labels[r.variant], digits(r.memory))
	}
}
