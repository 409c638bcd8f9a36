package http

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rr-systemd/rrd/ipc"
)

// TestH2C: what HTTP/1 requests get applies to HTTP/2 without TLS too.
func TestH2C(t *testing.T) {
	var rec recorder
	s := serve(t, Config{MaxRequestSize: 1, HTTP2: HTTP2{H2C: true}}, rec.exec(), func(o *Options) {
		o.Middleware = []Middleware{func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-M", "1")
				h.ServeHTTP(w, r)
			})
		}}
	})
	client := s.client(t, true)
	do := func(body string) *http.Response {
		t.Helper()
		res, err := client.Post(s.url+"/p?x=1", form, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res
	}
	if res := do("a[b]=1"); res.StatusCode != 200 || res.ProtoMajor != 2 || res.Header.Get("X-M") != "1" {
		t.Errorf("%+v", res)
	}
	p := rec.last(t)
	if ctx := string(p.Context); string(p.Body) != `{"a":{"b":"1"}}` || !strings.Contains(ctx, `"protocol":"HTTP/2.0"`) || !strings.Contains(ctx, `"uri":"`+s.url+`/p?x=1"`) {
		t.Errorf("%s %s", p.Body, p.Context)
	}
	if res := do(strings.Repeat("x", 1<<20+1)); res.StatusCode != 413 {
		t.Error(res.StatusCode)
	}
	// HTTP/1 is served beside it, and h2c is off unless asked for.
	if res := s.dial(t).do("GET", plainGet, ""); res.StatusCode != 200 {
		t.Error(res.StatusCode)
	}
	off := serve(t, Config{}, rec.exec())
	if _, err := off.client(t, true).Get(off.url); err == nil {
		t.Error("h2c served although it is off")
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "http.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var rec recorder
	s, err := New(Options{Listeners: []net.Listener{l}, Pool: rec.exec(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context()) }()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200") {
		t.Errorf("%q %v", b, err)
	}
	if ctx := string(rec.last(t).Context); !strings.Contains(ctx, `"remoteAddr":"@"`) && !strings.Contains(ctx, `"remoteAddr":""`) {
		t.Error(ctx)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Listeners: []net.Listener{l}, Pool: failing(ipc.ErrPoolClosed), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestStats(t *testing.T) {
	var rec recorder
	s := serve(t, Config{}, rec.exec())
	c := s.dial(t)
	for range 3 {
		c.do("GET", plainGet, "")
	}
	if st := s.Stats(); st.Requests != 3 || st.Conns != 1 {
		t.Errorf("%+v", st)
	}
	_ = c.Close()
	waitFor(t, "the connection to go", func() bool { return s.Stats() == Stats{Requests: 3} })
}
