package http

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/rr-systemd/rrd/ipc"
)

// logBuffer collects JSON lines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// count tells how often a text was written.
func (l *logBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// find returns the record with a message.
func (l *logBuffer) find(t *testing.T, message string) map[string]any {
	t.Helper()
	var found []map[string]any
	waitFor(t, "the record "+message, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		found = nil
		for line := range strings.Lines(l.b.String()) {
			var m map[string]any
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatal(err)
			}
			if m["msg"] == message {
				found = append(found, m)
			}
		}
		return len(found) > 0
	})
	if len(found) > 1 {
		t.Errorf("%s: %d times", message, len(found))
	}
	return found[0]
}

func (l *logBuffer) use(o *Options) {
	o.Log = slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func wantFields(t *testing.T, record map[string]any, want map[string]any) {
	t.Helper()
	for k, v := range want {
		if record[k] != v {
			t.Errorf("%s: %v (%T), want %v", k, record[k], record[k], v)
		}
	}
}

const logged = "/a%20b?x=1 HTTP/1.1\r\nHost: h.test\r\nUser-Agent: ua\r\nReferer: ref\r\nX-Request-Id: id-7\r\nContent-Length: 3"

func TestHTTPLog(t *testing.T) {
	var log logBuffer
	s := serve(t, Config{}, answering(msg(`{"status":201}`, "hello")), log.use)
	c := s.dial(t)
	c.do("POST", logged, "abc")
	wantFields(t, log.find(t, "http log"), map[string]any{
		"level": "INFO", "status": 201.0, "method": "POST", "URI": "/a%20b?x=1", "URL": "/a%20b?x=1",
		"remote_address": c.LocalAddr().String(), "read_bytes": 3.0, "write_bytes": 5.0, "elapsed": 0.0, "request_id": "id-7",
	})
}

func TestAccessLog(t *testing.T) {
	var log logBuffer
	s := serve(t, Config{AccessLogs: true}, answering(msg(okContext, "hello")), log.use)
	s.dial(t).do("POST", logged, "abc")
	record := log.find(t, "http access log")
	wantFields(t, record, map[string]any{
		"read_bytes": 3.0, "write_bytes": 5.0, "status": 200.0, "method": "POST", "URI": "/a%20b?x=1", "query": "x=1",
		"content_len": 3.0, "host": "h.test", "user_agent": "ua", "referer": "ref", "request_id": "id-7",
	})
	for _, k := range []string{"time_local", "request_time", "start", "elapsed", "URL", "remote_address"} {
		if record[k] == nil {
			t.Errorf("%s is missing", k)
		}
	}
}

func TestFailureIsLoggedOnce(t *testing.T) {
	var log logBuffer
	s := serve(t, Config{}, failing(ipc.ErrExecTTL), log.use)
	s.dial(t).do("GET", plainGet, "")
	record := log.find(t, "execute")
	wantFields(t, record, map[string]any{"level": "ERROR", "error": ipc.ErrExecTTL.Error()})
	wantFields(t, log.find(t, "http log"), map[string]any{"status": 500.0, "request_id": record["request_id"]})
}

func TestRefusalIsLogged(t *testing.T) {
	var log logBuffer
	s := serve(t, Config{}, failing(ipc.ErrWorkerFailed), log.use)
	post(s.dial(t), "POST", form, "a=%zz")
	wantFields(t, log.find(t, "request forming error"), map[string]any{"error": `invalid URL escape "%zz"`})
	wantFields(t, log.find(t, "http log"), map[string]any{"status": 400.0})
}

func TestServerErrorsAreLogged(t *testing.T) {
	var log logBuffer
	s := serve(t, Config{}, execFunc(func(context.Context, *ipc.Payload) (ipc.Stream, error) { panic("bug") }), log.use)
	c := s.dial(t)
	c.send("GET " + plainGet + "\r\n\r\n")
	if _, err := http.ReadResponse(c.r, nil); err == nil {
		t.Error("answered")
	}
	record := log.find(t, "internal server error")
	if text, _ := record["message"].(string); !strings.Contains(text, "panic serving") || record["level"] != "ERROR" {
		t.Errorf("%v", record)
	}
}

// What only a client did is no error of the server.
func TestClientsMistakesAreNoErrors(t *testing.T) {
	var log logBuffer
	s := serve(t, Config{HTTP2: HTTP2{H2C: true}}, answering(msg(okContext, "ok")), log.use)
	s.dial(t).send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678") // a PING is no beginning
	record := log.find(t, "connection failed")
	if text, _ := record["message"].(string); !strings.Contains(text, "PROTOCOL_ERROR") || record["level"] != "DEBUG" {
		t.Errorf("%v", record)
	}
}

func TestRequestID(t *testing.T) {
	ids := newRequestIDs()
	of := func(v string) string {
		return ids.of(&http.Request{Header: http.Header{"X-Request-Id": {v}}})
	}
	for _, v := range []string{"a", "0af7651916cd43dd8448eb211c80319c", strings.Repeat("x", maxRequestID)} {
		if got := of(v); got != v {
			t.Errorf("%q: %q", v, got)
		}
	}
	seen := map[string]bool{}
	for _, v := range []string{"", "a b", "a\nb", "ä", strings.Repeat("x", maxRequestID+1)} {
		got := of(v)
		if got == v || got == "" || seen[got] {
			t.Errorf("%q: %q", v, got)
		}
		seen[got] = true
	}
	if newRequestIDs().prefix == ids.prefix {
		t.Error("two servers give the same ids")
	}
}
