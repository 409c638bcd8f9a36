package rpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
)

func echo(s *rpc.Server) {
	rpc.Register(s, "test.Echo", rpc.Anyone, func(_ context.Context, arg, reply *string) error {
		*reply = *arg
		return nil
	})
}

// until waits for a condition, at most 10 s.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("timeout: %s", what)
		}
	}
}

func TestThousandCallsAnswerOutOfOrder(t *testing.T) {
	const n = 1000
	release := make([]chan struct{}, n)
	for i := range release {
		release[i] = make(chan struct{})
	}
	var running atomic.Int32
	dsn := rpctest.Serve(t, rpc.Options{}, func(s *rpc.Server) {
		rpc.Register(s, "test.Wait", rpc.Anyone, func(_ context.Context, arg, reply *int) error {
			running.Add(1)
			<-release[*arg]
			*reply = *arg * 2
			return nil
		})
	})
	c := rpctest.Dial(t, dsn)
	answered := make([]chan struct{}, n)
	var calls sync.WaitGroup
	for i := range n {
		answered[i] = make(chan struct{})
		calls.Go(func() {
			defer close(answered[i])
			var reply int
			codec := []wire.Codec{wire.JSON, wire.Gob, wire.Msgpack}[i%3]
			if err := c.Call(t.Context(), "test.Wait", codec, &i, &reply); err != nil || reply != 2*i {
				t.Errorf("call %d: %d, %v", i, reply, err)
			}
		})
	}
	until(t, "all calls run at a time", func() bool { return running.Load() == n })
	for i := n - 1; i >= 0; i-- { // the last call is answered first
		close(release[i])
		<-answered[i]
	}
	calls.Wait()
}

func TestMaxCallsBoundsAConnection(t *testing.T) {
	var running, most atomic.Int32
	release := make(chan struct{})
	dsn := rpctest.Serve(t, rpc.Options{MaxCalls: 2}, func(s *rpc.Server) {
		rpc.Register(s, "test.Wait", rpc.Anyone, func(context.Context, *bool, *bool) error {
			most.Store(max(most.Load(), running.Add(1)))
			<-release
			running.Add(-1)
			return nil
		})
	})
	c := rpctest.Dial(t, dsn)
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() {
			var arg, reply bool
			if err := c.Call(t.Context(), "test.Wait", wire.JSON, &arg, &reply); err != nil {
				t.Error(err)
			}
		})
	}
	until(t, "two calls run", func() bool { return running.Load() == 2 })
	close(release)
	calls.Wait()
	if n := most.Load(); n > 2 {
		t.Fatalf("%d calls ran at a time", n)
	}
}

func TestContextEndsWithThePeer(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	dsn := rpctest.Serve(t, rpc.Options{}, func(s *rpc.Server) {
		rpc.Register(s, "test.Wait", rpc.Anyone, func(ctx context.Context, _, _ *bool) error {
			close(began)
			<-ctx.Done()
			ended <- ctx.Err()
			return ctx.Err()
		})
	})
	c := rpctest.Dial(t, dsn)
	call := make(chan error, 1)
	go func() {
		var arg, reply bool
		call <- c.Call(t.Context(), "test.Wait", wire.JSON, &arg, &reply)
	}()
	<-began
	_ = c.Close()
	if err := <-call; !errors.Is(err, wire.ErrClosed) {
		t.Errorf("the caller got %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the method's context ended with %v", err)
	}
}

func TestHalfClosedClientGetsItsAnswer(t *testing.T) {
	dsn := rpctest.Serve(t, rpc.Options{}, echo)
	_, path, _ := wire.ParseDSN(dsn)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write(frame(t, "test.Echo", 7, wire.JSON, `"hi"`))
	_ = conn.(*net.UnixConn).CloseWrite()
	f, _ := readFrame(t, conn)
	if string(f.Body) != `"hi"` || f.Seq != 7 {
		t.Fatalf("got %q, seq %d", f.Body, f.Seq)
	}
	if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
		t.Fatalf("after the answer: %q, %v", rest, err)
	}
}

