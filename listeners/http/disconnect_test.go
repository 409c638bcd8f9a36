package http

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/pool"
)

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// A worker learns that its client has gone: in the middle of a request, of a
// stream, and before it has the request at all. It serves on afterwards.
func TestDisconnectReachesTheWorker(t *testing.T) {
	s := serveApp(t, Config{HTTP2: HTTP2{H2C: true}}, pool.Config{NumWorkers: 1})
	for name, h2 := range map[string]bool{"h1": false, "h2": true} {
		for _, path := range []string{"/wait", "/events"} {
			t.Run(name+path, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "gone")
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				req, _ := http.NewRequestWithContext(ctx, "GET", s.url+path+"?file="+file, nil)
				begun := make(chan bool)
				client := s.client(t, h2)
				go func() {
					defer close(begun)
					res, err := client.Do(req)
					if err != nil {
						return
					}
					defer res.Body.Close()
					_, _ = bufio.NewReader(res.Body).ReadString('\n')
				}()
				if path == "/wait" {
					waitFor(t, "the request to run", func() bool { return exists(file + ".begun") })
				} else {
					<-begun
				}
				left := time.Now()
				leave()
				waitFor(t, "the worker to notice", func() bool { return exists(file) })
				t.Logf("noticed after %v", time.Since(left))
				<-begun
				if res := s.dial(t).do("GET", "/hello HTTP/1.1\r\nHost: a", ""); res.text != "hello" {
					t.Errorf("%d %q", res.StatusCode, res.text)
				}
			})
		}
	}
	t.Run("waiting", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "go")
		busy, waiting := s.dial(t), s.dial(t)
		busy.send("GET /poll?file=" + file + " HTTP/1.1\r\nHost: a\r\n\r\n")
		waitFor(t, "the worker to be busy", func() bool { return exists(file + ".begun") })
		waiting.send("GET /wait?file=" + file + "x HTTP/1.1\r\nHost: a\r\n\r\n")
		waitFor(t, "the second request", func() bool { return s.Stats().Active == 2 })
		_ = waiting.Close()
		waitFor(t, "it to leave the queue", func() bool { return s.Stats().Active == 1 })
		// Whole at once: PHP reads it as soon as it is there.
		err := os.WriteFile(file+".new", []byte("news"), 0o600)
		if err == nil {
			err = os.Rename(file+".new", file)
		}
		if err != nil {
			t.Fatal(err)
		}
		if res := busy.receive("GET"); res.text != "news" {
			t.Errorf("%q", res.text)
		}
		if exists(file + "x.begun") {
			t.Error("a worker got the request of a client that had gone")
		}
	})
}

// With request_streaming the worker has the request while the client still sends. It
// learns of a client that leaves while nobody reads the body, and has left some of it
// in the socket.
func TestDisconnectDuringUpload(t *testing.T) {
	s := serveApp(t, streaming, pool.Config{NumWorkers: 1})
	for _, path := range []string{"/wait", "/events"} {
		file := filepath.Join(t.TempDir(), "gone")
		c := s.dial(t)
		c.send("POST " + path + "?file=" + file + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		if path == "/wait" {
			waitFor(t, "the request to run", func() bool { return exists(file + ".begun") })
		} else if _, err := c.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		c.send("5\r\nworld\r\n")
		if path == "/wait" && exists(file) {
			t.Error("the worker was told too early")
		}
		left := time.Now()
		_ = c.Close()
		waitFor(t, "the worker to notice", func() bool { return exists(file) })
		t.Logf("%s: noticed after %v", path, time.Since(left))
		if res := s.dial(t).do("GET", "/hello HTTP/1.1\r\nHost: a", ""); res.text != "hello" {
			t.Errorf("%d %q", res.StatusCode, res.text)
		}
	}
}

// A worker of another package, which must not get a STOP before it answers, is
// left alone: its next request is answered as ever.
func TestDisconnectWithOtherPackages(t *testing.T) {
	s := servePHP(t, Config{}, pool.Config{NumWorkers: 1})
	c := s.dial(t)
	c.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the request", func() bool { return s.Stats().Active == 1 })
	_ = c.Close()
	for range 3 {
		get200(t, s.dial(t), "/hello")
	}
}

// Server-sent events come one by one, and so does a heartbeat.
func TestEvents(t *testing.T) {
	s := serveApp(t, Config{HTTP2: HTTP2{H2C: true}}, pool.Config{NumWorkers: 1})
	for _, h2 := range []bool{false, true} {
		file := filepath.Join(t.TempDir(), "gone")
		res, err := s.client(t, h2).Get(s.url + "/events?file=" + file)
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(res.Body)
		for _, want := range []string{"data: 0\n", "\n", ": heartbeat\n", "\n", "data: 2\n"} {
			if got, err := r.ReadString('\n'); got != want || err != nil {
				t.Fatalf("%q %v, want %q", got, err, want)
			}
		}
		_ = res.Body.Close()
		waitFor(t, "the worker to notice", func() bool { return exists(file) })
	}
}

// A worker that dies in the middle of an answer leaves no answer that looks
// whole, neither of a stream nor of one long frame.
func TestDeathInMidAnswer(t *testing.T) {
	s := serveApp(t, Config{HTTP2: HTTP2{H2C: true}}, pool.Config{NumWorkers: 1})
	for _, h2 := range []bool{false, true} {
		res, err := s.client(t, h2).Get(s.url + "/stream-die")
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if _, err := bufio.NewReader(res.Body).WriteTo(&b); err == nil || b.Len() > 1000 {
			t.Errorf("h2 %v: %d bytes, %v", h2, b.Len(), err)
		}
		_ = res.Body.Close()
	}
}

func TestWebSocket(t *testing.T) {
	var rec recorder
	s := serve(t, Config{}, rec.exec())
	res := s.dial(t).do("GET", plainGet+"\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13", "")
	if res.StatusCode != 426 || res.Header.Get("Upgrade") == "" || !strings.Contains(res.text, "WebSocket is not served here") {
		t.Errorf("%d %v %q", res.StatusCode, res.Header, res.text)
	}
	if res := s.dial(t).do("GET", plainGet+"\r\nConnection: Upgrade\r\nUpgrade: h2c", ""); res.StatusCode != 200 {
		t.Errorf("another protocol: %d", res.StatusCode)
	}
}
