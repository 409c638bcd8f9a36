package fastcgi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rr-systemd/rrd/listeners/http/fastcgi/fcgitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testServer serves on a unix socket.
type testServer struct {
	*Server
	path string
	mu   sync.Mutex
	seen []http.ConnState
}

func serve(t testing.TB, h http.HandlerFunc, change ...func(*Server)) *testServer {
	t.Helper()
	s := &testServer{path: filepath.Join(t.TempDir(), "s")}
	l, err := net.Listen("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	s.Server = &Server{
		Handler: h, Log: slog.New(slog.DiscardHandler),
		ConnState: func(_ net.Conn, state http.ConnState) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.seen = append(s.seen, state)
		},
	}
	for _, f := range change {
		f(s.Server)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		_ = l.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		waitFor(t, "connections to end", func() bool {
			s.Server.mu.Lock()
			defer s.Server.mu.Unlock()
			return len(s.conns) == 0
		})
	})
	return s
}

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

func (s *testServer) states() []http.ConnState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]http.ConnState(nil), s.seen...)
}

func (s *testServer) dial(t testing.TB) *fcgitest.Conn {
	t.Helper()
	c, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return fcgitest.New(c)
}

func post(n string) map[string]string {
	p := fcgitest.Get("a.test", "/p?x=1")
	p["REQUEST_METHOD"], p["CONTENT_LENGTH"], p["CONTENT_TYPE"] = "POST", n, "text/x"
	return p
}

// echo answers with the body.
func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("X-Uri", r.URL.String())
	_, _ = w.Write(b)
}

func TestRequests(t *testing.T) {
	s := serve(t, echo)
	c := s.dial(t)
	for _, size := range []int{0, 1, 7, 65535, 65536, 300_000} {
		body := strings.Repeat("x", size)
		res, err := c.Do(uint16(size%7+1), true, post(strconv.Itoa(size)), []byte(body))
		if err != nil || res.Status != 200 || res.Body != body || res.Header.Get("X-Uri") != "http://a.test/p?x=1" {
			t.Fatalf("%d: %d bytes, %+v %v", size, len(res.Body), res.Header, err)
		}
	}
	// Without a length, as with a chunked request.
	p := post("")
	delete(p, "CONTENT_LENGTH")
	if res, err := c.Do(1, true, p, []byte("abc")); err != nil || res.Body != "abc" {
		t.Errorf("%+v %v", res, err)
	}
	// The last one ends the connection.
	if res, err := c.Do(1, false, post("3"), []byte("abc")); err != nil || res.Body != "abc" {
		t.Errorf("%+v %v", res, err)
	}
	if _, err := c.Read(); err != io.EOF {
		t.Error(err)
	}
	_ = c.Close()
	waitFor(t, "the connection to end", func() bool { st := s.states(); return st[len(st)-1] == http.StateClosed })
	if st := s.states(); st[0] != http.StateNew || st[1] != http.StateActive || st[2] != http.StateIdle {
		t.Error(st)
	}
}

// TestRequestLine: what the parameters make of a request.
func TestRequestLine(t *testing.T) {
	var got *http.Request
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { got = r })
	c := s.dial(t)
	for _, tc := range []struct {
		name   string
		change map[string]string
		status int
		uri    string
		host   string
	}{
		{"plain", nil, 200, "http://a.test/x?y=1", "a.test"},
		{"https", map[string]string{"HTTPS": "on"}, 200, "https://a.test/x?y=1", "a.test"},
		{"no REQUEST_URI", map[string]string{"REQUEST_URI": "", "SCRIPT_NAME": "/s", "PATH_INFO": "/p", "QUERY_STRING": "q"}, 200, "http://a.test/s/p?q", "a.test"},
		{"absolute", map[string]string{"REQUEST_URI": "http://b.test/z"}, 200, "http://b.test/z", "b.test"},
		{"other host", map[string]string{"REQUEST_URI": "@evil.test/"}, 400, "", ""},
		{"no method", map[string]string{"REQUEST_METHOD": ""}, 400, "", ""},
		{"bad protocol", map[string]string{"SERVER_PROTOCOL": "x"}, 400, "", ""},
		{"bad length", map[string]string{"CONTENT_LENGTH": "-x"}, 400, "", ""},
	} {
		p := fcgitest.Get("a.test", "/x?y=1")
		for k, v := range tc.change {
			p[k] = v
		}
		res, err := c.Do(1, true, p, nil)
		if err != nil || res.Status != tc.status {
			t.Errorf("%s: %+v %v", tc.name, res, err)
			continue
		}
		if tc.status == 200 && (got.URL.String() != tc.uri || got.Host != tc.host || got.RemoteAddr != "192.0.2.1:4711") {
			t.Errorf("%s: %s %s %s", tc.name, got.URL, got.Host, got.RemoteAddr)
		}
	}
}

