package http

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/pool"
)

func TestStatic(t *testing.T) {
	dir := tempFiles(t, map[string]string{
		"pub/a.txt": "alpha text", "pub/.env": "SECRET=1", "pub/.git/config.txt": "secret", "pub/.well-known/acme.txt": "token", "pub/.well-known/acme-challenge/abc": "for PHP",
		"pub/x.php": "<?php", "pub/empty.txt": "", "outside.txt": "outside", "pub/sub/b.css": "body{}",
	})
	for link, to := range map[string]string{
		"pub/link.txt": "../outside.txt", "pub/abs.txt": dir + "/outside.txt", "pub/inside.txt": "a.txt", "pub/up.d": "..",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pub/pipe.txt"), 0o644); err != nil {
		t.Fatal(err)
	}
	pub := filepath.Join(dir, "pub")
	static := func(c Static) *testServer {
		c.Dir = pub
		s, _ := serveWith(t, Config{Middleware: []string{"static"}, MiddlewareConfig: MiddlewareConfig{Static: &c}}, answering(msg(okContext, "php")))
		return s
	}

	s := static(Static{Response: map[string]string{"X-Static": "1", "cache-control": "max-age=60"}})
	for _, tt := range []struct {
		method, target string
		status         int
		text           string
	}{
		{"GET", "/a.txt", 200, "alpha text"},
		{"GET", "/a.txt?v=1", 200, "alpha text"},
		{"GET", "/sub/b.css", 200, "body{}"},
		{"GET", "/inside.txt", 200, "alpha text"},
		{"GET", "/.well-known/acme.txt", 200, "token"},
		{"GET", "/.well-known/acme-challenge/abc", 200, "php"}, // as in RoadRunner
		{"GET", "/a.txt%0d%0a", 200, "alpha text"},
		// Only GET and HEAD.
		{"POST", "/a.txt", 200, "php"},
		{"DELETE", "/a.txt", 200, "php"},
		{"OPTIONS", "/a.txt", 200, "php"},
		// Secrets.
		{"GET", "/.env", 200, "php"},
		{"GET", "/%2eenv", 200, "php"},
		{"GET", "/sub/../.env", 403, ""},
		{"GET", "/.git/config.txt", 200, "php"},
		// Links that lead out.
		{"GET", "/link.txt", 200, "php"},
		{"GET", "/abs.txt", 200, "php"},
		{"GET", "/up.d/outside.txt", 200, "php"},
		// Traversal in other clothes.
		{"GET", "/../outside.txt", 403, ""},
		{"GET", "/%2e%2e/outside.txt", 403, ""},
		{"GET", "/..%2foutside.txt", 403, ""},
		{"GET", "/%2e%0d%2e/outside.txt", 403, ""},
		{"GET", "/..%5coutside.txt", 403, ""},
		{"GET", "/a..b", 403, ""},
		{"GET", "/a.txt%00.png", 200, "php"},
		// What is no file.
		{"GET", "/pipe.txt", 200, "php"},
		{"GET", "/sub", 200, "php"},
		{"GET", "/a.txt/", 200, "php"},
		{"GET", "/", 200, "php"},
		{"GET", "/" + strings.Repeat("x", 300) + ".txt", 200, "php"},
	} {
		res := s.ask(t, tt.method, tt.target)
		if res.StatusCode != tt.status || res.text != tt.text {
			t.Errorf("%s %s: %d %q, want %d %q", tt.method, tt.target, res.StatusCode, res.text, tt.status, tt.text)
		}
		if file := tt.status == 200 && tt.text != "php"; file != (res.Header.Get("X-Static") == "1") || file != (res.Header.Get("Cache-Control") == "max-age=60") {
			t.Errorf("%s %s: %v", tt.method, tt.target, res.Header)
		}
	}

	t.Run("ranges and conditions", func(t *testing.T) {
		s := static(Static{CalculateETag: true})
		res := s.get(t, "/a.txt")
		tag, modified := res.Header.Get("Etag"), res.Header.Get("Last-Modified")
		if !strings.HasPrefix(tag, `"10-`) || modified == "" {
			t.Fatalf("%v", res.Header)
		}
		for _, tt := range []struct {
			header string
			status int
			text   string
		}{
			{"Range: bytes=0-3", 206, "alph"},
			{"Range: bytes=6-", 206, "text"},
			{"Range: bytes=-2", 206, "xt"},
			{"Range: bytes=100-", 416, "invalid range: failed to overlap\n"},
			{"Range: lines=1-2", 416, "invalid range\n"},
			{"If-None-Match: " + tag, 304, ""},
			{"If-None-Match: W/" + tag, 304, ""},
			{"If-None-Match: \"x\"", 200, "alpha text"},
			{"If-Modified-Since: " + modified, 304, ""},
			{"If-Match: \"x\"", 412, ""},
			{"Range: bytes=0-3\r\nIf-Range: " + tag, 206, "alph"},
			{"Range: bytes=0-3\r\nIf-Range: \"x\"", 200, "alpha text"},
		} {
			if res := s.get(t, "/a.txt", tt.header); res.StatusCode != tt.status || res.text != tt.text {
				t.Errorf("%s: %d %q", tt.header, res.StatusCode, res.text)
			}
		}
		if res := s.ask(t, "HEAD", "/a.txt"); res.ContentLength != 10 || res.text != "" || res.Header.Get("Etag") != tag {
			t.Errorf("%d %v", res.ContentLength, res.Header)
		}
		if res := s.get(t, "/empty.txt"); res.Header.Get("Etag") != "" || res.ContentLength != 0 {
			t.Errorf("%v", res.Header)
		}
	})

	// RoadRunner makes a weak tag of the name: a browser keeps the old file.
	t.Run("a tag follows the content", func(t *testing.T) {
		for _, weak := range []bool{false, true} {
			s := static(Static{CalculateETag: true, Weak: weak})
			name := filepath.Join(pub, "tag.txt")
			seen := map[string]bool{}
			for _, content := range []string{"one", "two"} {
				if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(name, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
					t.Fatal(err)
				}
				tag := s.get(t, "/tag.txt").Header.Get("Etag")
				if seen[tag] || strings.HasPrefix(tag, "W/") != weak {
					t.Errorf("%q for %s", tag, content)
				}
				seen[tag] = true
			}
		}
	})

	t.Run("options", func(t *testing.T) {
		s := static(Static{FollowSymlinks: true, DotFiles: true, Forbid: []string{".PHP", ""}})
		for target, text := range map[string]string{
			"/link.txt": "outside", "/abs.txt": "outside", "/.env": "SECRET=1", "/x.php": "php", "/X.pHp": "php",
		} {
			if res := s.get(t, target); res.text != text {
				t.Errorf("%s: %q", target, res.text)
			}
		}
		if res := s.get(t, "/../outside.txt"); res.StatusCode != 403 {
			t.Errorf("%d", res.StatusCode)
		}
		s = static(Static{Allow: []string{".css", ".txt"}, Forbid: []string{".txt"}})
		for target, text := range map[string]string{"/a.txt": "php", "/sub/b.css": "body{}", "/x.php": "php"} {
			if res := s.get(t, target); res.text != text {
				t.Errorf("%s: %q", target, res.text)
			}
		}
	})
}

