package http

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/pool/worker"
)

// servePHP is a server in front of a real pool of PHP workers.
func servePHP(t testing.TB, c Config, pc pool.Config, change ...func(*Options)) *testServer {
	t.Helper()
	return serveScript(t, "testdata/worker.php", c, pc, change...)
}

// serveApp is a server in front of workers on our own PHP package.
func serveApp(t testing.TB, c Config, pc pool.Config, change ...func(*Options)) *testServer {
	t.Helper()
	return serveScript(t, "testdata/app.php", c, pc, change...)
}

func serveScript(t testing.TB, script string, c Config, pc pool.Config, change ...func(*Options)) *testServer {
	t.Helper()
	spawner := worker.NewSpawner()
	spec := worker.Spec{Argv: []string{"php", "-n", "-d", "opcache.enable_cli=0"}, Env: os.Environ()}
	// RR_TEST_EXTENSION=/path/of/rr.so runs all tests of applications over slots,
	// RR_TEST_EXTENSION=none over shared memory without them; see make ext-check.
	if ext := os.Getenv("RR_TEST_EXTENSION"); ext != "" {
		spec.Half = ipc.MinHalf
		if ext != "none" {
			spec.Argv = append(spec.Argv, "-d", "extension="+ext)
		}
	}
	spec.Argv = append(spec.Argv, script)
	p, err := pool.New(pool.Options{
		Name: "http", Config: pc, Spawner: spawner, Log: slog.New(slog.DiscardHandler),
		Spec: spec,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Run(ctx)
	}()
	t.Cleanup(func() {
		stop, cancelStop := context.WithTimeout(context.Background(), time.Minute)
		defer cancelStop()
		if err := p.Stop(stop); err != nil {
			t.Error(err)
		}
		cancel()
		<-done
		if err := spawner.Close(); err != nil {
			t.Error(err)
		}
	})
	return serve(t, c, p, change...)
}

func get200(t testing.TB, c *client, path string) response {
	t.Helper()
	res := c.do("GET", path+" HTTP/1.1\r\nHost: a", "")
	if res.StatusCode != 200 || res.err != nil {
		t.Errorf("%s: %d %q %v", path, res.StatusCode, res.text, res.err)
	}
	return res
}

func TestPHP(t *testing.T) {
	s := servePHP(t, Config{}, pool.Config{NumWorkers: 2})
	c := s.dial(t)
	res := get200(t, c, "/hello")
	if res.text != "hello" || !reflect.DeepEqual(res.Header["Set-Cookie"], []string{"a=1", "b=2"}) {
		t.Errorf("%q %v", res.text, res.Header)
	}

	t.Run("bodies", func(t *testing.T) {
		for _, size := range []int{0, 1, 2047, 2048, 4096, 65536, 1 << 20, 5<<20 + 7} {
			body := strings.Repeat("0123456789abcde\n", size/16+1)[:size]
			for _, chunked := range []bool{false, true} {
				head, sent := fmt.Sprintf("/echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d", size), body
				if chunked {
					head, sent = "/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", size, body)
					if size == 0 {
						sent = "0\r\n\r\n"
					}
				}
				if res := c.do("POST", head, sent); res.text != body || res.err != nil || res.ContentLength != int64(size) {
					t.Errorf("%d: %d bytes of %d, %v", size, len(res.text), res.ContentLength, res.err)
				}
			}
		}
	})

	t.Run("request", func(t *testing.T) {
		file := bytes.Repeat([]byte{0, 255, '\r', '\n'}, 50000)
		res := c.do("POST", "/show?q[]=%ff&raw=\xff HTTP/1.1\r\nHost: shop.test\r\nX-A: 1\r\nX-A: caf\xe9\r\nCookie: s=%C3%A4\r\n"+
			"Content-Type: multipart/form-data; boundary=B\r\nTransfer-Encoding: chunked", chunk(
			formPart("a[b][]", "", "", "1")+formPart("a[b][]", "", "", "ä\xff")+formPart("f[x]", "ü.bin", "a/b", string(file))+"--B--\r\n"))
		var got map[string]any
		if err := json.Unmarshal([]byte(res.text), &got); err != nil || res.StatusCode != 201 {
			t.Fatalf("%d %q %v", res.StatusCode, res.text, err)
		}
		sum := md5.Sum(file)
		want := map[string]any{
			"remoteAddr": "127.0.0.1", "protocol": "HTTP/1.1", "method": "POST",
			"uri": "http://shop.test/show?q[]=%ff&raw=%FF", "rawQuery": "q[]=%ff&raw=%FF",
			"headers":    map[string]any{"X-A": []any{"1", "café"}, "Cookie": []any{"s=%C3%A4"}, "Content-Type": []any{"multipart/form-data; boundary=B"}},
			"cookies":    map[string]any{"s": "ä"},
			"parsed":     true,
			"uploads":    map[string]any{"f": map[string]any{"x": hex.EncodeToString(sum[:]) + " 200000 ü.bin"}},
			"attributes": []any{},
			"body":       map[string]any{"a": map[string]any{"b": []any{"1", "Ã¤ÿ"}}},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("\n got %v\nwant %v", got, want)
		}
		s.noFiles(t)
	})

	t.Run("stream", func(t *testing.T) {
		if res := get200(t, c, "/stream"); res.text != "part 0\npart 1\npart 2\npart 3\npart 4\nend" {
			t.Errorf("%q", res.text)
		}
	})

	t.Run("failures", func(t *testing.T) {
		for _, path := range []string{"/die", "/error"} {
			if res := c.do("GET", path+" HTTP/1.1\r\nHost: a", ""); res.StatusCode != 500 || res.text != "" {
				t.Errorf("%s: %d %q", path, res.StatusCode, res.text)
			}
		}
		c := s.dial(t)
		if res := c.do("GET", "/stream-die HTTP/1.1\r\nHost: a", ""); res.text != "part" || res.err != io.ErrUnexpectedEOF {
			t.Errorf("%q %v", res.text, res.err)
		}
		get200(t, s.dial(t), "/hello")
	})

	t.Run("concurrent", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 8 {
			c := s.dial(t)
			wg.Go(func() {
				for j := range 50 {
					body := strings.Repeat(fmt.Sprintf("%d-%d,", i, j), 1+j*20)
					if res := c.do("POST", fmt.Sprintf("/echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d", len(body)), body); res.text != body {
						t.Errorf("%d %d: %.50q", i, j, res.text)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(s), s) }

func TestPHPOverload(t *testing.T) {
	c := Config{Routes: []Route{
		{Match: Match{Path: []string{"/late"}}, AllocateTimeout: 50 * time.Millisecond},
		{Match: Match{Path: []string{"/hang"}}, Timeout: 50 * time.Millisecond},
	}}
	s := servePHP(t, c, pool.Config{NumWorkers: 1, MaxQueueSize: 1})
	refused := func(name string, res response) {
		t.Helper()
		if res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" || res.Header.Get("No-Workers") != "true" {
			t.Errorf("%s: %d %v", name, res.StatusCode, res.Header)
		}
	}
	file := filepath.Join(t.TempDir(), "free")
	busy := s.dial(t)
	busy.send("GET /until?file=" + file + " HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "the worker to be busy", func() bool { return exists(file + ".begun") })
	refused("no free worker", s.dial(t).do("GET", "/late HTTP/1.1\r\nHost: a", ""))
	// One of the two finds the queue full, and hears of it while the other waits.
	results := make(chan response, 2)
	for range 2 {
		waiter := s.dial(t)
		waiter.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
		go func() { results <- waiter.receive("GET") }()
	}
	refused("queue full", <-results)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, res := range []response{<-results, busy.receive("GET")} {
		if res.StatusCode != 200 {
			t.Errorf("%d %q", res.StatusCode, res.text)
		}
	}
	if res := s.dial(t).do("GET", "/hang HTTP/1.1\r\nHost: a", ""); res.StatusCode != 500 || res.text != "" {
		t.Errorf("exec_ttl: %d %q", res.StatusCode, res.text)
	}
	get200(t, s.dial(t), "/hello")
}

// TestPHPShutdown stops the server under load and the pool after it.
func TestPHPShutdown(t *testing.T) {
	s := servePHP(t, Config{}, pool.Config{NumWorkers: 2})
	var wg sync.WaitGroup
	for range 4 {
		c := s.dial(t)
		wg.Go(func() {
			for {
				res := get200(t, c, "/hello")
				if res.Close {
					return
				}
			}
		})
	}
	waitFor(t, "load", func() bool { return s.Stats().Requests > 50 })
	if err := <-s.shutdown(t); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