func TestAnswers(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Connection", "keep-alive")
		h.Set("Status", "999")
		h.Set(http.TrailerPrefix+"X-T", "1")
		h.Add("Set-Cookie", "a=1")
		h.Add("Set-Cookie", "b=2\r\nX-Evil: 1")
		w.WriteHeader(http.StatusEarlyHints)
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
			if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrBodyNotAllowed) {
				t.Error(err)
			}
		case "/long":
			h.Set("Content-Length", "2")
			if _, err := w.Write([]byte("abc")); !errors.Is(err, http.ErrContentLength) {
				t.Error(err)
			}
		case "/parts":
			for range 3 {
				_, _ = w.Write([]byte("part\n"))
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
			}
		case "/big":
			for range 3 {
				_, _ = w.Write(bytes.Repeat([]byte("b"), 100_000))
				_, _ = w.Write([]byte("small"))
			}
		default:
			w.WriteHeader(404)
			_, _ = w.Write([]byte("none"))
		}
	})
	c := s.dial(t)
	do := func(method, path string) fcgitest.Response {
		t.Helper()
		p := fcgitest.Get("a", path)
		p["REQUEST_METHOD"] = method
		res, err := c.Do(1, true, p, nil)
		if err != nil {
			t.Fatal(method, path, err)
		}
		return res
	}
	res := do("GET", "/")
	if res.Status != 404 || res.Body != "none" || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" || res.Header.Get("Date") == "" {
		t.Errorf("%+v", res)
	}
	if h := res.Header; len(h["Status"]) != 1 || h["Connection"] != nil || h["X-Evil"] != nil || len(h["Set-Cookie"]) != 2 || len(h) != 4 {
		t.Errorf("%+v", h)
	}
	if res := do("HEAD", "/"); res.Status != 404 || res.Body != "" {
		t.Errorf("%+v", res)
	}
	if res := do("GET", "/204"); res.Status != 204 || res.Body != "" {
		t.Errorf("%+v", res)
	}
	if res := do("GET", "/parts"); res.Body != "part\npart\npart\n" {
		t.Errorf("%+v", res)
	}
	if res := do("GET", "/big"); res.Body != strings.Repeat(strings.Repeat("b", 100_000)+"small", 3) {
		t.Errorf("%d bytes", len(res.Body))
	}
	do("GET", "/long")
}

// TestAbortedAnswer: what a handler breaks off, or panics in, has no end, and
// the server goes on.
func TestAbortedAnswer(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("half"))
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
		panic("boom")
	})
	for _, path := range []string{"/abort", "/panic"} {
		res, err := s.dial(t).Do(1, true, fcgitest.Get("a", path), nil)
		if !errors.Is(err, fcgitest.ErrCutOff) || !strings.HasSuffix(res.Body, "half") {
			t.Errorf("%s: %+v %v", path, res, err)
		}
	}
}

