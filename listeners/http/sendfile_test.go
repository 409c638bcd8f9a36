package http

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rr-systemd/rrd/pool"
)

// sendfileAnswer is an answer of PHP that names a file.
func sendfileAnswer(path string, more ...string) string {
	fields := []string{fmt.Sprintf(`"X-Sendfile":[%q]`, path), `"X-S":["1"]`}
	return `{"status":201,"headers":{` + strings.Join(append(fields, more...), ",") + `}}`
}

func TestSendfile(t *testing.T) {
	dir := tempFiles(t, map[string]string{"app/f/a.txt": "file content", "app/empty.txt": "", "secret.txt": "secret", "data/d.txt": "data"})
	app := filepath.Join(dir, "app")
	for link, to := range map[string]string{"app/out.txt": "../secret.txt", "app/in.txt": app + "/f/a.txt", "app/data": dir + "/data"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(app+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path   string
		status int
		text   string
	}{
		{"f/a.txt", 200, "file content"},
		{app + "/f/a.txt", 200, "file content"},
		{app + "/in.txt", 200, "file content"},
		{app + "/empty.txt", 200, ""}, // an endless loop in RoadRunner
		{app + "/data/d.txt", 200, "data"},
		{dir + "/data/d.txt", 200, "data"},
		{app + "/out.txt", 403, ""},
		{dir + "/secret.txt", 403, ""},
		{"/etc/passwd", 403, ""},
		{"/proc/self/environ", 403, ""},
		{"f/../f/a.txt", 403, ""},
		{"../secret.txt", 403, ""},
		{app + "/none.txt", 404, "not found\n"},
		{app + "/f/a.txt/x", 404, "not found\n"},
		{app + "/f", 404, "not found\n"},
		{app + "/pipe", 404, "not found\n"},
	} {
		c := Config{Middleware: []string{"sendfile"}, MiddlewareConfig: MiddlewareConfig{Sendfile: Sendfile{Roots: []string{app, dir + "/data"}}}}
		s, _ := serveWith(t, c, answering(msg(sendfileAnswer(tt.path, `"Content-Length":["0"]`), "dropped")), func(e *Environment) { e.Dir = app })
		res := s.get(t, "/")
		if res.StatusCode != tt.status || res.text != tt.text || res.err != nil {
			t.Errorf("%s: %d %q %v", tt.path, res.StatusCode, res.text, res.err)
		}
		if res.Header.Get("X-Sendfile") != "" || res.Header.Get("X-S") != "1" || strings.Contains(fmt.Sprint(res.Header, res.text), dir) {
			t.Errorf("%s: %v", tt.path, res.Header)
		}
	}
}

// Without roots, server.dir is the one.
func TestSendfileDefaultRoot(t *testing.T) {
	dir := tempFiles(t, map[string]string{"app/a.txt": "a", "b.txt": "b"})
	for path, status := range map[string]int{dir + "/app/a.txt": 200, dir + "/b.txt": 403} {
		s, log := serveWith(t, Config{Middleware: []string{"sendfile"}}, answering(msg(sendfileAnswer(path), "")), func(e *Environment) { e.Dir = dir + "/app" })
		if res := s.get(t, "/"); res.StatusCode != status {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
		if (log.count("http.sendfile.roots") > 0) != (status == 403) {
			t.Errorf("%s: the log does not say why", path)
		}
	}
}

func TestSendfileRanges(t *testing.T) {
	dir := tempFiles(t, map[string]string{"a.txt": "file content"})
	s, _ := serveWith(t, Config{Middleware: []string{"sendfile"}},
		answering(msg(sendfileAnswer(dir+"/a.txt", `"ETag":["\"v1\""]`, `"Last-Modified":["Tue, 14 Nov 2023 22:13:20 GMT"]`, `"Content-Type":["x/y"]`), "")),
		func(e *Environment) { e.Dir = dir })
	for header, want := range map[string]string{
		"Range: bytes=0-3":      "206 file",
		"Range: bytes=50-":      "416 invalid range: failed to overlap\n",
		"If-None-Match: \"v1\"": "304 ",
		"If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT": "304 ",
		"X: 1": "200 file content",
	} {
		res := s.get(t, "/", header)
		if got := fmt.Sprint(res.StatusCode, " ", res.text); got != want {
			t.Errorf("%s: %q", header, got)
		}
	}
	if res := s.ask(t, "HEAD", "/"); res.StatusCode != 200 || res.text != "" || res.Header.Get("Content-Type") != "x/y" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

// RoadRunner holds back every answer while sendfile is on. Here the first part
// of a stream arrives before the second is there.
func TestSendfileStreams(t *testing.T) {
	streamsThrough(t, Config{Middleware: []string{"sendfile"}}, "")
}

// With a real worker: the file arrives byte by byte as it is.
func TestPHPSendfile(t *testing.T) {
	content := strings.Repeat("\x00\xff\r\n0123456789", 1<<18)
	dir := tempFiles(t, map[string]string{"big.bin": content})
	c := Config{Middleware: []string{"sendfile"}}
	list, err := NewMiddleware(c, Environment{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s := servePHP(t, c, pool.Config{NumWorkers: 1}, func(o *Options) { o.Middleware = list })
	if res := s.get(t, "/sendfile?"+dir+"/big.bin"); res.StatusCode != 200 || res.text != content || res.err != nil {
		t.Errorf("%d, %d bytes, %v", res.StatusCode, len(res.text), res.err)
	}
	if res := s.get(t, "/sendfile?/etc/passwd"); res.StatusCode != 403 || res.text != "" {
		t.Errorf("%d %q", res.StatusCode, res.text)
	}
	if res := s.get(t, "/stream"); res.text != "part 0\npart 1\npart 2\npart 3\npart 4\nend" {
		t.Errorf("%q", res.text)
	}
}
