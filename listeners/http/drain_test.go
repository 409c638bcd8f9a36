package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc"
)

// shutdown runs Shutdown and reports its end.
func (s *testServer) shutdown(t testing.TB) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		done <- s.Shutdown(ctx)
	}()
	waitFor(t, "the drain to begin", s.draining.Load)
	return done
}

// TestShutdownUnderLoad hammers connections that stay open while the server
// stops: every request that was written must be answered, or fail on a
// connection that the server had announced to close.
func TestShutdownUnderLoad(t *testing.T) {
	for round := range 5 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			s := serve(t, Config{}, answering(msg(okContext, "ok")))
			var wg sync.WaitGroup
			var answered atomic.Int64
			for range 8 {
				c := s.dial(t)
				wg.Go(func() {
					for {
						if _, err := io.WriteString(c, "GET "+plainGet+"\r\n\r\n"); err != nil {
							t.Errorf("write: %v", err)
							return
						}
						res, err := http.ReadResponse(c.r, nil)
						if err != nil {
							t.Errorf("a request was lost: %v", err)
							return
						}
						_, _ = io.Copy(io.Discard, res.Body)
						answered.Add(1)
						if res.Close {
							return
						}
					}
				})
			}
			waitFor(t, "load", func() bool { return answered.Load() > 500 })
			done := s.shutdown(t)
			wg.Wait()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHandover restarts the server several times while clients of all kinds use
// it. The socket stays open between the servers, as a service manager keeps it;
// not one request may fail. POST is not repeated by Go's client.
func TestHandover(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer keeper.Close()
	url := "http://" + l.Addr().String()
	_ = l.Close()
	start := func() (*Server, chan error) {
		l, err := net.FileListener(keeper)
		if err != nil {
			t.Fatal(err)
		}
		s, err := New(Options{
			Config: Config{HTTP2: HTTP2{H2C: true}}, Listeners: []net.Listener{l},
			Pool: answering(msg(okContext, "ok")), Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- s.Run(context.Background()) }()
		return s, done
	}
	s, done := start()

	var wg sync.WaitGroup
	var stop atomic.Bool
	var answered atomic.Int64
	for i := range 6 {
		tr := &http.Transport{Protocols: new(http.Protocols), DisableKeepAlives: i%3 == 1}
		tr.Protocols.SetHTTP1(i%3 != 2)
		tr.Protocols.SetUnencryptedHTTP2(i%3 == 2)
		defer tr.CloseIdleConnections()
		client := &http.Client{Transport: tr, Timeout: time.Minute}
		wg.Go(func() {
			for !stop.Load() {
				res, err := client.Post(url, "text/plain", strings.NewReader("x"))
				if err != nil {
					t.Errorf("client %d lost a request: %v", i, err)
					return
				}
				if _, err = io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
					t.Errorf("client %d: %d %v", i, res.StatusCode, err)
				}
				_ = res.Body.Close()
				answered.Add(1)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for range 3 {
		base := answered.Load()
		waitFor(t, "load", func() bool { return answered.Load() > base+300 || t.Failed() })
		next, nextDone := start()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		s, done = next, nextDone
	}
	stop.Store(true)
	wg.Wait()
	_ = s.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestShutdownOfAnIdleServer(t *testing.T) {
	s := serve(t, Config{HTTP2: HTTP2{H2C: true}}, answering(msg(okContext, "ok")))
	idle, fresh := s.dial(t), s.dial(t)
	idle.do("GET", plainGet, "")
	if _, err := s.client(t, true).Get(s.url); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "three connections", func() bool { return s.Stats().Conns == 3 })
	begin := time.Now()
	if err := <-s.shutdown(t); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	for _, c := range []*client{idle, fresh} {
		if b, err := io.ReadAll(c.r); err != nil || len(b) > 0 {
			t.Errorf("%q %v", b, err)
		}
	}
}

// An idle HTTP/2 connection gets GOAWAY before it is closed, although its client
// does nothing about it.
func TestShutdownSaysGoAway(t *testing.T) {
	s := serve(t, Config{HTTP2: HTTP2{H2C: true}}, answering(msg(okContext, "ok")))
	c := s.dial(t)
	c.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	if _, err := c.r.Peek(1); err != nil {
		t.Fatal(err)
	}
	done := s.shutdown(t)
	var last byte
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(c.r, head); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		last = head[3]
		if _, err := c.r.Discard(int(head[1])<<8 | int(head[2])); err != nil {
			t.Fatal(err)
		}
	}
	if last != 7 {
		t.Errorf("the last frame has type %d", last)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestShutdownWaitsForRequests: one that runs, one whose header is half here,
// one whose body is half here, and one that begins while the server drains.
func TestShutdownWaitsForRequests(t *testing.T) {
	release := make(chan bool)
	s := serve(t, Config{}, execFunc(func(_ context.Context, p *ipc.Payload) (ipc.Stream, error) {
		if p.Detail == "/slow" {
			<-release
		}
		return &frames{list: []*ipc.Message{msg(okContext, p.Detail)}}, nil
	}))
	slow, header, body, idle := s.dial(t), s.dial(t), s.dial(t), s.dial(t)
	for _, c := range []*client{header, idle} {
		c.do("GET", plainGet, "")
	}
	slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	header.send("GET /header HT")
	body.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx")
	waitFor(t, "two running requests", func() bool { return s.Stats().Active == 2 })
	half := func() (n int) {
		s.conns.all(func(c *conn) {
			if c.begun.Load() {
				n++
			}
		})
		return n
	}
	waitFor(t, "the half header", func() bool { return half() == 3 })

	done := s.shutdown(t)
	idle.send("GET /idle HTTP/1.1\r\nHost: a\r\n\r\n")
	if res := idle.receive("GET"); res.text != "/idle" || !res.Close {
		t.Errorf("%q %v", res.text, res.Close)
	}
	// All connections that were idle have been released by now.
	waitFor(t, "the idle connection to go", func() bool { return s.Stats().Conns == 3 })
	header.send("TP/1.1\r\nHost: a\r\n\r\n")
	body.send("y")
	for c, text := range map[*client]string{header: "/header", body: "/body"} {
		if res := c.receive("GET"); res.text != text || !res.Close {
			t.Errorf("%q %v", res.text, res.Close)
		}
	}
	select {
	case err := <-done:
		t.Fatal("did not wait: ", err)
	default:
	}
	close(release)
	if res := slow.receive("GET"); res.text != "/slow" || !res.Close {
		t.Errorf("%q %v", res.text, res.Close)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestReleaseLosesNothing sends requests at the very moment in which idle
// connections are released: each is answered, or the connection was closed
// before it, which the client learns from its first read.
func TestReleaseLosesNothing(t *testing.T) {
	s := serve(t, Config{}, answering(msg(okContext, "ok")))
	lost, answered := 0, 0
	for range 300 {
		c := s.dial(t)
		c.do("GET", plainGet, "")
		var this *conn
		waitFor(t, "the connection to be idle", func() bool {
			s.conns.all(func(sc *conn) {
				if sc.RemoteAddr().String() == c.LocalAddr().String() && http.ConnState(sc.state.Load()) == http.StateIdle {
					this = sc
				}
			})
			return this != nil
		})
		// The request is in the socket before the release.
		c.send("GET " + plainGet + "\r\n\r\n")
		this.release()
		if _, err := http.ReadResponse(c.r, nil); err != nil {
			lost++
		} else {
			answered++
		}
		_ = c.Close()
	}
	if lost > 0 {
		t.Errorf("%d lost, %d answered", lost, answered)
	}
}

func TestShutdownDeadline(t *testing.T) {
	release := make(chan bool)
	s := serve(t, Config{}, execFunc(func(context.Context, *ipc.Payload) (ipc.Stream, error) {
		<-release
		return nil, ipc.ErrPoolClosed
	}))
	defer close(release)
	c := s.dial(t)
	c.send("GET " + plainGet + "\r\n\r\n")
	waitFor(t, "the request", func() bool { return s.Stats().Active == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := http.ReadResponse(c.r, nil); err == nil {
		t.Error("answered")
	}
}

func TestShutdownBeforeRun(t *testing.T) {
	s := serve(t, Config{}, failing(ipc.ErrPoolClosed))
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Run(t.Context()); err != nil {
		t.Error(err)
	}
}
