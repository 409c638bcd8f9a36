package http

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc"
)

// A refusal does not wait for the rest of a body, which a client may never send.
func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	for name, tt := range map[string]struct {
		head, body string
		status     int
	}{
		"too large, nothing sent": {"Content-Length: 100000000", "", 413},
		"too large by little":     {"Content-Length: 1048577", "abc", 413},
		"too large, half sent":    {"Content-Length: 3000000", strings.Repeat("x", 1500000), 413},
		"too large in chunks":     {"Transfer-Encoding: chunked", "200000\r\n" + strings.Repeat("x", 1<<20+1), 413},
		"bad query":               {"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10", "", 400},
		"bad part of a form":      {"Content-Type: multipart/form-data; boundary=B\r\nContent-Length: 100000", "--B\r\nno header\r\n\r\n" + strings.Repeat("x", 5000), 400},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Config{MaxRequestSize: 1}, failing(ipc.ErrWorkerFailed))
			c := s.dial(t)
			target := "/"
			if name == "bad query" {
				target = "/?a=1;b"
			}
			begin := time.Now()
			res := c.do("POST", target+" HTTP/1.1\r\nHost: a\r\n"+tt.head, tt.body)
			if res.StatusCode != tt.status {
				t.Errorf("%d %q", res.StatusCode, res.text)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("answered after %s", took)
			}
			if res.err != nil || !res.Close || res.ContentLength < 0 {
				t.Errorf("%v, close %v, length %d", res.err, res.Close, res.ContentLength)
			}
			if _, err := c.r.ReadByte(); err != io.EOF {
				t.Errorf("the connection is not closed: %v", err)
			}
		})
	}
}

// A client that sends all of a body that is refused before it listens sees why.
func TestRefusalIsSeenByASender(t *testing.T) {
	s := serve(t, Config{MaxRequestSize: 1}, failing(ipc.ErrWorkerFailed))
	c := s.dial(t)
	if res := c.do("POST", "/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1400000", strings.Repeat("x", 1400000)); res.StatusCode != 413 || res.err != nil {
		t.Errorf("%d, %v", res.StatusCode, res.err)
	}
}

// No worker waits for a body that nobody reads.
func TestUnreadBodyHoldsNoWorker(t *testing.T) {
	for _, head := range []string{
		"OPTIONS / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 17\r\n\r\n--B--\r\n",
	} {
		begun := make(chan bool, 1)
		s := serve(t, Config{}, execFunc(func(context.Context, *ipc.Payload) (ipc.Stream, error) {
			begun <- true
			return &frames{list: []*ipc.Message{msg(okContext, "ok")}}, nil
		}))
		c := s.dial(t)
		c.send(head)
		waitFor(t, "the request to begin", func() bool { return s.Stats().Active == 1 })
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := c.r.ReadByte(); err == nil {
			t.Error("answered before the end of the request")
		}
		select {
		case <-begun:
			t.Errorf("a worker waits for the rest of %q", head)
		default:
		}
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		c.send("0123456789")
		if res := c.receive("POST"); res.StatusCode != 200 {
			t.Errorf("%d", res.StatusCode)
		}
	}
}

// Overload fills no disk: it is a warning, and only a few of its requests get a
// record.
func TestOverloadIsSampled(t *testing.T) {
	var log logBuffer
	s := serve(t, Config{}, failing(ipc.ErrNoFreeWorkers), log.use)
	c := s.dial(t)
	for range 50 {
		if res := c.do("GET", plainGet, ""); res.StatusCode != 503 {
			t.Fatal(res.StatusCode)
		}
	}
	waitFor(t, "the requests to be logged", func() bool { return log.count(`"msg":"http log"`) == 50 })
	// 50 requests may need more than one second on a busy machine.
	if n := log.count(`"level":"WARN","msg":"execute"`); n < 1 || n > 25 {
		t.Errorf("%d records", n)
	}
	if n := log.count(`"level":"ERROR"`); n > 0 {
		t.Errorf("%d errors", n)
	}
}

func TestSampler(t *testing.T) {
	var s sampler
	now := time.Unix(100, 0)
	for i := range 10 {
		if _, ok := s.next(now); ok != (i < recordsPerSecond) {
			t.Errorf("record %d: %v", i, ok)
		}
	}
	for i, want := range []uint64{10 - recordsPerSecond, 0} {
		if n, ok := s.next(now.Add(time.Second)); n != want || !ok {
			t.Errorf("record %d of the next second: %d left out, %v", i, n, ok)
		}
	}
	if !overloaded(ipc.ErrQueueFull) || overloaded(errors.New("x")) {
		t.Error("overload is not told from failure")
	}
}
