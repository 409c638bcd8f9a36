package ipc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

var (
	oldAnswer = string(goridge.AppendFrame(nil, goridge.Control, 0, []byte(`{"pid":9}`)))
	newAnswer = string(goridge.AppendFrame(nil, goridge.Control, 0, []byte(`{"pid":9,"accepts":["shm"]}`)))
)

func say(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

// A worker that knows nothing else answers on stdout, as always.
func TestDoorStdout(t *testing.T) {
	c, p := doorPair(t, MinHalf)
	say(t, p.stdout, newAnswer)
	if pid := shakeHands(t, c); pid != 9 {
		t.Errorf("pid %d", pid)
	}
	if c.Accepts(SharedMemory) || c.shared.hold() {
		t.Error("shared memory without control pipe")
	}
	if out, _ := c.Stdout(); out != nil {
		t.Error("stdout was given away")
	}
	if _, err := p.w.Write([]byte("x")); err == nil {
		t.Error("the control pipe is open")
	}
	say(t, p.stdout, string(answerFrame(0, "ctx", "body")))
	m, err := c.Recv()
	if err != nil || string(m.Body) != "body" {
		t.Fatal(m, err)
	}
	m.Release()
}

// A worker may close what it does not know.
func TestDoorControlClosed(t *testing.T) {
	c, p := doorPair(t, MinHalf)
	_ = p.w.Close()
	go func() { _, _ = io.WriteString(p.stdout, oldAnswer) }()
	if pid := shakeHands(t, c); pid != 9 {
		t.Errorf("pid %d", pid)
	}
}

// What was printed before the answer on the control pipe, and after it, is output.
func TestDoorControl(t *testing.T) {
	for _, printed := range []string{"", "hi", "a line that is longer than a header\n", strings.Repeat("much ", 100_000)} {
		c, p := doorPair(t, MinHalf)
		written := make(chan struct{})
		go func() {
			defer close(written)
			_, _ = io.WriteString(p.stdout, printed)
			_, _ = p.w.WriteString(newAnswer)
			_, _ = io.WriteString(p.stdout, "later")
			_ = p.stdout.Close()
		}()
		if pid := shakeHands(t, c); pid != 9 || !c.Accepts(SharedMemory) {
			t.Errorf("pid %d", pid)
		}
		out, text := c.Stdout()
		rest, err := io.ReadAll(out)
		if got := string(text) + string(rest); err != nil || got != printed+"later" {
			t.Errorf("%d bytes of output, want %d; %v", len(got), len(printed)+5, err)
		}
		_ = out.Close()
		<-written
		if again, _ := c.Stdout(); again != nil {
			t.Error("given away twice")
		}
		// Garbage on the control pipe is named as such.
		p.write(t, []byte("not a frame at all"))
		_, err = c.Recv()
		if err == nil || strings.Contains(err.Error(), "STDOUT") || !strings.Contains(hintOf(err), "control pipe") {
			t.Errorf("%v, hint %s", err, hintOf(err))
		}
	}
}

// Text on stdout fails the handshake once it is known that nothing will come on the
// control pipe.
func TestDoorText(t *testing.T) {
	for name, then := range map[string]func(p *sharedPeer){
		"ends":              func(p *sharedPeer) { _, _ = p.stdout.Close(), p.w.Close() },
		"closes its stdout": func(p *sharedPeer) { _ = p.stdout.Close(); _ = p.w.Close() },
		"answers on stdout": func(p *sharedPeer) { _, _ = io.WriteString(p.stdout, oldAnswer) },
	} {
		t.Run(name, func(t *testing.T) {
			c, p := doorPair(t, MinHalf)
			say(t, p.stdout, "Warning: something is odd\n")
			then(p)
			_, err := c.Handshake(within(t, time.Minute), 1)
			var broken *ProtocolError
			if !errors.As(err, &broken) || !bytes.HasPrefix(broken.Received, []byte("Warning: something is odd\n")) || !strings.Contains(err.Error(), "STDOUT") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What was printed is told, also when the deadline has passed before it was read.
func TestDoorDeadline(t *testing.T) {
	for _, printed := range []string{"", "hi", "a line that is longer than a header\n"} {
		for _, left := range []time.Duration{-time.Second, 50 * time.Millisecond} {
			c, p := doorPair(t, MinHalf)
			say(t, p.stdout, printed)
			_, err := c.Handshake(dueIn{t.Context(), left}, 1)
			if err == nil || !strings.Contains(err.Error(), printed) {
				t.Errorf("%q: %v", printed, err)
			}
			if printed == "" {
				wantError(t, err, context.DeadlineExceeded)
			}
		}
	}
	c, _ := doorPair(t, MinHalf)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := c.Handshake(ctx, 1)
	wantError(t, err, context.Canceled)
}

// dueIn is a context whose own timer is late, as that of a busy machine is.
type dueIn struct {
	context.Context
	left time.Duration
}

func (d dueIn) Deadline() (time.Time, bool) { return time.Now().Add(d.left), true }

func TestDoorEnds(t *testing.T) {
	c, p := doorPair(t, MinHalf)
	_, _ = p.stdout.Close(), p.w.Close()
	if _, err := c.Handshake(within(t, time.Minute), 1); err != io.EOF {
		t.Errorf("got %v", err)
	}
	// A stdout that is closed early does not matter to one that answers elsewhere.
	c, p = doorPair(t, MinHalf)
	_ = p.stdout.Close()
	go func() { _, _ = p.w.WriteString(newAnswer) }()
	if pid := shakeHands(t, c); pid != 9 {
		t.Errorf("pid %d", pid)
	}
}
