package rpc

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// pair returns a client and the frames that its server gets. reply answers.
func pair(t *testing.T) (c *Client, server net.Conn, requests *Reader) {
	near, far := net.Pipe()
	c = NewClient(near)
	t.Cleanup(func() {
		_ = far.Close()
		_ = c.Close()
	})
	return c, far, NewReader(far, 0)
}

func TestClientMatchesAnswersByNumber(t *testing.T) {
	c, server, requests := pair(t)
	const n = 50
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			var reply int
			if err := c.Call(t.Context(), "a.B", JSON, &i, &reply); err != nil || reply != i {
				t.Errorf("%d: %d, %v", i, reply, err)
			}
		})
	}
	var frames []Frame
	for range n {
		f, err := requests.Next()
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, f)
	}
	_, _ = server.Write(call(t, 0x08, 12345, "a.B", "0")) // nobody asked
	for i := range frames {
		f := frames[n-1-i]
		_, _ = server.Write(call(t, 0x08, f.Seq, "a.B", string(f.Body)))
	}
	calls.Wait()
}

func TestClientErrors(t *testing.T) {
	c, server, requests := pair(t)
	answer := func(flags byte, body string) {
		f, err := requests.Next()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = server.Write(call(t, flags, f.Seq, string(f.Method), body))
	}
	var arg, reply int
	go answer(0x08|goridge.Error, "no such plugin: x")
	var remote *RemoteError
	if err := c.Call(t.Context(), "a.B", JSON, &arg, &reply); !errors.As(err, &remote) || err.Error() != "no such plugin: x" || remote.Method != "a.B" {
		t.Errorf("got %v", err)
	}
	go answer(0x08, `"text"`)
	if err := c.Call(t.Context(), "a.B", JSON, &arg, &reply); err == nil || !strings.Contains(err.Error(), "a.B") {
		t.Errorf("got %v", err)
	}
	if err := c.Call(t.Context(), "a.B", Proto, &arg, &reply); !errors.Is(err, ErrNotProto) {
		t.Errorf("got %v", err)
	}
	// The connection is still good.
	go answer(0x08, "5")
	if err := c.Call(t.Context(), "a.B", JSON, &arg, &reply); err != nil || reply != 5 {
		t.Errorf("%d, %v", reply, err)
	}
	// The server goes away during a call, then before one.
	go func() {
		_, _ = requests.Next()
		_ = server.Close()
	}()
	for range 2 {
		if err := c.Call(t.Context(), "a.B", JSON, &arg, &reply); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}

func TestClientContext(t *testing.T) {
	c, server, requests := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	var arg, reply int
	seq := make(chan uint32, 1)
	go func() {
		f, _ := requests.Next()
		seq <- f.Seq
		cancel()
	}()
	if err := c.Call(ctx, "a.B", JSON, &arg, &reply); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	_, _ = server.Write(call(t, 0x08, <-seq, "a.B", "1")) // too late
	go func() {
		f, _ := requests.Next()
		_, _ = server.Write(call(t, 0x08, f.Seq, "a.B", "2"))
	}()
	if err := c.Call(t.Context(), "a.B", JSON, &arg, &reply); err != nil || reply != 2 {
		t.Fatalf("%d, %v", reply, err)
	}
	// A server that reads nothing blocks the write; the deadline ends it, and
	// with it the connection, which is in the middle of a frame.
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Call(ctx, "a.B", JSON, &arg, &reply); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v", err)
	}
}

func TestClientCloseIsIdempotent(t *testing.T) {
	c, _, requests := pair(t)
	result := make(chan error, 1)
	go func() {
		var arg, reply int
		result <- c.Call(t.Context(), "a.B", JSON, &arg, &reply)
	}()
	if _, err := requests.Next(); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	_ = c.Close()
	if err := <-result; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestDialErrors(t *testing.T) {
	if _, err := Dial(t.Context(), "/run/x"); !errors.Is(err, ErrDSN) {
		t.Error(err)
	}
	if _, err := Dial(t.Context(), "unix://"+t.TempDir()+"/none.sock"); err == nil {
		t.Error("dialled nothing")
	}
}
