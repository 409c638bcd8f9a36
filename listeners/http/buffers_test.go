package http

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool"
)

// spooled counts the open files of a folder, which have no names any more.
func spooled(dir string) (n int) {
	list, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range list {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, dir) {
			n++
		}
	}
	return n
}

// A long body reaches PHP whole, from memory or from disk, and nothing of it is
// left behind.
func TestSpooledBody(t *testing.T) {
	s := serveApp(t, Config{Buffers: Buffers{Body: 64 << 10}}, pool.Config{NumWorkers: 1})
	whole := s.handler.budget.left.Load()
	for _, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 300 << 10, 3<<20 + 7} {
		body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		sum := md5.Sum([]byte(body))
		want := fmt.Sprint(hex.EncodeToString(sum[:]), " ", size)
		for _, chunked := range []bool{false, true} {
			var r io.Reader = strings.NewReader(body)
			if chunked {
				r = struct{ io.Reader }{r}
			}
			res, err := s.client(t, false).Post(s.url+"/md5", "application/octet-stream", r)
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, res); got != want {
				t.Errorf("%d %v: %q", size, chunked, got)
			}
		}
	}
	waitFor(t, "the files to be closed", func() bool { return spooled(s.dir) == 0 })
	if left := s.handler.budget.left.Load(); left != whole {
		t.Errorf("%d bytes of the budget are lost", whole-left)
	}
	s.noFiles(t)
}

// What the budget has no room for goes to disk too; and the refusals of bodies
// that are too long or break off leave nothing.
func TestBudget(t *testing.T) {
	release := make(chan bool)
	var files atomic.Int32
	exec := execFunc(func(_ context.Context, p *ipc.Payload) (ipc.Stream, error) {
		if p.File != nil {
			files.Add(1)
		}
		<-release
		return &frames{list: []*ipc.Message{msg(okContext, "ok")}}, nil
	})
	s := serve(t, Config{MaxRequestSize: 2, Buffers: Buffers{Memory: 1 << 20, Body: 1 << 20}}, exec)
	whole := s.handler.budget.left.Load()
	body := strings.Repeat("x", 600<<10)
	var clients []*client
	for i := range 3 {
		c := s.dial(t)
		go c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		waitFor(t, "the body", func() bool { return s.Stats().Active == int64(i+1) && (i == 0 || spooled(s.dir) == i) })
		if i == 0 {
			waitFor(t, "memory to be taken", func() bool { return s.handler.budget.left.Load() < 1<<20-600<<10+1 })
		}
		clients = append(clients, c)
	}
	close(release)
	for _, c := range clients {
		if res := c.receive("POST"); res.StatusCode != 200 {
			t.Error(res.StatusCode)
		}
	}
	if n := files.Load(); n != 2 {
		t.Errorf("%d bodies came from disk", n)
	}
	c := s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(strings.Repeat("x", 3<<20)))
	if res := c.receive("POST"); res.StatusCode != 413 {
		t.Error(res.StatusCode)
	}
	c = s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1900000\r\n\r\n" + body)
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	if res := c.receive("POST"); res.StatusCode != 400 {
		t.Error(res.StatusCode)
	}
	waitFor(t, "everything to be given back", func() bool { return spooled(s.dir) == 0 && s.handler.budget.left.Load() == whole })
}

// A folder that is not there is not the client's fault.
func TestSpoolFails(t *testing.T) {
	s := serve(t, Config{Buffers: Buffers{Body: 1, Dir: "/nonexistent"}}, answering(msg(okContext, "ok")))
	if res := s.dial(t).do("POST", "/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3", "abc"); res.StatusCode != 500 || strings.Contains(res.text, "nonexistent") {
		t.Errorf("%d %q", res.StatusCode, res.text)
	}
}