// A link that leads out is explained once, with the key that allows it.
func TestStaticLinkWarning(t *testing.T) {
	dir := tempFiles(t, map[string]string{"storage/a.txt": "a", "pub/b.txt": "b"})
	if err := os.Symlink(dir+"/storage", dir+"/pub/storage"); err != nil {
		t.Fatal(err)
	}
	s, log := serveWith(t, Config{Middleware: []string{"static"}, MiddlewareConfig: MiddlewareConfig{Static: &Static{Dir: dir + "/pub"}}}, answering(msg(okContext, "php")))
	if res := s.get(t, "/storage/a.txt"); res.text != "php" {
		t.Errorf("%q", res.text)
	}
	if log.count("http.static.follow_symlinks") != 1 {
		t.Error("no warning")
	}
}

// A release link that is switched takes effect at once.
func TestStaticReleaseLink(t *testing.T) {
	dir := tempFiles(t, map[string]string{"1/a.txt": "one", "2/a.txt": "two"})
	current := filepath.Join(dir, "current")
	if err := os.Symlink("1", current); err != nil {
		t.Fatal(err)
	}
	s, _ := serveWith(t, Config{Middleware: []string{"static"}, MiddlewareConfig: MiddlewareConfig{Static: &Static{Dir: current}}}, answering(msg(okContext, "php")))
	if res := s.get(t, "/a.txt"); res.text != "one" {
		t.Errorf("%q", res.text)
	}
	if err := os.Symlink("2", current+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(current+".new", current); err != nil {
		t.Fatal(err)
	}
	if res := s.get(t, "/a.txt"); res.text != "two" {
		t.Errorf("%q", res.text)
	}
}

// A large file arrives whole, with and without other middleware around.
func TestStaticLarge(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 3<<16) // 3 MiB
	dir := tempFiles(t, map[string]string{"big.bin": content})
	s, _ := serveWith(t, Config{Middleware: []string{"static", "http_metrics", "access_log"}, MiddlewareConfig: MiddlewareConfig{Static: &Static{Dir: dir}}}, answering(msg(okContext, "php")))
	if res := s.get(t, "/big.bin"); res.text != content || res.err != nil {
		t.Errorf("%d bytes, %v", len(res.text), res.err)
	}
	if res := s.get(t, "/big.bin", "Range: bytes=1048570-2097160"); res.text != content[1048570:2097161] || res.StatusCode != http.StatusPartialContent {
		t.Errorf("%d: %d bytes, %v", res.StatusCode, len(res.text), res.err)
	}
}

// With a real worker: files come from the folder, the rest from PHP.
func TestPHPStatic(t *testing.T) {
	dir := tempFiles(t, map[string]string{"a.css": "body{}", "hello.txt": "file"})
	c := Config{Middleware: []string{"static"}, MiddlewareConfig: MiddlewareConfig{Static: &Static{Dir: dir}}}
	list, err := NewMiddleware(c, Environment{})
	if err != nil {
		t.Fatal(err)
	}
	s := servePHP(t, c, pool.Config{NumWorkers: 1}, func(o *Options) { o.Middleware = list })
	for target, text := range map[string]string{"/a.css": "body{}", "/hello.txt": "file", "/hello": "hello"} {
		if res := s.get(t, target); res.text != text {
			t.Errorf("%s: %d %q", target, res.StatusCode, res.text)
		}
	}
}
