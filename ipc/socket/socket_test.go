package socket

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// socketPair is a connected pair, the first with its Socket.
func socketPair(t *testing.T, network, address string) (near net.Conn, raw *Socket, far net.Conn) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.Dial(network, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	if raw = New(near); raw == nil {
		t.Fatalf("no Socket for %T", near)
	}
	return near, raw, far
}

func TestCarriesEveryByte(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": t.TempDir() + "/socket"} {
		near, raw, far := socketPair(t, network, address)
		sent := make([]byte, 3<<20+17) // more than any socket holds: both sides have to wait
		_, _ = rand.Read(sent)
		var group sync.WaitGroup
		group.Go(func() {
			const part = 100 << 10 // of which the kernel has taken some, raw calls and usual ones write the rest
			for rest := sent; len(rest) > 0; {
				n, err := raw.TryWrite(rest[:min(len(rest), part)])
				if err == nil {
					var m int
					m, err = raw.Write(rest[n:min(len(rest), part)])
					n += m
				}
				if err != nil {
					t.Errorf("%s: %v", network, err)
					break
				}
				rest = rest[n:]
			}
			near.(interface{ CloseWrite() error }).CloseWrite()
		})
		group.Go(func() { // the other way at the same time
			if _, err := far.Write(sent); err != nil {
				t.Errorf("%s: %v", network, err)
			}
			far.(interface{ CloseWrite() error }).CloseWrite()
		})
		group.Go(func() {
			got, err := io.ReadAll(far)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%s: the peer got %d bytes of %d, %v", network, len(got), len(sent), err)
			}
		})
		got, err := io.ReadAll(raw)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%s: got %d bytes of %d, %v", network, len(got), len(sent), err)
		}
		group.Wait()
	}
}

// net/http decides by the kind of an error what it answers and what it logs.
func TestFailsLikeNet(t *testing.T) {
	buf := make([]byte, 1)

	near, raw, far := socketPair(t, "tcp", "127.0.0.1:0")
	near.SetReadDeadline(time.Unix(1, 0))
	_, err := raw.Read(buf)
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("past deadline: %#v", err)
	}
	near.SetReadDeadline(time.Time{})
	far.(*net.TCPConn).SetLinger(0)
	far.Close() // a reset
	for err = nil; err == nil; _, err = raw.Write(buf) {
		// what comes first is a matter of time
	}
	_, want := near.Read(buf)
	_, err = raw.Read(buf)
	var oe *net.OpError
	if err != want && (!errors.As(err, &oe) || oe.Op != "read") {
		t.Errorf("after a reset: %#v, of net: %#v", err, want)
	}

	near, raw, _ = socketPair(t, "tcp", "127.0.0.1:0")
	near.Close()
	if _, err = raw.Read(buf); !errors.Is(err, net.ErrClosed) || !errors.As(err, &oe) || oe.Op != "read" {
		t.Errorf("read from a closed socket: %#v", err)
	}
	if _, err = raw.Write(buf); !errors.Is(err, net.ErrClosed) || !errors.As(err, &oe) || oe.Op != "write" {
		t.Errorf("write to a closed socket: %#v", err)
	}
	if pipe, other := net.Pipe(); New(pipe) != nil {
		t.Error("a pipe in memory is no socket")
	} else {
		pipe.Close()
		other.Close()
	}
}

func TestAllocatesNothing(t *testing.T) {
	_, raw, far := socketPair(t, "tcp", "127.0.0.1:0")
	buf := make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = far.Write(buf)
		_, _ = raw.Read(buf)
		_, _ = raw.Write(buf)
		_, _ = io.ReadFull(far, buf)
	}); n > 0 {
		t.Errorf("%v allocations a round trip", n)
	}
}

func TestTryWriteDoesNotWait(t *testing.T) {
	near, raw, far := socketPair(t, "unix", t.TempDir()+"/socket")
	part, sent := make([]byte, 1<<10), 0
	for {
		n, err := raw.TryWrite(part)
		if err != nil {
			t.Fatal(err)
		}
		if sent += n; n < len(part) {
			break
		}
	}
	near.Close()
	if got, err := io.Copy(io.Discard, far); err != nil || int(got) != sent {
		t.Errorf("the peer got %d bytes of %d, %v", got, sent, err)
	}
	if n, err := raw.TryWrite(part); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %d, %v", n, err)
	}
	if n, err := raw.TryWrite(nil); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
}