func TestPanicIsAnErrorAndALogRecord(t *testing.T) {
	var log syncBuffer
	dsn := rpctest.Serve(t, rpc.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(s *rpc.Server) {
		echo(s)
		rpc.Register(s, "test.Panic", rpc.Anyone, func(context.Context, *bool, *bool) error { panic("boom") })
	})
	c := rpctest.Dial(t, dsn)
	var arg, reply bool
	err := c.Call(t.Context(), "test.Panic", wire.Gob, &arg, &reply)
	var remote *wire.RemoteError
	if !errors.As(err, &remote) || !strings.Contains(remote.Text, "boom") {
		t.Fatalf("got %v", err)
	}
	if got := log.String(); !strings.Contains(got, "boom") || !strings.Contains(got, "test.Panic") || !strings.Contains(got, "server_test.go") {
		t.Fatalf("log: %s", got)
	}
	in, out := "still there", ""
	if err := c.Call(t.Context(), "test.Echo", wire.Gob, &in, &out); err != nil || out != in {
		t.Fatalf("%q, %v", out, err)
	}
}

func TestHostileFrames(t *testing.T) {
	dsn := rpctest.Serve(t, rpc.Options{MaxPayload: 1 << 20}, echo)
	_, path, _ := wire.ParseDSN(dsn)
	header := func(length uint32, options ...uint32) []byte {
		return goridge.AppendHeader(nil, goridge.CodecJSON, 0, length, options...)
	}
	long := header(0)
	long[0] = 1<<4 | 14
	for name, data := range map[string][]byte{
		"method longer than payload": append(header(4, 1, 5), "test"...),
		"method of 4 GiB":            append(header(4, 1, ^uint32(0)), "test"...),
		"payload of 4 GiB":           header(^uint32(0), 1, 4),
		"payload above the limit":    header(1<<20+1, 1, 4),
		"method name of 64 KiB":      header(1<<17, 1, 1<<16),
		"three options":              header(0, 1, 0, 0),
		"ten options":                header(0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		"header of 14 words":         long,
		"header of 14 words, CRC":    recrc(long),
		"HTTP":                       []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"zeros":                      make([]byte, 4096),
		"cut header":                 header(4, 1, 4)[:7],
		"cut options":                header(4, 1, 4)[:15],
		"cut payload":                append(header(9, 1, 9), "test"...),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = conn.Write(data)
			if strings.HasPrefix(name, "cut") {
				_ = conn.(*net.UnixConn).CloseWrite()
			}
			// Closing with unread input resets the connection.
			if b, err := io.ReadAll(conn); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("got % x, %v, want a closed connection", b, err)
			}
		})
	}
	in, out := "alive", ""
	if err := rpctest.Dial(t, dsn).Call(t.Context(), "test.Echo", wire.JSON, &in, &out); err != nil || out != in {
		t.Fatalf("%q, %v", out, err)
	}
}

