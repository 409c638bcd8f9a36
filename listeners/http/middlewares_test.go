package http

import (
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rr-systemd/rrd/ipc"
)

// serveWith is a server with the middleware that c lists, and its log.
func serveWith(t testing.TB, c Config, exec ipc.Executor, change ...func(*Environment)) (*testServer, *logBuffer) {
	t.Helper()
	log := new(logBuffer)
	env := Environment{Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), Metrics: prometheus.NewRegistry()}
	for _, f := range change {
		f(&env)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	list, err := NewMiddleware(c, env)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, c, exec, func(o *Options) { o.Middleware = list }), log
}

// get sends a request with further header lines.
func (s *testServer) get(t testing.TB, target string, header ...string) response {
	t.Helper()
	return s.ask(t, "GET", target, header...)
}

func (s *testServer) ask(t testing.TB, method, target string, header ...string) response {
	t.Helper()
	return s.dial(t).do(method, target+" HTTP/1.1\r\nHost: a.test\r\nConnection: close"+strings.Join(append([]string{""}, header...), "\r\n"), "")
}

// tempFiles writes files below a new folder.
func tempFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func decompressed(t testing.TB, encoding, body string) string {
	t.Helper()
	var r io.Reader = strings.NewReader(body)
	switch encoding {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	case "br":
		r = brotli.NewReader(r)
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", encoding, err)
	}
	return string(text)
}

