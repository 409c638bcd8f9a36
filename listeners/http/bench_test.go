package http

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool"
)

// browserRequest has the fields that a browser sends.
const browserRequest = "GET /catalog/shoes?page=2&sort=price HTTP/1.1\r\nHost: shop.example\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
	"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n" +
	"Referer: https://shop.example/catalog\r\nUpgrade-Insecure-Requests: 1\r\nCache-Control: max-age=0\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=a%3D1%26b%3D2\r\n\r\n"

func BenchmarkContextJSON(b *testing.B)  { benchmarkContext(b, (*exchange).appendJSONContext) }
func BenchmarkContextProto(b *testing.B) { benchmarkContext(b, (*exchange).appendProtoContext) }

func benchmarkContext(b *testing.B, encode func(*exchange, []byte, *http.Request) []byte) {
	r := parseRequest(b, browserRequest)
	e := &exchange{remoteIP: "10.0.0.7"}
	b.ReportAllocs()
	for b.Loop() {
		e.context = encode(e, e.context[:0], r)
	}
	b.SetBytes(int64(len(e.context)))
}

func BenchmarkAnswerJSON(b *testing.B) {
	benchmarkAnswer(b, 0x08, []byte(`{"status":200,"headers":{"Content-Type":["text\/html; charset=utf-8"],"Cache-Control":["no-store"],"X-Frame-Options":["DENY"],"Set-Cookie":["a=1; path=\/","b=2"]}}`))
}

func BenchmarkAnswerProto(b *testing.B) {
	benchmarkAnswer(b, 0x80, protoResponse(b, 200, map[string][]string{"Content-Type": {"text/html; charset=utf-8"},
		"Cache-Control": {"no-store"}, "X-Frame-Options": {"DENY"}, "Set-Cookie": {"a=1; path=/", "b=2"}}))
}

func benchmarkAnswer(b *testing.B, flags byte, context []byte) {
	var a answer
	m := &ipc.Message{Flags: flags, Context: context}
	h := http.Header{}
	var names []string
	b.ReportAllocs()
	for b.Loop() {
		if err := a.decode(m); err != nil {
			b.Fatal(err)
		}
		clear(h)
		names = a.addTo(h, names[:0])
	}
}

func BenchmarkForm(b *testing.B) {
	form := "name=Max+Mustermann&mail=max%40example.org&tags[]=a&tags[]=b&address[street]=Weg+1&address[city]=K%C3%B6ln&items[][id]=1&items[][id]=2"
	var t tree[string]
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		t.reset()
		if err := parseURLEncoded(&t, form); err != nil {
			b.Fatal(err)
		}
		buf = t.appendJSON(buf[:0], appendJSONString)
	}
}

// BenchmarkHandler is everything but net/http and the pool.
func BenchmarkHandler(b *testing.B) {
	m := msg(`{"status":200,"headers":{"Content-Type":["text\/plain"]}}`, "hello world")
	stream := &oneFrame{m: m}
	s := serve(b, Config{}, execFunc(func(context.Context, *ipc.Payload) (ipc.Stream, error) {
		stream.done = false
		return stream, nil
	}))
	r := parseRequest(b, browserRequest)
	r.RemoteAddr = "10.0.0.7:1234"
	w := &nullWriter{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		s.http.Handler.ServeHTTP(w, r)
	}
}

type oneFrame struct {
	m    *ipc.Message
	done bool
}

func (o *oneFrame) Next() (*ipc.Message, error) { return o.m, nil }
func (*oneFrame) Cancel()                       {}

func (o *oneFrame) Close() {}

type nullWriter struct {
	header http.Header
	httptest.ResponseRecorder
}

func (w *nullWriter) Header() http.Header         { return w.header }
func (w *nullWriter) WriteHeader(int)             {}
func (w *nullWriter) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkServer is a request over a socket, without and with PHP.
func BenchmarkServer(b *testing.B) {
	run := func(b *testing.B, s *testServer, request string, size int) {
		c := s.dial(b)
		_ = c.SetDeadline(time.Time{})
		buf := make([]byte, 64<<10)
		b.ReportAllocs()
		b.SetBytes(int64(size))
		for b.Loop() {
			c.send(request)
			for got, want := 0, 1; got < want; {
				n, err := c.Read(buf)
				if err != nil {
					b.Fatal(err)
				}
				if got == 0 {
					head := strings.Index(string(buf[:n]), "\r\n\r\n")
					if head < 0 || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200") {
						b.Fatalf("%q", buf[:n])
					}
					want = head + 4 + size
				}
				got += n
			}
		}
	}
	b.Run("fake", func(b *testing.B) {
		run(b, serve(b, Config{}, answering(msg(okContext, "hello"))), browserRequest, 5)
	})
	s := servePHP(b, Config{}, pool.Config{NumWorkers: 1})
	b.Run("php", func(b *testing.B) {
		run(b, s, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 5)
	})
	for _, size := range []int{64 << 10, 1 << 20} {
		b.Run(fmt.Sprint("php-echo-", size), func(b *testing.B) {
			run(b, s, fmt.Sprintf("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size)), size)
		})
	}
}

// BenchmarkIdleConnection tells what an idle keep-alive connection costs: the
// server's memory and that of its client here together, of which the client's
// part is a descriptor.
func BenchmarkIdleConnection(b *testing.B) {
	s := serve(b, Config{}, answering(msg(okContext, "ok")))
	memory := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := memory()
	conns := make([]net.Conn, 0, b.N)
	buf := make([]byte, 4096)
	for b.Loop() {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			b.Fatal(err)
		}
		conns = append(conns, c)
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(memory()-before)/float64(len(conns)), "bytes/conn")
	for _, c := range conns {
		_ = c.Close()
	}
}
