package http

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// BenchmarkMiddleware is what each middleware adds to a request whose handler
// writes a page of 8 KiB; "none" is the handler alone.
func BenchmarkMiddleware(b *testing.B) {
	page := []byte(strings.Repeat("<li>some text of a page</li>\n", 282))
	dir := tempFiles(b, map[string]string{"a.css": string(page), "users": hashed(b, "max", "x")})
	sections := MiddlewareConfig{
		Static:         &Static{Dir: dir, CalculateETag: true},
		Headers:        &Headers{Request: map[string]string{"X-A": "1"}, Response: map[string]string{"X-B": "2"}, CORS: &CORS{AllowedOrigin: "https://shop.example"}},
		TrustedSubnets: []string{"10.0.0.0/8"},
		AccessLog:      AccessLog{File: dir + "/access.log"},
		RateLimit:      RateLimit{Requests: 1 << 30},
		BasicAuth:      BasicAuth{File: dir + "/users"},
	}
	request := strings.TrimSuffix(browserRequest, "\r\n") + "X-Forwarded-For: 9.9.9.9, 10.0.0.2\r\nOrigin: https://shop.example\r\n" + credentials("max:x") + "\r\n\r\n"
	for _, name := range []string{"none", "headers", "sendfile", "gzip", "proxy_ip_parser", "http_metrics", "request_id", "access_log", "rate_limit", "basic_auth", "static"} {
		b.Run(name, func(b *testing.B) {
			var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = htmlType
				w.WriteHeader(http.StatusOK)
				_, _ = w.Write(page)
			})
			list, err := NewMiddleware(Config{Middleware: []string{name}, MiddlewareConfig: sections}, Environment{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
			if err != nil {
				b.Fatal(err)
			}
			for _, m := range list {
				h = m(h)
			}
			r := parseRequest(b, request)
			if name == "static" {
				r.URL.Path = "/a.css"
			}
			base := r.Header
			w := &nullWriter{header: http.Header{}}
			header := http.Header{}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				clear(header)
				for k, v := range base {
					header[k] = v
				}
				r.Header, r.RemoteAddr = header, "10.0.0.1:1234"
				h.ServeHTTP(w, r)
			}
		})
	}
}

var htmlType = []string{"text/html; charset=utf-8"}

// BenchmarkStaticServer is a file over a socket.
func BenchmarkStaticServer(b *testing.B) {
	dir := tempFiles(b, map[string]string{"1KiB.bin": strings.Repeat("x", 1<<10), "100KiB.bin": strings.Repeat("x", 100<<10)})
	s, _ := serveWith(b, Config{Middleware: []string{"static"}, MiddlewareConfig: MiddlewareConfig{Static: &Static{Dir: dir}}}, answering(msg(okContext, "php")))
	for _, name := range []string{"1KiB", "100KiB"} {
		b.Run(name, func(b *testing.B) {
			var client http.Client
			defer client.CloseIdleConnections()
			b.ReportAllocs()
			for b.Loop() {
				res, err := client.Get(fmt.Sprint(s.url, "/", name, ".bin"))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil {
					b.Fatal(err)
				}
				_ = res.Body.Close()
			}
		})
	}
}
