package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// server is one contender: processes that together serve an application.
type server struct {
	name     string
	app      string // plain or symfony
	peer     bool   // the one that ratios refer to
	dir      string // for its files
	address  string // host:port
	first    string // the path of the first request
	files    map[string]string
	commands [][]string
	running  []*exec.Cmd
}

// url is that of a path.
func (s *server) url(path string) string { return "http://" + s.address + path }

// pids are those of its first processes.
func (s *server) pids() (list []int) {
	for _, cmd := range s.running {
		list = append(list, cmd.Process.Pid)
	}
	return list
}

// start starts the processes and returns when the first answer is there.
func (s *server) start(ctx context.Context) error {
	for name, text := range s.files {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, argv := range s.commands {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			s.stop()
			return err
		}
		s.running = append(s.running, cmd)
	}
	err := s.await(ctx)
	if err != nil {
		s.stop()
	}
	return err
}

// await polls until the server answers.
func (s *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.get(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w", err)
		case <-tick.C:
		}
	}
}

func (s *server) get(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url(s.first), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s from %s", resp.Status, s.url(s.first))
	}
	return err
}

// stop ends the processes and waits for them.
func (s *server) stop() {
	for _, cmd := range s.running {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, cmd := range s.running {
		timer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
	}
	s.running = nil
}

// freeAddress is one that nobody listens on at this moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
