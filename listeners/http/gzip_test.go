package http

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool"
)

// stepped is an answer whose parts come when they are asked for.
type stepped struct{ parts chan *ipc.Message }

func (stepped) Cancel() {}

func (s stepped) Next() (*ipc.Message, error) {
	m, ok := <-s.parts
	if !ok {
		return nil, io.EOF
	}
	return m, nil
}
func (s stepped) Close() {}

// streamsThrough tells whether the parts of a stream arrive as they come.
func streamsThrough(t *testing.T, c Config, encoding string) {
	t.Helper()
	parts := make(chan *ipc.Message, 1)
	s, _ := serveWith(t, c, execFunc(func(context.Context, *ipc.Payload) (ipc.Stream, error) { return stepped{parts}, nil }))
	conn := s.dial(t)
	conn.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: " + encoding + "\r\n\r\n")
	parts <- part(`{"status":200,"headers":{"Content-Type":["text/event-stream"]}}`, "data: 1\n\n")
	res, err := http.ReadResponse(conn.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get("Content-Encoding"); got != encoding {
		t.Errorf("%q", got)
	}
	var body io.Reader = res.Body
	if encoding == "gzip" {
		head := make([]byte, 10)
		if _, err := io.ReadFull(body, head); err != nil {
			t.Fatal(err)
		}
		body = flate.NewReader(body)
	}
	for i, text := range []string{"data: 1\n\n", "data: 2\n\n"} {
		if i == 1 {
			parts <- part(okContext, text)
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(body, got); err != nil || string(got) != text {
			t.Errorf("%q %v", got, err)
		}
	}
	close(parts)
	if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
		t.Errorf("%q %v", rest, err)
	}
}

func TestGzipStreams(t *testing.T) { streamsThrough(t, Config{Middleware: []string{"gzip"}}, "gzip") }

func TestGzip(t *testing.T) {
	long := strings.Repeat("text to compress ", 200)
	all := Gzip{Encodings: []string{"zstd", "br", "gzip"}}
	for _, tt := range []struct {
		name, accept, context, body string
		gzip                        Gzip
		encoding                    string
	}{
		{"plain client", "", okContext, long, Gzip{}, ""},
		{"long", "gzip", okContext, long, Gzip{}, "gzip"},
		{"any size without a length", "gzip", okContext, "s", Gzip{}, "gzip"},
		{"short with a length", "gzip", `{"status":200,"headers":{"Content-Length":["5"]}}`, "hello", Gzip{}, ""},
		{"any case, weights", "br;q=1, GZIP ; q=0.5", okContext, long, Gzip{}, "gzip"},
		{"refused", "gzip;q=0", okContext, long, Gzip{}, ""},
		{"a star says nothing", "*", okContext, long, Gzip{}, ""},
		{"empty body", "gzip", okContext, "", Gzip{}, ""},
		{"204", "gzip", `{"status":204,"headers":{}}`, "", Gzip{}, ""},
		{"encoded", "gzip", `{"status":200,"headers":{"Content-Encoding":["x"]}}`, long, Gzip{}, "x"},
		{"partial", "gzip", `{"status":206,"headers":{"Content-Range":["bytes 0-9/90"]}}`, long, Gzip{}, ""},
		{"no-transform", "gzip", `{"status":200,"headers":{"Cache-Control":["no-transform"]}}`, long, Gzip{}, ""},
		{"opted out", "gzip", `{"status":200,"headers":{"No-Gzip-Compression":["1"]}}`, long, Gzip{}, ""},
		{"video", "gzip", `{"status":200,"headers":{"Content-Type":["video/mp4"]}}`, long, Gzip{}, ""},
		{"jpeg", "gzip", `{"status":200,"headers":{"Content-Type":["Image/JPEG"]}}`, long, Gzip{}, ""},
		{"min_size", "gzip", okContext, "short", Gzip{MinSize: 100}, ""},
		{"above min_size", "gzip", okContext, long, Gzip{MinSize: 100, Level: 9}, "gzip"},
		{"preference", "gzip, br, zstd", okContext, long, all, "zstd"},
		{"weight before preference", "gzip, br;q=0.9, zstd;q=0.8", okContext, long, all, "gzip"},
		{"brotli", "br", okContext, long, all, "br"},
		{"brotli is not offered", "br, zstd", okContext, long, Gzip{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := serveWith(t, Config{Middleware: []string{"gzip"}, MiddlewareConfig: MiddlewareConfig{Gzip: tt.gzip}}, answering(msg(tt.context, tt.body)))
			res := s.get(t, "/", "Accept-Encoding: "+tt.accept)
			if got := res.Header.Get("Content-Encoding"); got != tt.encoding || res.Header.Get("Vary") != "Accept-Encoding" || res.Header.Get("No-Gzip-Compression") != "" {
				t.Errorf("%v", res.Header)
			}
			if text := decompressed(t, tt.encoding, res.text); text != tt.body || res.err != nil {
				t.Errorf("%d bytes, %v", len(text), res.err)
			}
			if head := s.ask(t, "HEAD", "/", "Accept-Encoding: "+tt.accept); tt.encoding != "x" && head.Header.Get("Content-Encoding") != "" {
				t.Errorf("HEAD: %v", head.Header)
			}
		})
	}
}

// A strong ETag names bytes, and the compressed ones are others.
func TestGzipETag(t *testing.T) {
	body := strings.Repeat("x", 5000)
	s, _ := serveWith(t, Config{Middleware: []string{"gzip"}}, answering(msg(`{"status":200,"headers":{"ETag":["\"a\""],"Accept-Ranges":["bytes"]}}`, body)))
	if h := s.get(t, "/", "Accept-Encoding: gzip").Header; h.Get("Etag") != `W/"a"` || h.Get("Accept-Ranges") != "" {
		t.Errorf("%v", h)
	}
	if h := s.get(t, "/").Header; h.Get("Etag") != `"a"` || h.Get("Accept-Ranges") != "bytes" {
		t.Errorf("%v", h)
	}
}

// Listed twice, it compresses once.
func TestGzipTwice(t *testing.T) {
	body := strings.Repeat("x", 5000)
	s, _ := serveWith(t, Config{Middleware: []string{"gzip", "gzip"}}, answering(msg(okContext, body)))
	res := s.get(t, "/", "Accept-Encoding: gzip")
	if len(res.Header["Vary"]) != 1 || len(res.Header["Content-Encoding"]) != 1 || decompressed(t, "gzip", res.text) != body {
		t.Errorf("%v", res.Header)
	}
}

// An answer that breaks off, or is shorter than its Content-Length, must not
// look whole.
func TestGzipBrokenAnswer(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for name, exec := range map[string]execFunc{
		"stream": func(context.Context, *ipc.Payload) (ipc.Stream, error) {
			return &frames{list: []*ipc.Message{part(okContext, long)}, err: io.ErrUnexpectedEOF}, nil
		},
		"length": answering(msg(`{"status":200,"headers":{"Content-Length":["6000"]}}`, long)),
	} {
		s, _ := serveWith(t, Config{Middleware: []string{"gzip"}}, exec)
		c := s.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
		all, err := io.ReadAll(c.r)
		if err != nil || strings.HasSuffix(string(all), "\r\n0\r\n\r\n") || strings.Contains(string(all), "Content-Length") {
			t.Errorf("%s: it looks whole: %.200q %v", name, all, err)
		}
	}
}

// Informational answers and trailers pass.
func TestGzipHints(t *testing.T) {
	s, _ := serveWith(t, Config{Middleware: []string{"gzip"}}, answering(part(`{"status":103,"headers":{"Link":["</a>"]}}`, ""),
		msg(`{"status":404,"headers":{"Trailer":["X-T"],"X-T":["1"]}}`, "gone")))
	res := s.get(t, "/", "Accept-Encoding: gzip")
	if res.StatusCode != 404 || decompressed(t, "gzip", res.text) != "gone" || res.Trailer.Get("X-T") != "1" || res.Header.Get("Link") != "" {
		t.Errorf("%d %v %v", res.StatusCode, res.Header, res.Trailer)
	}
}

// With a real worker.
func TestPHPGzip(t *testing.T) {
	c := Config{Middleware: []string{"gzip"}, MiddlewareConfig: MiddlewareConfig{Gzip: Gzip{Encodings: []string{"br", "zstd", "gzip"}}}}
	list, err := NewMiddleware(c, Environment{})
	if err != nil {
		t.Fatal(err)
	}
	s := servePHP(t, c, pool.Config{NumWorkers: 1}, func(o *Options) { o.Middleware = list })
	for _, encoding := range []string{"gzip", "br", "zstd"} {
		for path, text := range map[string]string{"/hello": "hello", "/stream": "part 0\npart 1\npart 2\npart 3\npart 4\nend"} {
			res := s.get(t, path, "Accept-Encoding: "+encoding)
			if got := decompressed(t, encoding, res.text); got != text || res.Header.Get("Content-Encoding") != encoding {
				t.Errorf("%s %s: %q %v", encoding, path, got, res.Header)
			}
		}
	}
}
