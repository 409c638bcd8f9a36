package golden_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

func (r *replay) frame(st *step) error {
	if st.anyWorker {
		delete(r.labels, st.Worker)
	}
	w, err := r.bind(st.Worker, func(w *remoteWorker) bool { return len(w.frames) > 0 })
	if err != nil {
		return err
	}
	j := &jobFrame{Worker: w}
	r.s.update(func() { j.frame, w.frames = w.frames[0], w.frames[1:] })
	if err := r.decode(st, j); err != nil {
		return err
	}
	if st.check != nil {
		return st.check(j)
	}
	want, ok := st.Expect.(map[string]any)
	if !ok {
		return nil
	}
	want = clone(want)
	got := map[string]any{
		"version": number(j.Version), "stream": number(j.Stream), "options": number(len(j.Options)),
		"crc_ok": j.CRC, "header_len": number(len(j.Header)), "body": j.Body, "flags": number(j.Flags),
	}
	isRequest := want["context"] != nil && st.Context != "json"
	if isRequest && j.Flags == flagJSON {
		got["flags"] = number(flagProto)
	}
	if want["context"] != nil {
		got["context"] = j.Context
	}
	if want["json"] != nil {
		var v any
		if err := decodeJSON(j.Payload, &v); err != nil {
			return fmt.Errorf("payload %q: %w", j.Payload, err)
		}
		got["json"] = v
	}
	if want["files"] != nil {
		got["files"] = j.Files
	}
	if want["body"] == nil {
		delete(got, "body")
	}
	if want["header_len"] == nil {
		delete(got, "header_len")
	}
	// The order of maps is random and their entries can be written in more than
	// one way: only the bytes of a frame that is no request are compared.
	delete(want, "context_raw")
	header, _ := want["header_hex"].(string)
	delete(want, "header_hex")
	if j.Context["parsed"] == true {
		want["body"], got["body"] = jsonBody(want["body"]), jsonBody(got["body"])
	}
	if have := hex.EncodeToString(j.Header); !isRequest && st.Context != "json" && !strings.HasPrefix(have, header) {
		err = fmt.Errorf("header: want %s, got %s", header, have)
	}
	m := r.match
	m.unordered = want["files"] != nil && len(j.Files) > 1
	files := want["files"]
	delete(want, "files")
	gotFiles := got["files"]
	delete(got, "files")
	if files != nil {
		err = errors.Join(err, r.diff(m, files, gotFiles))
	}
	return errors.Join(err, r.diff(r.match, want, got))
}

// decode fills the context, the body and the uploaded files of a frame.
func (r *replay) decode(st *step, j *jobFrame) error {
	j.Files = []any{}
	if len(j.Options) != 1 {
		j.Body = string(j.Payload)
		return nil
	}
	context, body, err := j.split()
	if err != nil {
		return err
	}
	j.Body = string(body)
	if st.Context == "json" {
		if err := decodeJSON(context, &j.Context); err != nil {
			return fmt.Errorf("context %q: %w", context, err)
		}
		if headers, ok := j.Context["headers"].(map[string]any); ok {
			delete(headers, "Traceparent")
			delete(headers, "Uber-Trace-Id")
		}
		return nil
	}
	if j.Context, err = decodeRequest(j.Flags, context); err != nil {
		return err
	}
	if j.Flags != r.codec {
		return fmt.Errorf("the context is in codec 0x%02x, want 0x%02x", j.Flags, r.codec)
	}
	return r.files(j.Context["uploads"], &j.Files)
}

