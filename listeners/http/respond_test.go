package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"strings"
	"testing"

	"github.com/rr-systemd/rrd/ipc"
)

const plainGet = "/ HTTP/1.1\r\nHost: a"

func TestAnswer(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 10000)
	for _, tt := range []struct {
		name   string
		method string
		list   []*ipc.Message
		status int
		body   string
		check  func(t *testing.T, res response)
	}{
		{"plain", "GET", []*ipc.Message{msg(`{"status":201,"headers":{"X-A":["1"],"x-a":["2"]}}`, "hello")}, 201, "hello", func(t *testing.T, res response) {
			if res.ContentLength != 5 || !reflect.DeepEqual(res.Header["X-A"], []string{"1", "2"}) {
				t.Errorf("%v", res.Header)
			}
		}},
		{"empty", "GET", []*ipc.Message{msg(okContext, "")}, 200, "", func(t *testing.T, res response) {
			if res.Header.Get("Content-Length") != "0" || res.Header.Get("Content-Type") != "" {
				t.Errorf("%v", res.Header)
			}
		}},
		{"no context", "GET", []*ipc.Message{msg("", "body")}, 200, "body", nil},
		{"nothing at all", "GET", []*ipc.Message{msg("", "")}, 200, "", nil},
		{"large body has a length", "GET", []*ipc.Message{msg(okContext, big)}, 200, big, func(t *testing.T, res response) {
			if res.ContentLength != int64(len(big)) {
				t.Error(res.ContentLength)
			}
		}},
		{"short Content-Length is corrected", "GET", []*ipc.Message{msg(`{"status":200,"headers":{"Content-Length":["3"]}}`, "hello")}, 200, "hello", nil},
		{"204 has no body", "GET", []*ipc.Message{msg(`{"status":204,"headers":{"Content-Length":["5"]}}`, "hello")}, 204, "", nil},
		{"304 has no body", "GET", []*ipc.Message{msg(`{"status":304}`, "hello")}, 304, "", nil},
		{"HEAD", "HEAD", []*ipc.Message{msg(okContext, "<html>")}, 200, "", func(t *testing.T, res response) {
			if res.Header.Get("Content-Type") != "text/html; charset=utf-8" || res.ContentLength >= 0 {
				t.Errorf("%v", res.Header)
			}
		}},
		{"sniffed", "GET", []*ipc.Message{msg(okContext, "<html>")}, 200, "<html>", func(t *testing.T, res response) {
			if res.Header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("%v", res.Header)
			}
		}},
		{"stream", "GET", []*ipc.Message{part(`{"status":404}`, "a"), part(`{"status":200,"headers":{"X":["late"]}}`, ""), part("", "b"), msg("", "c")}, 404, "abc",
			func(t *testing.T, res response) {
				if res.TransferEncoding == nil || res.Header.Get("X") != "" {
					t.Errorf("%v %v", res.TransferEncoding, res.Header)
				}
			}},
		{"stream of nothing", "GET", []*ipc.Message{part(`{"status":202}`, ""), msg("", "")}, 202, "", nil},
		{"trailers", "GET", []*ipc.Message{
			part(`{"status":200,"headers":{"Trailer":["X-T, \tX-U,Content-Length"],"X-T":["a"],"X-U":["b","c"],"Content-Length":["9"],"X-V":["v"]}}`, "a"),
			part(`{"status":200,"headers":{"Trailer":["X-T"],"X-T":["later"]}}`, "b"), msg("", "")}, 200, "ab",
			func(t *testing.T, res response) {
				want := http.Header{"X-T": {"later"}, "X-U": {"b", "c"}}
				if !reflect.DeepEqual(res.Trailer, want) || res.Header.Get("X-T") != "" || res.Header.Get("X-V") != "v" {
					t.Errorf("%v %v", res.Header, res.Trailer)
				}
			}},
		{"trailers of a whole body", "GET", []*ipc.Message{msg(`{"status":200,"headers":{"Trailer":["X-T"],"X-T":["a"]}}`, big)}, 200, big,
			func(t *testing.T, res response) {
				if res.Trailer.Get("X-T") != "a" {
					t.Errorf("%v", res.Trailer)
				}
			}},
		{"bad status", "GET", []*ipc.Message{msg(`{"status":600,"headers":{"X":["1"],"Content-Type":["a/b"]}}`, "x")}, 500, "unknown status code from worker: 600\n",
			func(t *testing.T, res response) {
				if res.Header.Get("X") != "1" || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
					t.Errorf("%v", res.Header)
				}
			}},
		{"no status", "GET", []*ipc.Message{msg(`{}`, "x")}, 500, "unknown status code from worker: 0\n", nil},
		{"final 1xx", "GET", []*ipc.Message{msg(`{"status":103}`, "")}, 500, "unknown status code from worker: 103\n", nil},
		{"unknown codec", "GET", []*ipc.Message{{Flags: 0x88, Context: []byte(okContext), Body: []byte("x")}}, 500, "", nil},
		{"garbage", "GET", []*ipc.Message{msg(`{"status":`, "x")}, 500, "", nil},
		{"garbage after an empty first frame", "GET", []*ipc.Message{part(`{"status":200,"headers":{"X":["1"],"Trailer":["X-T"],"X-T":["1"]}}`, ""), msg(`{`, "x")}, 500, "",
			func(t *testing.T, res response) {
				if res.Header.Get("X") != "" || len(res.Trailer) > 0 {
					t.Errorf("fields of the failed answer: %v %v", res.Header, res.Trailer)
				}
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			closed := make(chan bool, 1)
			s := serve(t, Config{}, execFunc(func(context.Context, *ipc.Payload) (ipc.Stream, error) {
				return &frames{list: tt.list, closed: func() { closed <- true }}, nil
			}))
			c := s.dial(t)
			res := c.do(tt.method, plainGet, "")
			if res.StatusCode != tt.status || res.text != tt.body || res.err != nil {
				t.Fatalf("%d %.100q %v", res.StatusCode, res.text, res.err)
			}
			if tt.check != nil {
				tt.check(t, res)
			}
			<-closed
		})
	}
}