// TestAnnouncedBytesCostNothing: a frame that announces much and sends little
// takes no memory for the announcement.
func TestAnnouncedBytesCostNothing(t *testing.T) {
	dsn := rpctest.Serve(t, rpc.Options{MaxPayload: 1 << 30}, echo)
	_, path, _ := wire.ParseDSN(dsn)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 64 {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		data := goridge.AppendHeader(nil, goridge.CodecJSON, 0, 1<<30, 1, 9)
		_, _ = conn.Write(append(data, `test.Echo"`...))
		_ = conn.(*net.UnixConn).CloseWrite()
		_, _ = io.ReadAll(conn)
		_ = conn.Close()
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 64<<20 {
		t.Fatalf("64 frames that announced 1 GiB took %d MiB", taken>>20)
	}
}

func TestLargePayload(t *testing.T) {
	dsn := rpctest.Serve(t, rpc.Options{}, echo)
	c := rpctest.Dial(t, dsn)
	in, out := strings.Repeat("0123456789", 1<<20), ""
	for _, codec := range []wire.Codec{wire.JSON, wire.Gob, wire.Msgpack} {
		if err := c.Call(t.Context(), "test.Echo", codec, &in, &out); err != nil || out != in {
			t.Fatalf("%s: %d bytes, %v", codec, len(out), err)
		}
	}
}

func TestPeer(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dsn := rpctest.Serve(t, rpc.Options{Listeners: []net.Listener{tcp}}, func(s *rpc.Server) {
		rpc.Register(s, "test.Peer", rpc.Anyone, func(ctx context.Context, _ *bool, reply *rpc.Peer) error {
			*reply = rpc.PeerFrom(ctx)
			return nil
		})
	})
	var arg bool
	var got rpc.Peer
	if err := rpctest.Dial(t, dsn).Call(t.Context(), "test.Peer", wire.JSON, &arg, &got); err != nil {
		t.Fatal(err)
	}
	want := rpc.Peer{Known: true, PID: os.Getpid(), UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Admin: true}
	if got != want {
		t.Errorf("unix: %+v, want %+v", got, want)
	}
	got = rpc.Peer{}
	if err := rpctest.Dial(t, "tcp://"+tcp.Addr().String()).Call(t.Context(), "test.Peer", wire.JSON, &arg, &got); err != nil {
		t.Fatal(err)
	}
	if got != (rpc.Peer{}) {
		t.Errorf("tcp: %+v, want unknown", got)
	}
}

func TestConfigAsRawBytes(t *testing.T) {
	c := rpctest.Dial(t, rpctest.Serve(t, rpc.Options{}, registerAll))
	arg := []byte{}
	for _, codec := range []wire.Codec{wire.Raw, wire.JSON, wire.Gob, wire.Msgpack} {
		var got []byte
		var in any = &arg
		if codec != wire.Raw {
			in = new(bool)
		}
		if err := c.Call(t.Context(), "rpc.Config", codec, in, &got); err != nil || string(got) != `{"version":"3"}` {
			t.Errorf("%s: %q, %v", codec, got, err)
		}
	}
}

// TestUnencodableAnswerHasNoEffect: a method whose result cannot be encoded in
// the codec that the caller wants is not run.
func TestUnencodableAnswerHasNoEffect(t *testing.T) {
	var ran atomic.Bool
	dsn := rpctest.Serve(t, rpc.Options{}, func(s *rpc.Server) {
		rpc.Register(s, "test.Effect", rpc.Admin, func(context.Context, *bool, *bool) error {
			ran.Store(true)
			return nil
		})
	})
	_, path, _ := wire.ParseDSN(dsn)
	for _, flags := range []byte{0, goridge.CodecRaw, goridge.CodecProto, goridge.CodecProto | goridge.CodecGob} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(frame(t, "test.Effect", 1, wire.Codec(flags), ""))
		f, _ := readFrame(t, conn)
		if f.Flags&goridge.Error == 0 || ran.Load() {
			t.Errorf("flags %#x: answer %#x %q, method ran: %v", flags, f.Flags, f.Body, ran.Load())
		}
		_ = conn.Close()
	}
}

func TestMethods(t *testing.T) {
	s := rpc.New(rpc.Options{})
	registerAll(s)
	roles := map[string]rpc.Role{}
	last := ""
	for _, m := range s.Methods() {
		roles[m.Name] = m.Role
		if m.Name <= last || m.Arg == "" || m.Reply == "" {
			t.Errorf("row %+v after %s", m, last)
		}
		last = m.Name
	}
	for name, role := range map[string]rpc.Role{
		"informer.List": rpc.Anyone, "informer.AddWorker": rpc.Operator, "resetter.Reset": rpc.Operator,
		"app.InfoWithContext": rpc.Anyone, "rpc.Version": rpc.Anyone,
	} {
		if got, ok := roles[name]; !ok || got != role {
			t.Errorf("%s: %v, want %v", name, got, role)
		}
	}
	for _, bad := range []string{"nodot", ".X", "x.", "informer.List"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was registered", bad)
				}
			}()
			rpc.Register(s, bad, rpc.Anyone, func(context.Context, *bool, *bool) error { return nil })
		}()
	}
}

// frame builds a request by hand.
func frame(t *testing.T, method string, seq uint32, codec wire.Codec, body string) []byte {
	t.Helper()
	f := append(wire.AppendCall(nil, method), body...)
	if err := wire.Seal(f, byte(codec), seq, len(method)); err != nil {
		t.Fatal(err)
	}
	return f
}

// recrc gives a header the checksum of its changed bytes.
func recrc(header []byte) []byte {
	h := bytes.Clone(header)
	crc := ^uint32(0)
	for _, b := range h[:6] {
		crc ^= uint32(b)
		for range 8 {
			crc = crc>>1 ^ 0xEDB88320&-(crc&1)
		}
	}
	binary.LittleEndian.PutUint32(h[6:], ^crc)
	return h
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func BenchmarkCall(b *testing.B) {
	dsn := rpctest.Serve(b, rpc.Options{}, echo)
	c := rpctest.Dial(b, dsn)
	for _, codec := range []wire.Codec{wire.JSON, wire.Gob, wire.Msgpack} {
		b.Run(fmt.Sprint(codec), func(b *testing.B) {
			b.ReportAllocs()
			in, out := "hello", ""
			for b.Loop() {
				if err := c.Call(b.Context(), "test.Echo", codec, &in, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