// files looks at the uploaded files of an upload tree.
func (r *replay) files(tree any, out *[]any) error {
	switch tree := tree.(type) {
	case []any:
		for _, e := range tree {
			if err := r.files(e, out); err != nil {
				return err
			}
		}
	case map[string]any:
		name, isLeaf := tree["tmpName"].(string)
		if !isLeaf {
			for _, e := range tree {
				if err := r.files(e, out); err != nil {
					return err
				}
			}
			return nil
		}
		if name == "" {
			return nil
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		r.uploads = append(r.uploads, name)
		*out = append(*out, map[string]any{
			"mode": fmt.Sprintf("%04o", info.Mode().Perm()), "content": string(content), "dir": filepath.Dir(name),
		})
	}
	return nil
}

// jsonBody is a body to be compared as a JSON value; an empty one stays.
func jsonBody(v any) any {
	s, ok := v.(string)
	var out any
	if !ok || decodeJSON([]byte(s), &out) != nil {
		return v
	}
	return out
}

func (r *replay) answer(st *step) error {
	w, err := r.worker(st)
	if err != nil {
		return err
	}
	var data []byte
	for ; st != nil; st = st.with {
		one := []byte(st.Data)
		if !st.Fixed && st.About != nil && r.codec == flagJSON {
			if one, err = encodeAnswer(st.About, r.codec); err != nil {
				return err
			}
		}
		data = append(data, one...)
	}
	return w.write('D', data)
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
		if k, v, _ := strings.Cut(e, "="); strings.HasPrefix(k, "RR_") || strings.HasPrefix(k, "GOLD") {
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

func (r *replay) uploadsGone() error {
	left := r.uploads
	for end := time.Now().Add(r.limit); ; pause(5 * time.Millisecond) {
		left = slices.DeleteFunc(left, func(name string) bool {
			_, err := os.Stat(name)
			return errors.Is(err, os.ErrNotExist)
		})
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("temporary files are left: %v", left)
		}
	}
}

func (r *replay) response(st *step) error {
	w, err := r.conn(st)
	if err != nil {
		return err
	}
	got, err := w.response(st.Method, r.limit)
	if err != nil {
		return fmt.Errorf("%w; so far: %s; %s", err, show(got), r.situation())
	}
	if st.check != nil {
		return st.check(got)
	}
	want, ok := st.Expect.(map[string]any)
	if !ok {
		return nil
	}
	if want["closed"] == true && !w.closed(r.limit) {
		err = errors.New("the connection is not closed")
	}
	return errors.Join(err, r.compareResponse(st, want, got))
}

// compareResponse applies the rules of data/README.md, "How a response is
// compared".
func (r *replay) compareResponse(st *step, want map[string]any, got *httpResponse) error {
	if want["none"] == true || got.None {
		if (want["none"] == true) != got.None {
			return fmt.Errorf("closed without an answer: want %v, got %t (%s)", want["none"] == true, got.None, show(got))
		}
		return nil
	}
	body := any(got.Body)
	m := r.match
	m.unordered = st.Unordered
	switch st.Kind {
	case "gzip":
		s, err := gunzip(got.Body)
		if err != nil {
			return fmt.Errorf("body %q: %w", got.Body, err)
		}
		body = s
	case "json":
		if err := decodeJSON([]byte(got.Body), &body); err != nil {
			return fmt.Errorf("body %q: %w", got.Body, err)
		}
	case "metrics":
		page, err := parseMetrics(got.Body)
		if err != nil {
			return err
		}
		wanted, _ := want["body"].(map[string]any)
		keepValues(wanted, page)
		body = page
	}
	errs := []error{
		r.diff(m, map[string]any{"body": want["body"]}, map[string]any{"body": body}),
		r.diff(r.match,
			map[string]any{"proto": want["proto"], "status": want["status"], "reason": want["reason"], "truncated": want["truncated"]},
			map[string]any{"proto": got.Proto, "status": number(got.Status), "reason": got.Reason, "truncated": got.Truncated}),
	}
	ignore := slices.Clone(st.Ignore)
	ignore = append(ignore, "Date")
	delimited := func(framing any) bool { return framing == "chunked" || framing == "length" }
	if got.Body != "" && !got.Truncated && delimited(got.Framing) && delimited(want["framing"]) {
		ignore = append(ignore, "Content-Length", "Transfer-Encoding")
	} else if want["framing"] != got.Framing {
		errs = append(errs, fmt.Errorf("framing: want %v, got %s", want["framing"], got.Framing))
	}
	errs = append(errs, r.headers("headers", want["headers"], got.Headers, ignore))
	if t, ok := want["trailers"]; ok {
		errs = append(errs, r.headers("trailers", t, got.Trailers, nil))
	}
	interim, _ := want["interim"].([]any)
	if len(interim) != len(got.Interim) {
		errs = append(errs, fmt.Errorf("interim: want %s, got %s", show(interim), show(got.Interim)))
	} else {
		for i, h := range got.Interim {
			head, _ := interim[i].(map[string]any)
			errs = append(errs, r.diff(r.match,
				map[string]any{"status": head["status"], "reason": head["reason"]},
				map[string]any{"status": number(h.Status), "reason": h.Reason}),
				r.headers("interim headers", head["headers"], h.Headers, ignore))
		}
	}
	return errors.Join(errs...)
}

// headers compares headers per name: case of the name and order of different
// names do not count, order and number of the values do.
func (r *replay) headers(what string, want any, got [][2]string, ignore []string) error {
	group := func(list [][2]any) map[string]any {
		out := map[string]any{}
		for _, h := range list {
			name := strings.ToLower(h[0].(string))
			if !slices.ContainsFunc(ignore, func(i string) bool { return strings.EqualFold(i, name) }) {
				values, _ := out[name].([]any)
				out[name] = append(values, h[1])
			}
		}
		return out
	}
	var w, g [][2]any
	list, _ := want.([]any)
	for _, e := range list {
		pair, _ := e.([]any)
		name, ok := text(pair[0])
		if !ok {
			return fmt.Errorf("%s: strange recording %s", what, show(e))
		}
		w = append(w, [2]any{name, pair[1]})
	}
	for _, h := range got {
		g = append(g, [2]any{h[0], h[1]})
	}
	if err := r.diff(r.match, group(w), group(g)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (r *replay) fcgiResponse(st *step) error {
	w, err := r.conn(st)
	if err != nil {
		return err
	}
	headers, body, err := w.fcgi(r.limit)
	if err != nil {
		return err
	}
	want, _ := st.Expect.(map[string]any)
	return errors.Join(r.headers("headers", want["headers"], headers, []string{"Date"}),
		r.diff(r.match, map[string]any{"body": want["body"]}, map[string]any{"body": body}))
}

func (r *replay) rpc(st *step) error {
	w, err := r.conn(st)
	if err != nil {
		return err
	}
	if err := w.send(st.Request, r.limit); err != nil {
		return err
	}
	got, err := w.rpcAnswer(r.limit)
	if err != nil {
		return err
	}
	if st.check != nil {
		return st.check(got)
	}
	want, ok := st.Expect.(map[string]any)
	if !ok {
		return nil
	}
	want = clone(want)
	// The order of lists in it is random, and gob numbers types as it goes.
	delete(want, "frame_hex")
	value, err := got.value()
	if err != nil {
		return err
	}
	m := r.match
	m.unordered = st.Unordered
	m.optional = map[string]bool{}
	for _, k := range st.Mask {
		m.optional[k.pattern] = true
	}
	return r.diff(m, want, value)
}

// rpcAnswer reads one frame from an RPC connection.
func (w *wire) rpcAnswer(limit time.Duration) (*rpcAnswer, error) {
	var f *frame
	var broken error
	r := reader{w, time.Now().Add(limit)}
	_, err := r.take(func(buf []byte, end bool) (int, bool) {
		got, n, err := parseFrame(buf)
		if err == nil {
			f = got
			return n, true
		}
		if !errors.Is(err, errShortFrame) {
			broken = err
			return 0, true
		}
		return 0, end && len(buf) == 0
	})
	switch {
	case broken != nil:
		return nil, broken
	case err != nil:
		return nil, err
	case f == nil:
		return &rpcAnswer{Closed: true}, nil
	}
	return parseAnswer(f)
}

// cliResult is what a run of the rr command gave.
type cliResult struct {
	Exit           int
	Stdout, Stderr string
}

func (r *replay) cli(st *step) error {
	ctx, cancel := context.WithTimeout(context.Background(), r.limit)
	defer cancel()
	args := make([]string, len(st.Args))
	for i, a := range st.Args {
		args[i] = r.s.vars.Replace(a)
	}
	cmd := exec.CommandContext(ctx, r.s.bin.rr, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = r.s.tmp, r.s.env, &stdout, &stderr, time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		return fmt.Errorf("rr %s: %w; stdout %q, stderr %q", strings.Join(args, " "), errors.Join(err, ctx.Err()), stdout.String(), stderr.String())
	}
	got := &cliResult{cmd.ProcessState.ExitCode(), masked(stdout.String(), st.Mask), masked(stderr.String(), st.Mask)}
	if st.check != nil {
		return st.check(got)
	}
	return r.diff(r.match, st.Expect, map[string]any{"exit": number(got.Exit), "stdout": got.Stdout, "stderr": got.Stderr})
}

// masked takes colours away and replaces what changes from run to run.
func masked(s string, with masks) string {
	s = escapeSequence.ReplaceAllString(s, "")
	for _, m := range with {
		s = regexp.MustCompile(m.pattern).ReplaceAllLiteralString(s, m.with)
	}
	return s
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

// poll asks an address until it answers with the status.
func (r *replay) poll(st *step) error {
	ctx, cancel := context.WithTimeout(context.Background(), r.limit)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	last := ""
	for ; ctx.Err() == nil; pause(20 * time.Millisecond) {
		to := st.To
		if to == "" {
			to = "http"
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.s.addresses[to]+st.Path, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			last = err.Error()
			continue
		}
		_ = resp.Body.Close()
		if last = resp.Status; resp.StatusCode == st.Status {
			return nil
		}
	}
	return fmt.Errorf("no status %d: %s", st.Status, last)
}

func clone(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
