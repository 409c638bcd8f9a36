package golden_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

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