// TestProtocol: records of management, refused roles, requests in parallel.
func TestProtocol(t *testing.T) {
	release := make(chan bool)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-release
		}
		_, _ = w.Write([]byte("ok"))
	})
	c := s.dial(t)
	expect := func(kind byte, id uint16, content string) {
		t.Helper()
		rec, err := c.Read()
		if err != nil || rec.Type != kind || rec.ID != id || string(rec.Content) != content {
			t.Fatalf("%+v %v", rec, err)
		}
	}
	send := func(kind byte, id uint16, content []byte) { _, _ = c.Write(fcgitest.Append(nil, kind, id, content)) }

	send(fcgitest.Values, 0, fcgitest.AppendParams(nil, map[string]string{"FCGI_MPXS_CONNS": ""}))
	expect(fcgitest.Result, 0, "\x0f\x01FCGI_MPXS_CONNS0")
	send(77, 0, []byte("x"))
	expect(fcgitest.Unknown, 0, "\x4d\x00\x00\x00\x00\x00\x00\x00")
	send(fcgitest.Begin, 3, []byte{0, 2, 1, 0, 0, 0, 0, 0}) // authorizer
	expect(fcgitest.End, 3, "\x00\x00\x00\x00\x03\x00\x00\x00")
	send(fcgitest.Stdin, 9, []byte("of nobody"))

	_, _ = c.Write(fcgitest.AppendRequest(nil, 1, true, fcgitest.Get("a", "/wait"), nil))
	send(fcgitest.Begin, 2, []byte{0, 1, 1, 0, 0, 0, 0, 0})
	expect(fcgitest.End, 2, "\x00\x00\x00\x00\x01\x00\x00\x00") // not in parallel
	close(release)
	if res, err := c.Response(1); err != nil || res.Body != "ok" {
		t.Errorf("%+v %v", res, err)
	}
	// Aborted before it began.
	send(fcgitest.Begin, 4, []byte{0, 1, 1, 0, 0, 0, 0, 0})
	send(fcgitest.Abort, 4, nil)
	expect(fcgitest.End, 4, "\x00\x00\x00\x00\x00\x00\x00\x00")
	if res, err := c.Do(1, true, fcgitest.Get("a", "/"), nil); err != nil || res.Body != "ok" {
		t.Errorf("%+v %v", res, err)
	}
}

// TestBrokenConnections: each ends alone, and the server goes on.
func TestBrokenConnections(t *testing.T) {
	s := serve(t, echo)
	whole := fcgitest.AppendRequest(nil, 1, true, post("5"), []byte("hello"))
	for name, bytes := range map[string][]byte{
		"HTTP":            []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		"version 2":       {2, 1, 0, 1, 0, 8, 0, 0},
		"short begin":     fcgitest.Append(nil, fcgitest.Begin, 1, []byte{0, 1}),
		"request 0":       fcgitest.Append(nil, fcgitest.Begin, 0, make([]byte, 8)),
		"the same twice":  append(append([]byte(nil), whole[:16]...), whole[:16]...),
		"body too early":  append(append([]byte(nil), whole[:16]...), fcgitest.Append(nil, fcgitest.Stdin, 1, nil)...),
		"bad values":      fcgitest.Append(nil, fcgitest.Values, 0, []byte{200}),
		"cut off in head": whole[:5],
	} {
		c := s.dial(t)
		_, _ = c.Write(bytes)
		_ = c.Conn.(*net.UnixConn).CloseWrite()
		if b, err := io.ReadAll(c.Conn); len(b) > 0 || err != nil {
			t.Errorf("%s: %q %v", name, b, err)
		}
	}
	// Parameters that cannot be read are answered.
	c := s.dial(t)
	b := fcgitest.Append(whole[:16:16], fcgitest.Params, 1, []byte{5, 5, 'x'})
	b = fcgitest.Append(fcgitest.Append(b, fcgitest.Params, 1, nil), fcgitest.Stdin, 1, nil)
	_, _ = c.Write(b)
	if res, err := c.Response(1); err != nil || res.Status != 400 {
		t.Errorf("%+v %v", res, err)
	}
	if res, err := s.dial(t).Do(1, false, post("5"), []byte("hello")); err != nil || res.Body != "hello" {
		t.Errorf("%+v %v", res, err)
	}
}

func TestLimits(t *testing.T) {
	s := serve(t, echo, func(s *Server) {
		s.MaxParamBytes = 4 << 10
	})
	p := fcgitest.Get("a", "/")
	p["HTTP_X"] = strings.Repeat("x", 5<<10)
	if res, err := s.dial(t).Do(1, true, p, nil); err != nil || res.Status != 431 {
		t.Errorf("%+v %v", res, err)
	}
}

