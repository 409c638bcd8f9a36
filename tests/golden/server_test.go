package golden_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stepLimit is how long a step waits for what it wants to see.
const stepLimit = 40 * time.Second

// server is one running rrd with its workers.
type server struct {
	bin       *binaries
	tmp       string
	config    string
	handshake string
	addresses map[string]string // http, https, fcgi, rpc, status, metrics, relay
	vars      *strings.Replacer
	env       []string
	args      []string
	expect    int // handshakes before it is ready
	control   net.Listener
	cmd       *exec.Cmd
	wg        sync.WaitGroup

	mu      sync.Mutex
	cond    *sync.Cond
	workers []*remoteWorker
	output  bytes.Buffer
	exited  bool
	code    int
}

// start starts a server for the case and waits until it is ready, if the case
// wants that, but no longer than limit. A server that is returned must be closed, also with an error.
func start(b *binaries, c *goldenCase, overrides []string, limit time.Duration) (*server, error) {
	tmp, err := os.MkdirTemp(b.dir, "s")
	if err != nil {
		return nil, err
	}
	s := &server{bin: b, tmp: tmp, handshake: c.Handshake, config: filepath.Join(tmp, ".rr.yaml")}
	s.cond = sync.NewCond(&s.mu)
	if err := s.prepare(c); err != nil {
		return s, err
	}

	s.args = []string{"serve", "-c", s.config}
	for _, o := range overrides {
		if section, _, _ := strings.Cut(o, "."); c.Config[section] != nil {
			s.args = append(s.args, "-o", o)
		}
	}
	if !c.waits() {
		return s, s.run()
	}
	s.expect = c.workers()
	return s, s.launch(limit)
}

// run starts the program.
func (s *server) run() error {
	cmd := exec.Command(s.bin.rr, s.args...)
	cmd.Dir, cmd.Env = s.tmp, s.env
	cmd.Stdout, cmd.Stderr = (*serverOutput)(s), (*serverOutput)(s)
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	s.update(func() {
		s.cmd, s.exited = cmd, false
		s.output.Reset()
	})
	s.wg.Go(func() {
		_ = cmd.Wait()
		s.update(func() { s.exited, s.code = true, cmd.ProcessState.ExitCode() })
	})
	return nil
}

// launch runs the program and waits until it is ready, but no longer than limit.
func (s *server) launch(limit time.Duration) error {
	if err := s.run(); err != nil {
		return err
	}
	ready := s.await(limit, func() bool {
		return s.exited || bytes.Contains(s.output.Bytes(), []byte("RoadRunner server started")) && s.handshakes() >= s.expect
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited {
		return fmt.Errorf("the server exited with code %d: %s", s.code, plain(s.output.String()))
	}
	if !ready {
		return fmt.Errorf("the server is not ready: %d of %d workers; output: %s", s.handshakes(), s.expect, plain(s.output.String()))
	}
	return nil
}

// prepare writes the files and the configuration of the case.
func (s *server) prepare(c *goldenCase) error {
	var err error
	if s.control, err = net.Listen("unix", filepath.Join(s.tmp, "w")); err != nil {
		return err
	}
	s.wg.Go(s.acceptWorkers)

	s.addresses = map[string]string{}
	pairs := []string{
		"{tmp}", s.tmp, "{worker}", s.bin.worker, "{cert}", s.bin.cert, "{key}", s.bin.key, "{config}", s.config,
	}
	for _, name := range []string{"http", "https", "fcgi", "rpc", "status", "metrics", "relay"} {
		if s.addresses[name], err = freeAddress(); err != nil {
			return err
		}
		_, port, _ := net.SplitHostPort(s.addresses[name])
		pairs = append(pairs, "{"+name+"}", s.addresses[name], "{"+name+"_port}", port)
	}
	s.vars = strings.NewReplacer(pairs...)

	if err := os.Mkdir(filepath.Join(s.tmp, "tmp"), 0o700); err != nil {
		return err
	}
	for name, content := range c.Files {
		path := filepath.Join(s.tmp, name)
		if content == nil {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, *content, 0o644),
				os.Chtimes(path, time.Time{}, time.Unix(1_700_000_000, 0)))
		}
		if err != nil {
			return err
		}
	}
	config, ok := substitute(s.vars, c.Config).(map[string]any)
	if !ok {
		return errors.New("the configuration is no object")
	}
	yaml, err := json.Marshal(config) // JSON is YAML
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.config, yaml, 0o644); err != nil {
		return err
	}

	s.env = slices.DeleteFunc(os.Environ(), func(e string) bool {
		return foreignVariable.MatchString(e)
	})
	s.env = append(s.env, "TMPDIR="+filepath.Join(s.tmp, "tmp"), "REPLAY_SOCKET="+filepath.Join(s.tmp, "w"))
	for k, v := range c.Env {
		s.env = append(s.env, k+"="+v)
	}
	return nil
}