// A client that reads slowly does not hold the worker: the only one answers
// others meanwhile, and the slow client gets its whole answer afterwards.
func TestSlowReader(t *testing.T) {
	const mib = 20
	s := serveApp(t, Config{HTTP2: HTTP2{H2C: true}}, pool.Config{NumWorkers: 1})
	whole := s.handler.budget.left.Load()
	for _, h2 := range []bool{false, true} {
		for _, path := range []string{"/big", "/big-stream"} {
			t.Run(fmt.Sprint(h2, path), func(t *testing.T) {
				res, err := s.client(t, h2).Get(fmt.Sprintf("%s%s?mib=%d", s.url, path, mib))
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if want := int64(mib << 20); path == "/big" && res.ContentLength != want {
					t.Errorf("Content-Length %d", res.ContentLength)
				}
				if other := s.dial(t).do("GET", "/hello HTTP/1.1\r\nHost: a", ""); other.text != "hello" {
					t.Errorf("%q", other.text)
				}
				if spooled(s.dir) != 1 {
					t.Error("nothing is on disk")
				}
				line := make([]byte, 16)
				for n := range mib << 16 {
					if _, err := io.ReadFull(res.Body, line); err != nil || string(line) != "0123456789abcdef" {
						t.Fatalf("line %d: %q %v", n, line, err)
					}
				}
				if n, err := res.Body.Read(line); n > 0 || err != io.EOF {
					t.Errorf("more: %d %v", n, err)
				}
			})
		}
	}
	// One that leaves in the middle leaves nothing behind.
	c := s.dial(t)
	c.send("GET /big?mib=20 HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, err := c.r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	waitFor(t, "everything to be given back", func() bool { return spooled(s.dir) == 0 && s.handler.budget.left.Load() == whole })
	if other := s.dial(t).do("GET", "/hello HTTP/1.1\r\nHost: a", ""); other.text != "hello" {
		t.Errorf("%q", other.text)
	}
}

// Attacks by slowness: none of them gets a worker.
func TestSlowClientsHoldNoWorker(t *testing.T) {
	s := servePHP(t, Config{}, pool.Config{NumWorkers: 1})
	for range 20 {
		s.dial(t).send("GET /hello HTTP/1.1\r\nHost: a\r\nX-Slow") // header
		c := s.dial(t)
		c.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nslow") // body
	}
	waitFor(t, "the bodies to be awaited", func() bool { return s.Stats().Active == 20 })
	for range 5 {
		get200(t, s.dial(t), "/hello")
	}
}

func TestBacklogLimit(t *testing.T) {
	// An endless answer to a client that does not read: the spool is bounded.
	made := make(chan bool, 1000)
	exec := execFunc(func(context.Context, *ipc.Payload) (ipc.Stream, error) {
		return counted{endless{&frames{}}, made}, nil
	})
	s := serve(t, Config{Buffers: Buffers{Body: 1000, Spool: 10000}}, exec)
	c := s.dial(t)
	_ = c.Conn.(*net.TCPConn).SetReadBuffer(4096)
	c.send("GET " + plainGet + "\r\n\r\n")
	waitFor(t, "the spool", func() bool { return spooled(s.dir) == 1 })
	stuck := 0
	waitFor(t, "the worker to be held", func() bool {
		before := len(made)
		if stuck == before {
			return true
		}
		stuck = before
		return false
	})
	_ = c.Close()
	waitFor(t, "the end", func() bool { return s.Stats().Active == 0 && spooled(s.dir) == 0 })
}

type counted struct {
	endless
	made chan bool
}

func (c counted) Next() (*ipc.Message, error) {
	select {
	case c.made <- true:
	default:
	}
	return c.endless.Next()
}

func TestRetry(t *testing.T) {
	for _, tt := range []struct {
		method string
		retry  bool
		status int
	}{{"PUT", true, 200}, {"PUT", false, 500}, {"POST", true, 500}} {
		t.Run(fmt.Sprint(tt.method, tt.retry), func(t *testing.T) {
			s := serveApp(t, Config{Retry: tt.retry, Buffers: Buffers{Body: 100}}, pool.Config{NumWorkers: 2})
			file := filepath.Join(t.TempDir(), "died")
			req, _ := http.NewRequest(tt.method, s.url+"/die-once?file="+file, strings.NewReader(strings.Repeat("x", 1000)))
			res, err := s.client(t, false).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if body := readAll(t, res); res.StatusCode != tt.status || tt.status == 200 && body != "second try 1000" {
				t.Errorf("%d %q", res.StatusCode, body)
			}
		})
	}
}

func TestGatewayCodes(t *testing.T) {
	for _, tt := range []struct {
		path         string
		code, status int
		cause        string
	}{
		{"/die", 0, 502, "exit"},
		{"/die", 444, 502, "exit"},
		{"/hang", 0, 504, "exec_ttl"},
		{"/error", 0, 500, "application error"},
	} {
		for _, debug := range []bool{false, true} {
			pc := pool.Config{NumWorkers: 1}
			if tt.path == "/hang" {
				pc.Supervisor = &pool.Supervisor{ExecTTL: 50 * time.Millisecond}
			}
			s := servePHP(t, Config{GatewayCodes: true, InternalErrorCode: tt.code}, pc, func(o *Options) { o.Debug = debug })
			res := s.dial(t).do("GET", tt.path+" HTTP/1.1\r\nHost: a", "")
			cause := ""
			if debug {
				cause = tt.cause
			}
			if res.StatusCode != tt.status || res.Header.Get("Rr-Cause") != cause {
				t.Errorf("%s: %d %q", tt.path, res.StatusCode, res.Header.Get("Rr-Cause"))
			}
		}
	}
}