// Every mistake in the sections names its key and what to do.
func TestMiddlewareConfigErrors(t *testing.T) {
	for key, c := range map[string]MiddlewareConfig{
		"http.static.forbid":                                {Static: &Static{Dir: ".", Forbid: []string{"php"}}},
		"http.static.response":                              {Static: &Static{Dir: ".", Response: map[string]string{"a b": "1"}}},
		"http.headers.request.X":                            {Headers: &Headers{Request: map[string]string{"X": "a\r\nb"}}},
		"http.headers.response":                             {Headers: &Headers{Response: map[string]string{"": "1"}}},
		"http.headers.cors.allowed_origin_regex":            {Headers: &Headers{CORS: &CORS{AllowedOriginRegex: "("}}},
		"http.headers.cors.options_success_status":          {Headers: &Headers{CORS: &CORS{OptionsSuccessStatus: 404}}},
		"http.trusted_subnets: invalid CIDR address":        {TrustedSubnets: []string{"300.0.0.0/8"}},
		"write 10.0.0.1/32":                                 {TrustedSubnets: []string{"10.0.0.1"}},
		"http.trusted_headers":                              {TrustedHeaders: []string{"X Y"}},
		"http.gzip.encodings":                               {Gzip: Gzip{Encodings: []string{"deflate"}}},
		"http.gzip.level":                                   {Gzip: Gzip{Level: 10}},
		"http.gzip.min_size":                                {Gzip: Gzip{MinSize: -1}},
		"http.request_id.header":                            {RequestID: RequestID{Header: "a b"}},
		"http.request_id.trust":                             {RequestID: RequestID{Trust: "some"}},
		"http.access_log.format: unknown variable \"nope\"": {AccessLog: AccessLog{Format: "%{remote_addr} %{nope}"}},
		"http.access_log.format: \"%{status\"":              {AccessLog: AccessLog{Format: "%{status"}},
		"http.access_log.format: \"%status\"":               {AccessLog: AccessLog{Format: "%status"}},
		"http.rate_limit.requests":                          {RateLimit: RateLimit{Requests: -1}},
		"http.rate_limit.per":                               {RateLimit: RateLimit{Per: -1}},
		"http.rate_limit.burst":                             {RateLimit: RateLimit{Burst: -1}},
		"http.rate_limit.header":                            {RateLimit: RateLimit{Header: ":"}},
		"http.basic_auth.realm":                             {BasicAuth: BasicAuth{Realm: `a"b`}},
		"http.basic_auth.paths":                             {BasicAuth: BasicAuth{Paths: []string{"admin"}}},
	} {
		full := Config{MiddlewareConfig: c}
		if err := full.Validate(); err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), ": ") {
			t.Errorf("%s: %v", key, err)
		}
	}
	dir := tempFiles(t, map[string]string{"file": "", "passwords": "max:$apr1$x\n"})
	for key, c := range map[string]Config{
		"http.static.dir: root directory '/nowhere'": {Middleware: []string{"static"}, MiddlewareConfig: MiddlewareConfig{Static: &Static{Dir: "/nowhere"}}},
		"http.static.dir: invalid root directory":    {Middleware: []string{"static"}, MiddlewareConfig: MiddlewareConfig{Static: &Static{Dir: dir + "/file"}}},
		"http.sendfile.roots":                        {Middleware: []string{"sendfile"}, MiddlewareConfig: MiddlewareConfig{Sendfile: Sendfile{Roots: []string{"/nowhere"}}}},
		"http.rate_limit.requests":                   {Middleware: []string{"rate_limit"}},
		"http.basic_auth.file: the middleware":       {Middleware: []string{"basic_auth"}},
		"line 1: the password of \"max\"":            {Middleware: []string{"basic_auth"}, MiddlewareConfig: MiddlewareConfig{BasicAuth: BasicAuth{File: dir + "/passwords"}}},
		"http.access_log.file":                       {Middleware: []string{"access_log"}, MiddlewareConfig: MiddlewareConfig{AccessLog: AccessLog{File: "/nowhere/log"}}},
		"http.request_id.trust: proxies":             {Middleware: []string{"request_id"}, MiddlewareConfig: MiddlewareConfig{RequestID: RequestID{Trust: "proxies"}}},
	} {
		if _, err := NewMiddleware(c, Environment{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), key) || !strings.HasPrefix(err.Error(), "http.") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// A middleware without its section is left out with a warning, as in RoadRunner.
func TestMiddlewareWithoutSection(t *testing.T) {
	s, log := serveWith(t, Config{Middleware: []string{"static", "headers", "proxy_ip_parser"}}, answering(msg(okContext, "ok")))
	if res := s.get(t, "/a.txt", "X-Forwarded-For: 1.1.1.1"); res.text != "ok" {
		t.Errorf("%d %q", res.StatusCode, res.text)
	}
	for _, key := range []string{"http.static", "http.headers", "http.trusted_subnets"} {
		if log.count(`"key":"`+key+`"`) != 1 {
			t.Errorf("no warning of %s", key)
		}
	}
}

// The last one listed is the outermost: gzip around static compresses files,
// static around gzip does not.
func TestMiddlewareNesting(t *testing.T) {
	dir := tempFiles(t, map[string]string{"a.txt": strings.Repeat("text ", 1000)})
	for _, tt := range []struct {
		order    []string
		encoding string
	}{
		{[]string{"static", "gzip"}, "gzip"},
		{[]string{"gzip", "static"}, ""},
	} {
		s, _ := serveWith(t, Config{Middleware: tt.order, MiddlewareConfig: MiddlewareConfig{Static: &Static{Dir: dir}}}, answering(msg(okContext, "ok")))
		res := s.get(t, "/a.txt", "Accept-Encoding: gzip")
		if got := res.Header.Get("Content-Encoding"); got != tt.encoding {
			t.Errorf("%v: %q", tt.order, got)
		}
		if text := decompressed(t, tt.encoding, res.text); len(text) != 5000 {
			t.Errorf("%v: %d bytes", tt.order, len(text))
		}
	}
}

// All writers of middleware let deadlines, flushes and sendfile(2) through.
func TestMiddlewareWriters(t *testing.T) {
	all := []string{"headers", "sendfile", "gzip", "http_metrics", "request_id", "access_log"}
	seen := false
	list, err := NewMiddleware(Config{Middleware: all, MiddlewareConfig: MiddlewareConfig{Headers: &Headers{}}}, Environment{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = true
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		for w != nil {
			u, ok := w.(interface{ Unwrap() http.ResponseWriter })
			if !ok {
				break
			}
			w = u.Unwrap()
		}
		if _, ok := w.(*nullWriter); !ok {
			t.Errorf("the innermost writer is %T", w)
		}
	})
	for _, m := range list {
		h = m(h)
	}
	r := parseRequest(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	h.ServeHTTP(&nullWriter{header: http.Header{}}, r)
	if !seen {
		t.Error("not called")
	}
}