func TestTimeouts(t *testing.T) {
	request := fcgitest.AppendRequest(nil, 1, true, post("5"), []byte("hello"))
	const short = 50 * time.Millisecond
	for name, tt := range map[string]struct {
		set   func(*Server)
		bytes []byte
	}{
		"silent":      {func(s *Server) { s.ReadHeaderTimeout = short }, nil},
		"half header": {func(s *Server) { s.ReadHeaderTimeout = short }, request[:40]},
		"idle":        {func(s *Server) { s.IdleTimeout = short }, request},
	} {
		c := serve(t, echo, tt.set).dial(t)
		_, _ = c.Write(tt.bytes)
		// A reset: the limit has passed before the half was written.
		if _, err := io.ReadAll(c.Conn); err != nil && (name != "half header" || !errors.Is(err, syscall.ECONNRESET)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTruncatedBody: half an upload is an error for the handler.
func TestTruncatedBody(t *testing.T) {
	errs := make(chan error, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		errs <- err
	})
	if _, err := s.dial(t).Do(1, true, post("9"), []byte("half")); err != nil {
		t.Error(err)
	}
	if err := <-errs; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	c := s.dial(t)
	b := fcgitest.AppendRequest(nil, 1, true, post("9"), []byte("half"))
	_, _ = c.Write(b[:len(b)-8]) // without the end of the body
	_ = c.Close()
	if err := <-errs; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	// The handler may also have had enough.
	c = s.dial(t)
	_, _ = c.Write(b[:len(b)-8])
	_, _ = c.Write(fcgitest.Append(nil, fcgitest.Abort, 1, nil))
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if res, err := c.Response(1); err != nil || res.Protocol != 0 {
		t.Errorf("%+v %v", res, err)
	}
}

// TestDisconnect: the handler learns of it while it works.
func TestDisconnect(t *testing.T) {
	began, over := make(chan bool, 1), make(chan bool, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		began <- true
		<-r.Context().Done()
		over <- true
	})
	for _, how := range []string{"close", "abort"} {
		c := s.dial(t)
		_, _ = c.Write(fcgitest.AppendRequest(nil, 1, true, fcgitest.Get("a", "/"), nil))
		<-began
		if how == "close" {
			_ = c.Close()
		} else {
			_, _ = c.Write(fcgitest.Append(nil, fcgitest.Abort, 1, nil))
		}
		<-over
	}
}

// TestDeadlines: http.ResponseController works.
func TestDeadlines(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadAll(r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		w.WriteHeader(408)
	})
	c := s.dial(t)
	b := fcgitest.AppendRequest(nil, 1, true, post("9"), []byte("half"))
	_, _ = c.Write(b[:len(b)-8])
	if res, err := c.Response(1); err != nil || res.Status != 408 {
		t.Errorf("%+v %v", res, err)
	}
}

// TestUnreadBody: a handler that does not want the body does not block the next
// request.
func TestUnreadBody(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("no")) })
	c := s.dial(t)
	for range 3 {
		if res, err := c.Do(1, true, post("1000000"), make([]byte, 1_000_000)); err != nil || res.Body != "no" {
			t.Fatalf("%+v %v", res, err)
		}
	}
}

// FuzzConn gives the server any bytes.
func FuzzConn(f *testing.F) {
	whole := fcgitest.AppendRequest(nil, 1, true, post("5"), []byte("hello"))
	f.Add(whole)
	f.Add(append(whole, whole...))
	f.Add(whole[:30])
	f.Add(fcgitest.Append(whole[:16], fcgitest.Abort, 1, nil))
	f.Add(fcgitest.Append(nil, fcgitest.Values, 0, []byte{0x80, 0, 0, 1, 0, 'x'}))
	s := &Server{Handler: http.HandlerFunc(echo), Log: slog.New(slog.DiscardHandler), MaxParamBytes: 1 << 16}
	f.Fuzz(func(t *testing.T, in []byte) {
		client, server := net.Pipe()
		done := make(chan bool)
		go func() {
			defer close(done)
			(&conn{srv: s, nc: server}).serve()
		}()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		_, _ = client.Write(in)
		_ = client.Close()
		<-done
	})
}

func FuzzParams(f *testing.F) {
	f.Add(appendParam(nil, "A", strings.Repeat("b", 200)))
	f.Add([]byte{0x80})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		params, err := parseParams(in)
		if err != nil {
			return
		}
		var again []byte
		for name, value := range params {
			again = appendParam(again, name, value)
		}
		if got, err := parseParams(again); err != nil || len(got) != len(params) {
			t.Errorf("%v %v", got, err)
		}
	})
}