func TestEarlyHints(t *testing.T) {
	s := serve(t, Config{}, answering(
		part(`{"status":103,"headers":{"Link":["</a>"]}}`, ""),
		part(`{"status":101,"headers":{"Upgrade":["x"]}}`, ""),
		part(`{"status":102,"headers":{"X-P":["1"]}}`, ""),
		msg(`{"status":404,"headers":{"X-F":["1"]}}`, "gone"),
	), func(o *Options) {
		o.Middleware = []Middleware{func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-M", "1")
				h.ServeHTTP(w, r)
			})
		}}
	})
	var hints []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, h))
		return nil
	}}
	req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", s.url, nil)
	res, err := s.client(t, false).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if want := []string{"103 map[Link:[</a>]]", "102 map[X-P:[1]]"}; !reflect.DeepEqual(hints, want) {
		t.Errorf("%q", hints)
	}
	if res.StatusCode != 404 || res.Header.Get("Link") != "" || res.Header.Get("X-P") != "" || res.Header.Get("X-F") != "1" || res.Header.Get("X-M") != "1" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	// HTTP/1.0 knows no informational responses.
	if res := s.dial(t).do("GET", "/ HTTP/1.0", ""); res.StatusCode != 404 || res.text != "gone" {
		t.Errorf("%d %q", res.StatusCode, res.text)
	}
}

// client returns an HTTP client that is closed with the test.
func (s *testServer) client(t testing.TB, h2 bool) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetUnencryptedHTTP2(h2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestFailureInMidStreamAborts(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for name, last := range map[string]*frames{
			"worker died":        {list: []*ipc.Message{part(okContext, "one")}, err: ipc.ErrWorkerFailed},
			"undecodable":        {list: []*ipc.Message{part(okContext, "one"), msg("{", "two")}},
			"longer than length": {list: []*ipc.Message{part(`{"status":200,"headers":{"Content-Length":["4"]}}`, "one"), msg("", "two")}},
		} {
			t.Run(fmt.Sprint(name, h2), func(t *testing.T) {
				list := last.list
				s := serve(t, Config{HTTP2: HTTP2{H2C: true}}, execFunc(func(context.Context, *ipc.Payload) (ipc.Stream, error) {
					return &frames{list: list, err: last.err}, nil
				}))
				res, err := s.client(t, h2).Get(s.url)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				if err == nil || string(body) != "one" && !h2 {
					t.Errorf("%q %v", body, err)
				}
			})
		}
	}
}

func TestLongContentLengthIsSeen(t *testing.T) {
	s := serve(t, Config{}, answering(msg(`{"status":200,"headers":{"Content-Length":["10"]}}`, "hello")))
	res := s.dial(t).do("GET", plainGet, "")
	if res.text != "hello" || res.err != io.ErrUnexpectedEOF {
		t.Errorf("%q %v", res.text, res.err)
	}
}

