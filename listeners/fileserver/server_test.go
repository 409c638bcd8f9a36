package fileserver

import (
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func serve(t *testing.T, c Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Config: c, Listeners: []net.Listener{l}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

var client = http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func ask(t *testing.T, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func tree(t *testing.T, files map[string]string) string {
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

func TestServer(t *testing.T) {
	dir := tree(t, map[string]string{
		"a/x.txt": "a-x", "a/index.html": "<p>a", "a/sub/index.html": "<p>sub", "a/bare/y.txt": "y", "a/.env": "SECRET",
		"b/z.txt": "b-z", "b/x.txt": "b-x", "secret.txt": "secret",
	})
	if err := os.Symlink("../secret.txt", dir+"/a/link.txt"); err != nil {
		t.Fatal(err)
	}
	url := serve(t, Config{Serve: []Folder{{Root: dir + "/a", MaxAge: 10}, {Root: dir + "/b"}, {Prefix: "/Files/", Root: dir + "/b"}}})
	for _, tt := range []struct {
		method, path string
		status       int
		text         string
	}{
		{"GET", "/", 200, "<p>a"},
		{"GET", "/x.txt", 200, "a-x"},
		{"HEAD", "/x.txt", 200, ""},
		{"GET", "/z.txt", 200, "b-z"}, // of the next folder
		{"GET", "/files/z.txt", 200, "b-z"},
		{"GET", "/FILES/z.txt", 200, "b-z"},
		{"GET", "/filesz.txt", 404, "Cannot GET /filesz.txt"},
		{"GET", "/sub/", 200, "<p>sub"},
		{"GET", "/sub/?q=1", 200, "<p>sub"},
		{"GET", "/sub?q=1", 302, ""},
		{"GET", "/bare/", 404, "Cannot GET /bare/"},
		{"GET", "/bare", 404, "Cannot GET /bare"},
		{"GET", "/x.txt/", 404, "Cannot GET /x.txt/"},
		{"GET", "/none<b>", 404, "Cannot GET /none%3Cb%3E"},
		{"HEAD", "/none", 404, ""},
		{"GET", "/.env", 404, "Cannot GET /.env"},
		{"GET", "/link.txt", 404, "Cannot GET /link.txt"},
		{"GET", "/sub/..%2f..%2fsecret.txt", 404, "Cannot GET /sub/..%2f..%2fsecret.txt"},
		{"GET", "/sub/../x.txt", 200, "a-x"},
		{"POST", "/x.txt", 405, "Method Not Allowed"},
	} {
		res, text := ask(t, tt.method, url+tt.path)
		if res.StatusCode != tt.status || tt.status != 302 && text != tt.text {
			t.Errorf("%s %s: %d %q", tt.method, tt.path, res.StatusCode, text)
		}
		if tt.status == 302 && res.Header.Get("Location") != "/sub/?q=1" {
			t.Errorf("%s: %q", tt.path, res.Header.Get("Location"))
		}
		if (res.Header.Get("Cache-Control") == "public, max-age=10") != (tt.status == 200 && !strings.HasPrefix(text, "b-")) {
			t.Errorf("%s: %q", tt.path, res.Header.Get("Cache-Control"))
		}
	}
}

func TestETag(t *testing.T) {
	dir := tree(t, map[string]string{"a.txt": "Hello, World!", "empty.txt": ""})
	for weak, want := range map[bool]string{false: `"13-1831710635"`, true: `W/"13-1831710635"`} { // the value of fiber's manual
		url := serve(t, Config{CalculateETag: true, Weak: weak, Serve: []Folder{{Root: dir}}})
		res, _ := ask(t, "GET", url+"/a.txt")
		if got := res.Header.Get("Etag"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if res, text := ask(t, "GET", url+"/a.txt", "If-None-Match: "+want); res.StatusCode != 304 || text != "" {
			t.Errorf("%d %q", res.StatusCode, text)
		}
		if res, _ := ask(t, "GET", url+"/empty.txt"); res.Header.Get("Etag") != "" {
			t.Errorf("%q", res.Header.Get("Etag"))
		}
	}
}

func TestRangesAndCompression(t *testing.T) {
	long := strings.Repeat("text ", 2000)
	dir := tree(t, map[string]string{"a.txt": long})
	url := serve(t, Config{Serve: []Folder{{Prefix: "/plain", Root: dir}, {Prefix: "/ranges", Root: dir, BytesRange: true}, {Prefix: "/zip", Root: dir, Compress: true}}})
	if res, text := ask(t, "GET", url+"/plain/a.txt", "Range: bytes=0-3", "Accept-Encoding: gzip"); res.StatusCode != 200 || text != long || res.Header.Get("Accept-Ranges") != "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if res, text := ask(t, "GET", url+"/ranges/a.txt", "Range: bytes=0-3"); res.StatusCode != 206 || text != "text" {
		t.Errorf("%d %q", res.StatusCode, text)
	}
	res, text := ask(t, "GET", url+"/zip/a.txt", "Accept-Encoding: gzip")
	z, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || string(got) != long || res.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%d bytes, %v %v", len(got), err, res.Header)
	}
	// RoadRunner leaves a compressed copy beside the file.
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("%v %v", list, err)
	}
}

// A change shows at once; RoadRunner keeps a file for at least ten seconds.
func TestChange(t *testing.T) {
	dir := tree(t, map[string]string{"a.txt": "one"})
	url := serve(t, Config{CalculateETag: true, Serve: []Folder{{Root: dir}}})
	for _, text := range []string{"one", "two"} {
		if err := os.WriteFile(dir+"/a.txt", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, got := ask(t, "GET", url+"/a.txt"); got != text {
			t.Errorf("%q", got)
		}
	}
}

func TestConfig(t *testing.T) {
	for key, c := range map[string]Config{
		"fileserver.serve: no folder": {},
		"fileserver.address":          {Address: "8080", Serve: []Folder{{}}},
		"serve[1].prefix":             {Serve: []Folder{{}, {Prefix: "x"}}},
		"serve[0].max_age":            {Serve: []Folder{{MaxAge: -1}}},
	} {
		c.Defaults()
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := New(Options{Config: Config{Serve: []Folder{{Root: "/nowhere"}}}, Listeners: []net.Listener{l}}); err == nil || !strings.Contains(err.Error(), "fileserver.serve[0].root") {
		t.Errorf("%v", err)
	}
	if _, err := New(Options{Config: Config{Serve: []Folder{{}}}}); err == nil || !strings.Contains(err.Error(), "fileserver.address") {
		t.Errorf("%v", err)
	}
}

// A download that is under way ends whole when the server stops.
func TestShutdown(t *testing.T) {
	dir := tree(t, map[string]string{"big.bin": strings.Repeat("x", 8<<20)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Config: Config{Serve: []Folder{{Root: dir}}}, Listeners: []net.Listener{l}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	res, err := client.Get("http://" + l.Addr().String() + "/big.bin")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	if n, err := io.Copy(io.Discard, res.Body); n != 8<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := client.Get("http://" + l.Addr().String() + "/big.bin"); err == nil {
		t.Error("it still listens")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
