// Package brokers starts real stores and message brokers for tests, from Debian's
// packages, on free ports and in folders of their own. They end with the test.
package brokers

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a broker may take to start or to stop.
const patience = 30 * time.Second

// Server is a broker process that can be killed and started again at the same
// address.
type Server struct {
	// Addr is host:port.
	Addr string

	t    testing.TB
	argv []string
	dir  string
	// ready tells whether the server answers.
	ready func(addr string) error

	mu     sync.Mutex
	cmd    *exec.Cmd
	output bytes.Buffer
	ended  chan struct{}
}

// FreeAddr is a loopback address that nobody listens at.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a server; argv gets the port. A port that somebody else has taken
// meanwhile is exchanged for another.
func start(t testing.TB, argv func(port, dir string) []string, ready func(addr string) error) *Server {
	t.Helper()
	for try := 0; ; try++ {
		s := &Server{Addr: FreeAddr(t), t: t, dir: t.TempDir(), ready: ready}
		_, port, _ := net.SplitHostPort(s.Addr)
		s.argv = argv(port, s.dir)
		err := s.run()
		if err == nil {
			t.Cleanup(s.Kill)
			return s
		}
		s.Kill()
		if try == 2 {
			t.Fatal(err)
		}
	}
}

func (s *Server) run() error {
	path, err := exec.LookPath(s.argv[0])
	if err != nil {
		return fmt.Errorf("%s is not installed (tests/deps test installs it): %w", s.argv[0], err)
	}
	s.mu.Lock()
	s.cmd = exec.Command(path, s.argv[1:]...)
	s.cmd.Dir = s.dir
	s.cmd.Stdout, s.cmd.Stderr = (*output)(s), (*output)(s)
	s.cmd.WaitDelay = time.Second
	cmd, ended := s.cmd, make(chan struct{})
	s.ended = ended
	s.mu.Unlock()
	if err := cmd.Start(); err != nil {
		close(ended)
		return err
	}
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	deadline := time.After(patience)
	for {
		err := s.ready(s.Addr)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("%q ended: %s", s.argv, s.said())
		case <-deadline:
			return fmt.Errorf("%q does not answer: %w; it said: %s", s.argv, err, s.said())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

type output Server

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.output.Write(p)
}

func (s *Server) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.String()
}

// Kill ends the server at once, as a crash does, and returns when it is gone.
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

// Stop ends the server in its own way.
func (s *Server) Stop() { s.signal(syscall.SIGTERM) }

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	cmd, ended := s.cmd, s.ended
	s.mu.Unlock()
	if cmd == nil || cmd.Process == nil {
		return
	}
	_ = cmd.Process.Signal(sig)
	select {
	case <-ended:
	case <-time.After(patience):
		s.t.Errorf("%q does not stop", s.argv)
		_ = cmd.Process.Kill()
		<-ended
	}
}

// Pause stops the server in its tracks: connections stay and get no answer.
func (s *Server) Pause() {
	s.t.Helper()
	s.send(syscall.SIGSTOP)
	poll(s.t, "all threads are stopped", func() bool {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.cmd.Process.Pid))
		for _, f := range files {
			stat, err := os.ReadFile(f)
			if i := bytes.LastIndexByte(stat, ')'); err != nil || i < 0 || !bytes.HasPrefix(stat[i+1:], []byte(" T")) {
				return false
			}
		}
		return len(files) > 0
	})
}

// Resume ends Pause.
func (s *Server) Resume() { s.send(syscall.SIGCONT) }

func (s *Server) send(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.cmd.Process.Signal(sig)
}

// Start brings a server back that was killed or stopped.
func (s *Server) Start() {
	s.t.Helper()
	if err := s.run(); err != nil {
		s.t.Fatal(err)
	}
}

// Ask sends text to a server and returns the answer up to its end.
func Ask(addr, text, end string) (string, error) {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	var got []byte
	buf := make([]byte, 64<<10)
	for !bytes.HasSuffix(got, []byte(end)) {
		n, err := c.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			return string(got), err
		}
	}
	return string(got), nil
}
