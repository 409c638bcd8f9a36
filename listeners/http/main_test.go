package http

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rr-systemd/rrd/ipc"
)

func TestMain(m *testing.M) {
	before := descriptors()
	code := m.Run()
	// net/http lets a connection that it refuses linger for half a second.
	after := descriptors()
	for end := time.Now().Add(time.Minute); after > before && time.Now().Before(end); after = descriptors() {
		<-time.After(10 * time.Millisecond)
	}
	if code == 0 && after > before {
		fmt.Fprintf(os.Stderr, "%d descriptors before, %d after\n", before, after)
		code = 1
	}
	// Nobody waits for these: the first ends after that half second, the second within
	// 5 seconds after its lock, the last lives as long as the process.
	late := []goleak.Option{
		goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"),
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"),
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"),
	}
	if err := goleak.Find(late...); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// descriptors counts the open ones that are not the runtime's poller.
func descriptors() (n int) {
	list, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range list {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && !strings.HasPrefix(to, "anon_inode:") {
			n++
		}
	}
	return n
}

// execFunc is a pool made of a function.
type execFunc func(ctx context.Context, p *ipc.Payload) (ipc.Stream, error)

func (f execFunc) Exec(ctx context.Context, p *ipc.Payload) (ipc.Stream, error) { return f(ctx, p) }

// frames is a worker's answer that is known beforehand; err, if any, comes
// after the last of them.
type frames struct {
	list   []*ipc.Message
	err    error
	closed func()
}

func (f *frames) Next() (*ipc.Message, error) {
	if len(f.list) > 0 {
		m := f.list[0]
		f.list = f.list[1:]
		return m, nil
	}
	if f.err != nil {
		return nil, f.err
	}
	return nil, io.EOF
}

func (f *frames) Cancel() {}

func (f *frames) Close() {
	if f.closed != nil {
		f.closed()
		f.closed = nil
	}
}

func msg(context, body string) *ipc.Message {
	m := &ipc.Message{Body: []byte(body)}
	if context != "" {
		m.Context, m.Flags = []byte(context), 0x08
	}
	return m
}

func part(context, body string) *ipc.Message {
	m := msg(context, body)
	m.Stream = true
	return m
}

// answering always gives the same answer.
func answering(list ...*ipc.Message) execFunc {
	return func(context.Context, *ipc.Payload) (ipc.Stream, error) {
		copied := make([]*ipc.Message, len(list))
		for i, m := range list {
			c := *m
			copied[i] = &c
		}
		return &frames{list: copied}, nil
	}
}

func failing(err error) execFunc {
	return func(context.Context, *ipc.Payload) (ipc.Stream, error) { return nil, err }
}

const okContext = `{"status":200,"headers":{}}`

// testServer is a running server on a port of its own.
type testServer struct {
	*Server
	addr string
	url  string
	dir  string // uploads.dir
}

func serve(t testing.TB, c Config, exec ipc.Executor, change ...func(*Options)) *testServer {
	t.Helper()
	if c.Uploads.Dir == "" {
		c.Uploads.Dir = t.TempDir()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Config: c, Listeners: []net.Listener{l}, Pool: exec, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		waitFor(t, "handlers to end", func() bool { return s.Stats().Active == 0 })
	})
	return &testServer{Server: s, addr: l.Addr().String(), url: "http://" + l.Addr().String(), dir: c.Uploads.Dir}
}

// waitFor polls a condition.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// client is one HTTP/1 connection, driven by hand.
type client struct {
	net.Conn
	r *bufio.Reader
	t testing.TB
}

func (s *testServer) dial(t testing.TB) *client {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return &client{c, bufio.NewReader(c), t}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// response is one answer with its whole body; err is what ended the body early.
type response struct {
	*http.Response
	text string
	err  error
}

func (c *client) receive(method string) response {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	for err == nil && res.StatusCode < 200 {
		res, err = http.ReadResponse(c.r, &http.Request{Method: method})
	}
	if err != nil {
		c.t.Fatalf("no response: %v", err)
	}
	body, err := io.ReadAll(res.Body)
	return response{res, string(body), err}
}

func (c *client) do(method, head, body string) response {
	c.t.Helper()
	c.send(method + " " + head + "\r\n\r\n" + body)
	return c.receive(method)
}

// recorder keeps payloads.
type recorder struct {
	mu   sync.Mutex
	list []ipc.Payload
}

// then records, and answers with 200.
func (rec *recorder) exec() execFunc {
	return func(ctx context.Context, p *ipc.Payload) (ipc.Stream, error) {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		c := *p
		c.Context, c.Body = append([]byte(nil), p.Context...), append([]byte(nil), p.Body...)
		rec.list = append(rec.list, c)
		return &frames{list: []*ipc.Message{msg(okContext, "ok")}}, nil
	}
}

func (rec *recorder) last(t testing.TB) ipc.Payload {
	t.Helper()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if len(rec.list) == 0 {
		t.Fatal("nothing reached the worker")
	}
	return rec.list[len(rec.list)-1]
}
