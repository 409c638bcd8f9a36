package rpc_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
)

// blocking is a server with test.Wait, which tells began and waits for release
// or, with the argument true, for the end of its context.
type blocking struct {
	*rpc.Server
	dsn     string
	began   chan struct{}
	release chan struct{}
	ended   chan error // of Run
}

func serveBlocking(t *testing.T) *blocking {
	l, dsn := rpctest.Listen(t)
	b := &blocking{
		Server: rpc.New(rpc.Options{Listeners: []net.Listener{l}}),
		dsn:    dsn, began: make(chan struct{}), release: make(chan struct{}), ended: make(chan error, 1),
	}
	rpc.Register(b.Server, "test.Wait", rpc.Anyone, func(ctx context.Context, heed *bool, reply *bool) error {
		b.began <- struct{}{}
		select {
		case <-b.release:
			*reply = true
		case <-ctx.Done():
			if *heed {
				return ctx.Err()
			}
			<-b.release
		}
		return nil
	})
	go func() { b.ended <- b.Run(t.Context()) }()
	return b
}

func (b *blocking) call(t *testing.T, heed bool) <-chan error {
	c := rpctest.Dial(t, b.dsn)
	result := make(chan error, 1)
	go func() {
		var reply bool
		err := c.Call(t.Context(), "test.Wait", wire.JSON, &heed, &reply)
		if err == nil && !reply {
			err = errors.New("no reply")
		}
		result <- err
	}()
	<-b.began
	return result
}

func TestShutdownLetsRunningCallsFinish(t *testing.T) {
	b := serveBlocking(t)
	first, second := b.call(t, true), b.call(t, true)
	down := make(chan error, 1)
	go func() { down <- b.Shutdown(t.Context()) }()
	until(t, "the listener is closed", func() bool {
		c, err := wire.Dial(t.Context(), b.dsn)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned %v while calls ran", err)
	default:
	}
	close(b.release)
	for _, c := range []<-chan error{first, second, down, b.ended} {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
}

func TestShutdownDeadlineCancelsCalls(t *testing.T) {
	b := serveBlocking(t)
	call := b.call(t, true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := b.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-call; err == nil {
		t.Error("the call succeeded")
	}
	if err := <-b.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestShutdownClosesIdleConnections(t *testing.T) {
	b := serveBlocking(t)
	conn, err := net.Dial("unix", b.dsn[len("unix://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Fatalf("read %d bytes from a closed server", n)
	}
	<-b.ended
}

func TestCloseIsIdempotentAndWaits(t *testing.T) {
	b := serveBlocking(t)
	call := b.call(t, false) // does not heed its context
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = b.Close()
		_ = b.Close()
	}()
	if err := <-call; !errors.Is(err, wire.ErrClosed) {
		t.Errorf("the caller got %v", err)
	}
	select {
	case <-closed:
		t.Error("Close returned while a method ran")
	default:
	}
	close(b.release)
	<-closed
	if err := <-b.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown after Close: %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	l, _ := rpctest.Listen(t)
	s := rpc.New(rpc.Options{Listeners: []net.Listener{l}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	// Without listeners, too.
	if err := rpc.New(rpc.Options{}).Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// flaky fails with its errors before it accepts.
type flaky struct {
	net.Listener
	errs chan error
}

func (f *flaky) Accept() (net.Conn, error) {
	select {
	case err := <-f.errs:
		return nil, err
	default:
		return f.Listener.Accept()
	}
}

type temporary struct{}

func (temporary) Error() string   { return "too many open files" }
func (temporary) Temporary() bool { return true }

func TestAcceptErrors(t *testing.T) {
	l, dsn := rpctest.Listen(t)
	f := &flaky{l, make(chan error, 2)}
	f.errs <- temporary{}
	s := rpc.New(rpc.Options{Listeners: []net.Listener{f}})
	echo(s)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	in, out := "x", ""
	if err := rpctest.Dial(t, dsn).Call(t.Context(), "test.Echo", wire.JSON, &in, &out); err != nil {
		t.Fatalf("after a temporary error: %v", err)
	}
	broken := errors.New("broken listener")
	f.errs <- broken
	if c, err := net.Dial("unix", dsn[len("unix://"):]); err == nil {
		defer c.Close() // wakes Accept
	}
	if err := <-ended; !errors.Is(err, broken) {
		t.Fatalf("Run: %v", err)
	}
}
