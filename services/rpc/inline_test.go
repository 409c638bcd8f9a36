package rpc_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
)

// mixed is a server with test.Mixed, which repeats its argument. It runs inline
// unless that begins with "wait", and then waits for release.
func mixed(t testing.TB, opts rpc.Options) (dsn string, began chan string, release chan struct{}) {
	began, release = make(chan string, 16), make(chan struct{})
	dsn = rpctest.Serve(t, opts, func(s *rpc.Server) {
		inline := func(arg *string) bool { return !strings.HasPrefix(*arg, "wait") }
		rpc.RegisterInline(s, "test.Mixed", rpc.Anyone, inline, func(_ context.Context, arg, reply *string) error {
			if !inline(arg) {
				began <- *arg
				<-release
			}
			if *arg == "panic" {
				panic("boom")
			}
			*reply = *arg
			return nil
		})
	})
	return dsn, began, release
}

// The goroutine that reads a connection runs what is short, and nothing that waits.
func TestInlineCallsOvertakeThoseThatWait(t *testing.T) {
	dsn, began, release := mixed(t, rpc.Options{Log: slog.New(slog.DiscardHandler)})
	c := rpctest.Dial(t, dsn)
	var waiting sync.WaitGroup
	for i := range 8 {
		waiting.Go(func() {
			in, out := fmt.Sprint("wait ", i), ""
			if err := c.Call(t.Context(), "test.Mixed", wire.JSON, &in, &out); err != nil || out != in {
				t.Errorf("%q: %q, %v", in, out, err)
			}
		})
		<-began
	}
	for _, in := range []string{"short", strings.Repeat("long", 1<<15), ""} {
		var out string
		if err := c.Call(t.Context(), "test.Mixed", wire.JSON, &in, &out); err != nil || out != in {
			t.Errorf("%d bytes: %d, %v", len(in), len(out), err)
		}
	}
	in, out := "panic", ""
	if err := c.Call(t.Context(), "test.Mixed", wire.JSON, &in, &out); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("panic: %v", err)
	}
	if err := c.Call(t.Context(), "test.None", wire.JSON, &in, &out); err == nil || !strings.Contains(err.Error(), "can't find method") {
		t.Errorf("unknown method: %v", err)
	}
	close(release)
	waiting.Wait()
}

// A client that does not read its answers is read no further when MaxCalls of them
// are waiting, and gets every one, whole, when it reads.
func TestInlineAnswersWaitForTheirReader(t *testing.T) {
	for size, calls := range map[int]int{1: 1000, 1000: 1000, 14_000: 100} { // more than the socket holds
		dsn, _, _ := mixed(t, rpc.Options{MaxCalls: 16})
		conn, err := net.Dial("unix", strings.TrimPrefix(dsn, "unix://"))
		if err != nil {
			t.Fatal(err)
		}
		body := `"` + strings.Repeat("x", size) + `"`
		var writing sync.WaitGroup
		writing.Go(func() {
			for i := range calls {
				if _, err := conn.Write(frame(t, "test.Mixed", uint32(i), wire.JSON, body)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		until(t, "the socket takes no more", func() bool { return !writable(t, conn) })
		r := wire.NewReader(conn, 0)
		got := make(map[uint32]bool)
		for range calls {
			f, err := r.Next()
			if err != nil {
				t.Fatalf("answers of %d bytes: %v", size, err)
			}
			if got[f.Seq] || string(f.Body) != body {
				t.Fatalf("answer %d of %d bytes; it came before: %v", f.Seq, len(f.Body), got[f.Seq])
			}
			got[f.Seq] = true
			f.Release()
		}
		writing.Wait()
		_ = conn.Close()
	}
}

// A client that never reads does not keep the server from ending, nor its own
// connection from ending with it.
func TestInlineAnswersEndWithTheServer(t *testing.T) {
	l, dsn := rpctest.Listen(t)
	s := rpc.New(rpc.Options{Listeners: []net.Listener{l}, MaxCalls: 16})
	rpc.RegisterInline(s, "test.Echo", rpc.Anyone, rpc.Always, func(_ context.Context, arg, reply *string) error {
		*reply = *arg
		return nil
	})
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	conn, err := net.Dial("unix", strings.TrimPrefix(dsn, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			if _, err := conn.Write(frame(t, "test.Echo", 1, wire.JSON, `"`+strings.Repeat("x", 1000)+`"`)); err != nil {
				return
			}
		}
	})
	until(t, "the socket takes no more", func() bool { return !writable(t, conn) })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	writing.Wait()
}

// writable tells whether the kernel would take more.
func writable(t *testing.T, c net.Conn) (ok bool) {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
			n, _ := unix.Poll(p, 0)
			ok = n == 1
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return ok
}