// TestStreamIsFlushed needs every part before the next one is made.
func TestStreamIsFlushed(t *testing.T) {
	next := make(chan *ipc.Message)
	s := serve(t, Config{}, execFunc(func(context.Context, *ipc.Payload) (ipc.Stream, error) {
		return chanStream(next), nil
	}))
	c := s.dial(t)
	c.send("GET " + plainGet + "\r\n\r\n")
	next <- part(okContext, "first")
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	for _, text := range []string{"first", "again"} {
		if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != text {
			t.Fatalf("%q %v", buf, err)
		}
		if text == "first" {
			next <- part("", "again")
		}
	}
	next <- msg("", "")
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
		t.Errorf("%q %v", rest, err)
	}
}

type chanStream chan *ipc.Message

func (c chanStream) Next() (*ipc.Message, error) { return <-c, nil }
func (c chanStream) Close()                      {}
func (c chanStream) Cancel()                     {}

// TestStreamNobodyReads is closed at once: for HEAD, and when the client leaves.
func TestStreamNobodyReads(t *testing.T) {
	closed := make(chan bool, 1)
	exec := execFunc(func(context.Context, *ipc.Payload) (ipc.Stream, error) {
		return endless{&frames{closed: func() { closed <- true }}}, nil
	})
	s := serve(t, Config{}, exec)
	c := s.dial(t)
	if res := c.do("HEAD", plainGet, ""); res.StatusCode != 200 {
		t.Error(res.StatusCode)
	}
	<-closed
	c.send("GET " + plainGet + "\r\n\r\n")
	if _, err := c.r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	_ = c.Conn.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	<-closed
}

type endless struct{ *frames }

func (endless) Next() (*ipc.Message, error) { return part(okContext, strings.Repeat("x", 1000)), nil }

func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		err        error
		code       int // internal_error_code
		debug      bool
		status     int
		body       string
		header     http.Header
		wantClosed bool
	}{
		{err: fmt.Errorf("x: %w", ipc.ErrNoFreeWorkers), status: 503, header: http.Header{"Retry-After": {"1"}, "No-Workers": {"true"}}},
		{err: ipc.ErrQueueFull, status: 503, header: http.Header{"Retry-After": {"1"}, "No-Workers": {"true"}}},
		{err: ipc.ErrQueueFull, code: 500, status: 500, header: http.Header{"Retry-After": nil, "No-Workers": {"true"}}},
		{err: ipc.ErrNoFreeWorkers, code: 444, status: 444, header: http.Header{"Retry-After": nil}},
		{err: ipc.ErrExecTTL, status: 500},
		{err: ipc.ErrWorkerFailed, code: 502, status: 502},
		{err: &ipc.SoftError{Text: "boom"}, status: 500},
		{err: ipc.ErrPoolClosed, status: 503, wantClosed: true},
		{err: &ipc.SoftError{Text: "<b>boom"}, debug: true, status: 500, body: "<b>boom\n",
			header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"}}},
	} {
		t.Run(fmt.Sprint(tt.err, tt.code, tt.debug), func(t *testing.T) {
			s := serve(t, Config{InternalErrorCode: tt.code}, failing(tt.err), func(o *Options) { o.Debug = tt.debug })
			res := s.dial(t).do("GET", plainGet, "")
			if res.StatusCode != tt.status || res.text != tt.body || res.Close != tt.wantClosed {
				t.Errorf("%d %q close %v", res.StatusCode, res.text, res.Close)
			}
			for name, want := range tt.header {
				if !reflect.DeepEqual(res.Header[name], want) {
					t.Errorf("%s: %q, want %q", name, res.Header[name], want)
				}
			}
		})
	}
}

func TestPanicInMiddlewareAndPool(t *testing.T) {
	s := serve(t, Config{}, execFunc(func(context.Context, *ipc.Payload) (ipc.Stream, error) { panic(errors.New("bug")) }))
	c := s.dial(t)
	body := formPart("f", "a", "", "0123456789") + "--B--\r\n"
	c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	if _, err := http.ReadResponse(c.r, nil); err == nil {
		t.Error("answered")
	}
	waitFor(t, "the request to end", func() bool { return s.Stats().Active == 0 })
	s.noFiles(t)
}

func TestMiddlewareOrder(t *testing.T) {
	mark := func(name string) Middleware {
		return func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Add("X-Order", name)
				h.ServeHTTP(w, r)
			})
		}
	}
	var rec recorder
	s := serve(t, Config{}, rec.exec(), func(o *Options) { o.Middleware = []Middleware{mark("first"), mark("last")} })
	s.dial(t).do("GET", plainGet, "")
	if ctx := string(rec.last(t).Context); !strings.Contains(ctx, `"X-Order":["last","first"]`) {
		t.Error(ctx)
	}
}
