package golden_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// replay runs the steps of one case against one server.
type replay struct {
	s     *server
	c     *goldenCase
	limit time.Duration
	match matcher

	conns   map[string]*wire
	last    *wire // of the step before, for steps that name none
	labels  map[string]*remoteWorker
	lastOne *remoteWorker
	codec   byte // of request contexts; answers are encoded the same way
	uploads []string
}

// run replays the case. Every wait is bounded by limit.
func run(s *server, c *goldenCase, codec byte, limit time.Duration) (err error) {
	r := &replay{
		s: s, c: c, limit: limit, match: matcher{vars: s.vars},
		conns: map[string]*wire{}, labels: map[string]*remoteWorker{}, codec: codec,
	}
	defer func() {
		for _, w := range r.conns {
			_ = w.conn.Close()
		}
	}()
	for i, st := range c.Steps {
		if err := r.step(st); err != nil {
			return fmt.Errorf("step %d %s: %w", i+1, st.Do, err)
		}
	}
	return s.leftover()
}

func (r *replay) step(st *step) error {
	if st.call != nil {
		return st.call(r)
	}
	if st.Timeout > 0 {
		defer func(limit time.Duration) { r.limit = limit }(r.limit)
		r.limit = max(r.limit, time.Duration(st.Timeout)*time.Second)
	}
	switch st.Do {
	case "send":
		w, err := r.conn(st)
		if err != nil {
			return err
		}
		return w.send(st.Data, r.limit)
	case "partial":
		w, err := r.conn(st)
		if err != nil {
			return err
		}
		return w.until(st.Until, r.limit)
	case "close":
		w, err := r.conn(st)
		if err != nil {
			return err
		}
		w.reset()
		return nil
	case "finish":
		w, err := r.conn(st)
		if err != nil {
			return err
		}
		return w.finish()
	case "response":
		return r.response(st)
	case "fcgi_response":
		return r.fcgiResponse(st)
	case "frame":
		return r.frame(st)
	case "answer":
		return r.answer(st)
	case "exit":
		w, err := r.worker(st)
		if err != nil {
			return err
		}
		return w.exit(st.Code)
	case "stderr":
		w, err := r.worker(st)
		if err != nil {
			return err
		}
		return w.write('S', []byte(st.Text))
	case "gone":
		return r.gone(st)
	case "stop":
		return r.stop(st)
	case "any_worker":
		_, err := r.bind(st.Worker, func(w *remoteWorker) bool { return !w.dead && (w.handshake != nil || r.s.handshake == "manual") })
		return err
	case "hello":
		return r.hello(st)
	case "pid_request":
		return r.pidRequest(st)
	case "uploads_gone":
		return r.uploadsGone()
	case "rpc":
		return r.rpc(st)
	case "cli":
		return r.cli(st)
	case "signal":
		return r.signal(st)
	case "exited":
		return r.exited(st)
	case "alive":
		return r.alive()
	case "sleep":
		pause(time.Duration(st.MS) * time.Millisecond)
		return nil
	case "poll":
		return r.poll(st)
	}
	return fmt.Errorf("unknown step")
}

// diff compares and joins the differences to one error.
func (r *replay) diff(m matcher, want, got any) error {
	if d := m.diff("", want, got); len(d) > 0 {
		return errors.New(strings.Join(d, "; "))
	}
	return nil
}

// conn is the connection of a step, opened at its first use. A step without a
// label means the connection of the step before.
func (r *replay) conn(st *step) (*wire, error) {
	if st.Conn == "" {
		if r.last == nil {
			return nil, errors.New("no connection yet")
		}
		return r.last, nil
	}
	if w := r.conns[st.Conn]; w != nil {
		r.last = w
		return w, nil
	}
	to := st.To
	if to == "" {
		to = "http"
		if st.Do == "rpc" {
			to = "rpc"
		}
	}
	var c net.Conn
	var err error
	switch file, isUnix := strings.CutPrefix(to, "unix:"); {
	case isUnix:
		c, err = net.DialTimeout("unix", filepath.Join(r.s.tmp, file), r.limit)
	case to == "https":
		d := &net.Dialer{Timeout: r.limit}
		c, err = tls.DialWithDialer(d, "tcp", r.s.addresses[to], &tls.Config{InsecureSkipVerify: true, ServerName: "example.test"})
	case r.s.addresses[to] != "":
		c, err = net.DialTimeout("tcp", r.s.addresses[to], r.limit)
	default:
		err = fmt.Errorf("unknown address %q", to)
	}
	if err != nil {
		return nil, err
	}
	w := newWire(c)
	r.conns[st.Conn], r.last = w, w
	return w, nil
}

