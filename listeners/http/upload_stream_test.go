package http

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/pool"
)

var streaming = Config{RequestStreaming: true, MaxRequestSize: 4, HTTP2: HTTP2{H2C: true}}

// PHP reads a body while it arrives: it has the first bytes before the last ones
// are sent.
func TestRequestStreaming(t *testing.T) {
	s := serveApp(t, streaming, pool.Config{NumWorkers: 1, Supervisor: &pool.Supervisor{ExecTTL: time.Minute}})
	for _, h2 := range []bool{false, true} {
		client := s.client(t, h2)
		file := filepath.Join(t.TempDir(), "first")
		r, w := io.Pipe()
		hash, length := md5.New(), 0
		go func() {
			defer w.Close()
			send := func(text string) {
				_, _ = io.WriteString(io.MultiWriter(w, hash), text)
				length += len(text)
			}
			send("hello")
			waitFor(t, "PHP to have the first part", func() bool { b, _ := os.ReadFile(file); return string(b) == "hello" })
			for i := range 30 {
				send(strings.Repeat(fmt.Sprint(i), 50000))
			}
		}()
		res, err := client.Post(s.url+"/upload?file="+file, "application/octet-stream", r)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := readAll(t, res), fmt.Sprint(hex.EncodeToString(hash.Sum(nil)), " ", length, " true"); got != want {
			t.Errorf("h2 %v: %q, want %q", h2, got, want)
		}
		if !exists(file + ".begun") {
			t.Error("the body did not arrive in parts")
		}

		// A short one is read before: a slow client costs no worker.
		res, err = client.Post(s.url+"/upload?file="+file+"2", "application/octet-stream", strings.NewReader("hello world"))
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, res); !strings.HasSuffix(got, " 11 false") {
			t.Errorf("h2 %v: %q", h2, got)
		}
	}
}

// Both directions at once: what PHP has read it sends back before the rest is
// there.
func TestRequestStreamingEcho(t *testing.T) {
	s := serveApp(t, streaming, pool.Config{NumWorkers: 1})
	for _, h2 := range []bool{false, true} {
		r, w := io.Pipe()
		go func() { _, _ = io.WriteString(w, "0: hello\n") }()
		res, err := s.client(t, h2).Post(s.url+"/upload-echo", "text/plain", r)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			line := fmt.Sprintf("%d: hello\n", i)
			got := make([]byte, len(line))
			if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != line {
				t.Fatalf("%q %v", got, err)
			}
			if i < 19 {
				_, _ = fmt.Fprintf(w, "%d: hello\n", i+1)
			}
		}
		_ = w.Close()
		if rest := readAll(t, res); rest != "" {
			t.Errorf("%q", rest)
		}
	}
}

// The worker learns that the rest will not come, and that there is too much; one
// that does not read at all costs nothing. It serves on in every case.
func TestRequestStreamingEndsEarly(t *testing.T) {
	s := serveApp(t, streaming, pool.Config{NumWorkers: 1})
	pid := s.dial(t).do("GET", "/big HTTP/1.1\r\nHost: a", "").Header.Get("X-Pid")
	file := filepath.Join(t.TempDir(), "aborted")
	c := s.dial(t)
	c.send("POST /upload-abort?file=" + file + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	waitFor(t, "the request to run", func() bool { return exists(file + ".begun") })
	_ = c.Close()
	waitFor(t, "the worker to notice", func() bool { return exists(file) })

	big := strings.Repeat("x", 5<<20)
	for _, h2 := range []bool{false, true} {
		post := func(path string) *http.Response {
			res, err := s.client(t, h2).Post(s.url+path, "text/plain", struct{ io.Reader }{strings.NewReader(big)})
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		tooLarge := filepath.Join(t.TempDir(), "large")
		res := post("/upload-abort?file=" + tooLarge)
		if res.StatusCode != 413 {
			t.Errorf("h2 %v: %d", h2, res.StatusCode)
		}
		_ = res.Body.Close()
		if !exists(tooLarge) {
			t.Error("the worker was not told")
		}
		res = post("/upload-early")
		if b, _ := io.ReadAll(res.Body); res.StatusCode != 403 || string(b) != "no, thanks" {
			t.Errorf("h2 %v: %d %q", h2, res.StatusCode, b)
		}
		_ = res.Body.Close()
	}
	if now := s.dial(t).do("GET", "/big HTTP/1.1\r\nHost: a", "").Header.Get("X-Pid"); now != pid {
		t.Errorf("the worker %s was replaced by %s", pid, now)
	}
}

// What follows a body that is malformed is not taken for a request, whether PHP
// has read that far or not.
func TestRequestStreamingOfMalformedBody(t *testing.T) {
	s := serveApp(t, streaming, pool.Config{NumWorkers: 1})
	for path, status := range map[string]int{"/upload-abort?file=" + filepath.Join(t.TempDir(), "file"): 400, "/md5": 400, "/upload-early": 403, "/": 200} {
		for _, chunks := range []string{"zz\r\n", "1\r\naX\r\n"} {
			c := s.dial(t)
			c.send("POST " + path + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
			c.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
			got, _ := io.ReadAll(c.r)
			if !strings.HasPrefix(string(got), fmt.Sprintf("HTTP/1.1 %d ", status)) || !strings.Contains(string(got), "Connection: close\r\n") {
				t.Errorf("%s %q: %q, want %d and the end of the connection", path, chunks, got, status)
			}
			if n := strings.Count(string(got), "HTTP/1.1 "); n != 1 {
				t.Errorf("%s %q: %d answers: %q", path, chunks, n, got)
			}
		}
	}
}

// A worker that asks for the body after its client has left gets none: least of all
// that of the request that uses the same memory now.
func TestRequestStreamingAfterTheClientLeft(t *testing.T) {
	s := serveApp(t, streaming, pool.Config{NumWorkers: 1})
	file := filepath.Join(t.TempDir(), "left")
	c := s.dial(t)
	c.send("POST /upload-late?file=" + file + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	for line := ""; line != "begun\n"; {
		var err error
		if line, err = c.r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Close()
	waitFor(t, "the request to end", func() bool { return s.Stats().Active == 0 })
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the worker to notice", func() bool { return exists(file + ".aborted") })
	if res := s.dial(t).do("GET", "/ HTTP/1.1\r\nHost: a", ""); res.text != "hello" {
		t.Errorf("%d %q", res.StatusCode, res.text)
	}
}

// Workers of other packages never get a body in parts.
func TestRequestStreamingWithOtherPackages(t *testing.T) {
	s := servePHP(t, streaming, pool.Config{NumWorkers: 1})
	body := strings.Repeat("0123456789abcdef", 10000)
	if res := s.dial(t).do("POST", fmt.Sprintf("/echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d", len(body)), body); res.text != body {
		t.Errorf("%d, %d bytes", res.StatusCode, len(res.text))
	}
}