// foreignVariable are variables of this test's own environment that would
// change what the server does.
var foreignVariable = regexp.MustCompile(`^(RR_|GOLD|LISTEN_|NOTIFY_SOCKET|JOURNAL_STREAM|INVOCATION_ID|WATCHDOG_|FDSTORE|DOTENV_PATH|TMPDIR=)`)

// substitute replaces {tmp} and the like in every string.
func substitute(vars *strings.Replacer, v any) any {
	switch v := v.(type) {
	case string:
		return vars.Replace(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = substitute(vars, e)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = substitute(vars, e)
		}
		return out
	}
	return v
}

var (
	addressMu   sync.Mutex
	usedAddress = map[string]bool{}
)

// freeAddress gives a loopback address that is free now and was not given
// before.
func freeAddress() (string, error) {
	addressMu.Lock()
	defer addressMu.Unlock()
	for {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		address := l.Addr().String()
		_ = l.Close()
		if !usedAddress[address] {
			usedAddress[address] = true
			return address, nil
		}
	}
}

// serverOutput collects stdout and stderr of the server.
type serverOutput server

func (o *serverOutput) Write(p []byte) (int, error) {
	(*server)(o).update(func() { o.output.Write(p) })
	return len(p), nil
}

var escapeSequence = regexp.MustCompile(`\x1b\[[^a-zA-Z]*[a-zA-Z]`)

// plain is output without colours and without log records (JSON lines).
func plain(s string) string {
	lines := strings.Split(escapeSequence.ReplaceAllString(s, ""), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "{") && json.Valid([]byte(l)) })
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// update changes the state under the mutex and wakes those who wait.
func (s *server) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.cond.Broadcast()
}

// await waits until ok, which is called with s.mu held.
func (s *server) await(limit time.Duration, ok func() bool) bool {
	over := false
	timer := time.AfterFunc(limit, func() { s.update(func() { over = true }) })
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ok() {
		if over {
			return false
		}
		s.cond.Wait()
	}
	return true
}

// handshakes counts the living workers that have answered. s.mu is held.
func (s *server) handshakes() int {
	n := 0
	for _, w := range s.workers {
		if w.handshake != nil && !w.dead {
			n++
		}
	}
	return n
}

// leftover tells of frames that no step has looked at.
func (s *server) leftover() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range s.workers {
		if w.garbage != nil {
			return fmt.Errorf("worker %d got something that is no frame: %w", i, w.garbage)
		}
		if len(w.frames) > 0 {
			f := w.frames[0]
			return fmt.Errorf("worker %d: a further frame waits: flags 0x%02x, stream %d, %s", i, f.Flags, f.Stream, show(string(f.Payload)))
		}
	}
	return nil
}

// close stops the server and looks for what it left behind. A server whose case
// failed is killed: its state is unknown.
func (s *server) close(failed bool) error {
	var errs []error
	if s.cmd != nil {
		s.update(s.obey)
		if failed {
			_ = s.cmd.Process.Kill()
		} else {
			_ = s.cmd.Process.Signal(syscall.SIGTERM)
		}
		if !s.await(2*stepLimit, func() bool { return s.exited }) {
			errs = append(errs, errors.New("the server does not stop"))
			_ = s.cmd.Process.Kill()
			s.await(stepLimit, func() bool { return s.exited })
		}
		if out := s.output.String(); strings.Contains(out, "DATA RACE") {
			errs = append(errs, fmt.Errorf("data race: %s", out))
		} else if strings.Contains(out, "panic: ") || strings.Contains(out, "goroutine 1 [") {
			errs = append(errs, fmt.Errorf("panic: %s", plain(out)))
		}
	}
	if !failed {
		errs = append(errs, s.leftover())
	}
	errs = append(errs, s.processesLeft(failed))
	if s.control != nil {
		_ = s.control.Close()
	}
	s.wg.Wait()
	return errors.Join(append(errs, os.RemoveAll(s.tmp))...)
}

// obey makes workers stop as they are told, whatever the case wanted of them: it
// is over. s.mu is held.
func (s *server) obey() {
	s.handshake = ""
	for _, w := range s.workers {
		if w.stop != nil && !w.dead {
			_ = w.exit(0)
		}
	}
}

// processesLeft finds processes of this server by its variable in their
// environment and ends them. After a kill of the server they are no fault.
func (s *server) processesLeft(killed bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		left := s.processes()
		if len(left) == 0 {
			return nil
		}
		if killed || ctx.Err() != nil {
			for _, pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			if killed {
				return nil
			}
			return fmt.Errorf("processes are left: %v", left)
		}
		pause(20 * time.Millisecond)
	}
}

func (s *server) processes() []int {
	mark := []byte("REPLAY_SOCKET=" + filepath.Join(s.tmp, "w") + "\x00")
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var out []int
	for _, d := range dirs {
		pid, err := strconv.Atoi(filepath.Base(d))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if env, err := os.ReadFile(d + "/environ"); err == nil && bytes.Contains(env, mark) {
			out = append(out, pid)
		}
	}
	return out
}

// pause waits between two looks at something that cannot be waited for.
func pause(d time.Duration) { <-time.After(d) }