// bind waits for a worker that fits and gives it the label. A label that is
// bound already stands for its process; no process has two labels.
func (r *replay) bind(label string, fits func(*remoteWorker) bool) (*remoteWorker, error) {
	var found *remoteWorker
	ok := r.s.await(r.limit, func() bool {
		if w := r.labels[label]; w != nil {
			if fits(w) {
				found = w
			}
			return found != nil
		}
		for _, w := range r.s.workers {
			if fits(w) && !r.labelled(w) {
				found = w
				return true
			}
		}
		return false
	})
	if !ok {
		return nil, fmt.Errorf("worker %q: %w; %s", label, os.ErrDeadlineExceeded, r.situation())
	}
	r.labels[label] = found
	r.lastOne = found
	return found, nil
}

// hasFrame is closed when a frame waits at the worker, or the time is over.
func (r *replay) hasFrame(label string) <-chan struct{} {
	ch := make(chan struct{})
	go func() {
		defer close(ch)
		r.s.await(r.limit, func() bool { return len(r.labels[label].frames) > 0 })
	}()
	return ch
}

func (r *replay) labelled(w *remoteWorker) bool {
	for _, l := range r.labels {
		if l == w {
			return true
		}
	}
	return false
}

// situation says what there is instead of what was waited for.
func (r *replay) situation() string {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "server exited: %t", r.s.exited)
	for i, w := range r.s.workers {
		fmt.Fprintf(&b, ", worker %d (dead: %t, stop: %t, frames: %d)", i, w.dead, w.stop != nil, len(w.frames))
	}
	for label, c := range r.conns {
		c.mu.Lock()
		if len(c.buf) > 0 || c.err != nil {
			fmt.Fprintf(&b, ", %s received %s (%v)", label, show(string(c.buf)), c.err)
		}
		c.mu.Unlock()
	}
	return b.String()
}

// worker is the process of a label, or the one of the step before.
func (r *replay) worker(st *step) (*remoteWorker, error) {
	w := r.labels[st.Worker]
	if st.Worker == "" {
		w = r.lastOne
	}
	if w == nil {
		return nil, fmt.Errorf("no worker %q yet", st.Worker)
	}
	return w, nil
}

func (r *replay) gone(st *step) error {
	w, err := r.worker(st)
	if err != nil {
		return err
	}
	if !r.s.await(r.limit, func() bool { return w.dead }) {
		return fmt.Errorf("worker %q still runs", st.Worker)
	}
	return nil
}

func (r *replay) stop(st *step) error {
	w, err := r.bind(st.Worker, func(w *remoteWorker) bool { return w.stop != nil })
	if err != nil {
		return err
	}
	var order any
	if err := decodeJSON(w.stop.Payload, &order); err != nil {
		return err
	}
	return r.diff(r.match, st.Expect, map[string]any{"flags": number(w.stop.Flags), "json": order, "frame_hex": w.stop.hex()})
}

func (r *replay) hello(st *step) error {
	w, err := r.worker(st)
	if err != nil {
		return err
	}
	env := map[string]any{}
	for _, e := range w.env {
		// RR_IPC is ours, and read by our package only.
		if k, v, _ := strings.Cut(e, "="); strings.HasPrefix(k, "RR_") && k != "RR_IPC" || strings.HasPrefix(k, "GOLD") {
			env[k] = v
		}
	}
	argv := []any{}
	for _, a := range w.argv {
		argv = append(argv, a)
	}
	return r.diff(r.match, st.Expect, map[string]any{"env": env, "argv": argv})
}

func (r *replay) pidRequest(st *step) error {
	w, err := r.worker(st)
	if err != nil {
		return err
	}
	var v any
	if err := decodeJSON(w.handshake.Payload, &v); err != nil {
		return err
	}
	return r.diff(r.match, st.Expect, map[string]any{
		"flags": number(w.handshake.Flags), "options": number(len(w.handshake.Options)), "json": v, "crc_ok": w.handshake.CRC,
	})
}

func (r *replay) signal(st *step) error {
	signals := map[string]syscall.Signal{
		"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "QUIT": syscall.SIGQUIT, "ABRT": syscall.SIGABRT,
		"HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "KILL": syscall.SIGKILL,
	}
	sig, ok := signals[st.Signal]
	if !ok {
		return fmt.Errorf("unknown signal %q", st.Signal)
	}
	return r.s.cmd.Process.Signal(sig)
}

// exited: the server has ended by itself. It may say more than RoadRunner did,
// which is how it explains an error, but RoadRunner's text must be there.
func (r *replay) exited(st *step) error {
	if !r.s.await(r.limit, func() bool { return r.s.exited }) {
		return errors.New("the server still runs")
	}
	r.s.mu.Lock()
	code, output := r.s.code, plain(r.s.output.String())
	r.s.mu.Unlock()
	want, _ := st.Expect.(map[string]any)
	err := r.diff(r.match, map[string]any{"code": want["code"]}, map[string]any{"code": number(code)})
	if text, ok := want["output"].(string); ok && !r.match.contains(text, output) {
		err = errors.Join(err, fmt.Errorf("output: want %q, got %q", r.match.expand(text), output))
	}
	return err
}

func (r *replay) alive() error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.exited {
		return fmt.Errorf("the server exited with code %d: %s", r.s.code, plain(r.s.output.String()))
	}
	return nil
}

func clone(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
