// Package transport_test serves the same requests over every way between daemon and
// worker, and compares what PHP and the client get.
package transport_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	requests = flag.Int("transport.requests", 80, "random requests of TestSameEverywhere")
	seed     = flag.Uint64("transport.seed", 1, "for other random requests")
)

var rrd string // the daemon under test

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "rr-transport")
	if err == nil {
		rrd = filepath.Join(dir, "rrd")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", rrd, "github.com/rr-systemd/rrd/cmd/rrd").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else if code = m.Run(); code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// instance is a daemon with the application of testdata.
type instance struct {
	name   string
	cmd    *exec.Cmd
	log    *output
	client *http.Client
	ended  chan error
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start runs a daemon; config is added to its configuration, php to the command of
// its workers.
func start(t *testing.T, name, config, http1, php string) *instance {
	t.Helper()
	dir := t.TempDir()
	app, err := filepath.Abs("testdata/app.php")
	if err != nil {
		t.Fatal(err)
	}
	pkg, err := filepath.Abs("../../php")
	if err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(dir, "s")
	text := fmt.Sprintf(`version: "3"
server:
  command: "php %s -d memory_limit=1G %s"
  env: {RR_PHP_PACKAGE: %s}
http:
  address: unix://%s
  max_request_size: 64
  pool: {num_workers: 2}
  uploads: {dir: %s}
%s
logs: {mode: development, level: info}
%s
`, php, app, pkg, sock, dir, http1, config)
	file := filepath.Join(dir, "rr.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(text, "php  -d", "php -d", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	in := &instance{name: name, log: new(output), ended: make(chan error, 1)}
	in.cmd = exec.Command(rrd, "-c", file)
	in.cmd.Stdout, in.cmd.Stderr = in.log, in.log
	in.cmd.WaitDelay = 5 * time.Second
	if err := in.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { in.ended <- in.cmd.Wait() }()
	in.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", sock)
		},
		DisableCompression: true,
	}}
	t.Cleanup(func() {
		in.client.CloseIdleConnections()
		_ = in.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-in.ended:
		case <-time.After(30 * time.Second):
			_ = in.cmd.Process.Kill()
			<-in.ended
		}
		if t.Failed() {
			log := in.log.String()
			t.Logf("%s: %s", name, log[max(0, len(log)-4000):])
		}
	})
	until(t, name+" to be ready", func() bool { return strings.Contains(in.log.String(), "ready\t") })
	return in
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// every way between daemon and worker.
func everyWay(t *testing.T) []*instance {
	ways := []*instance{
		start(t, "pipe, JSON", "ipc: {shm: off}", "", ""),
		start(t, "pipe, protobuf", "ipc: {shm: off}", "  codec: proto", ""),
		start(t, "shared memory", "", "", ""),
		start(t, "small shared memory, protobuf", "ipc: {half: 64K}", "  codec: proto", ""),
		start(t, "shared memory without FFI", "", "", "-d ffi.enable=0"),
		start(t, "shared memory, bodies that arrive", "ipc: {half: 1M}", "  request_streaming: true", ""),
	}
	// The extension is built by the package's build and by make test-php.
	if so := os.Getenv("RR_EXTENSION"); so != "" {
		ways = append(ways, start(t, "extension", "", "", "-d extension="+so))
	}
	return ways
}

// request is a random one.
type request struct {
	method, uri, kind string
	header            http.Header
	body              []byte
	chunked           bool
}

var sizes = []int{0, 1, 100, 4095, 4096, 4097, 8191, 8192, 65511, 65512, 65513, 262120, 1048551, 1048552, 1048553, 2097104}

func random(r *rand.Rand) *request {
	q := &request{header: http.Header{}}
	size := sizes[r.IntN(len(sizes))]
	switch r.IntN(10) {
	case 0, 1, 2:
		size = r.IntN(20_000)
	case 3, 4:
		size = r.IntN(2 << 20)
	case 5:
		if r.IntN(4) == 0 {
			size = r.IntN(20 << 20)
		}
	}
	bytes := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	word := func(n int) string {
		const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
		b := make([]byte, 1+r.IntN(n))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		return string(b)
	}
	query := url.Values{"mode": {[]string{"", "seen", "grow"}[r.IntN(3)]}, word(10): {word(20), "ä ö&="}}
	if r.IntN(3) == 0 {
		query.Set("stream", strconv.Itoa(1000+r.IntN(300_000)))
	}
	if r.IntN(8) == 0 {
		query.Set("status", []string{"201", "404", "503"}[r.IntN(3)])
	}
	q.uri = "/" + word(30) + "?" + query.Encode()
	for range r.IntN(20) {
		q.header.Add("X-"+strings.Trim(word(12), "-_."), word(200))
	}
	if r.IntN(50) == 0 {
		q.header.Set("X-Long", strings.Repeat("l", 20_000))
	}
	for range r.IntN(4) {
		q.header.Add("Cookie", word(8)+"="+word(30))
	}
	q.method, q.kind = "POST", "raw"
	switch r.IntN(10) {
	case 0:
		q.method, q.kind = "GET", "none"
	case 1:
		form := url.Values{}
		for len(form.Encode()) < min(size, 200_000) {
			form.Add(word(10), string(word(3000)))
		}
		q.kind, q.body = "form", []byte(form.Encode())
		q.header.Set("Content-Type", "application/x-www-form-urlencoded")
	case 2:
		var b strings.Builder
		m := multipart.NewWriter(&b)
		_ = m.SetBoundary("boundary-of-the-test")
		_ = m.WriteField("field["+word(5)+"]", word(100))
		for i := range 1 + r.IntN(3) {
			w, _ := m.CreateFormFile(fmt.Sprintf("file[%d]", i), word(20)+".bin")
			_, _ = w.Write(bytes(min(size, 1<<20)))
		}
		_ = m.Close()
		q.kind, q.body = "upload", []byte(b.String())
		q.header.Set("Content-Type", m.FormDataContentType())
	default:
		q.method = []string{"POST", "PUT", "PATCH"}[r.IntN(3)]
		q.body = bytes(size)
		q.header.Set("Content-Type", "application/octet-stream")
		q.chunked = r.IntN(4) == 0
	}
	return q
}

func (q *request) String() string {
	return fmt.Sprintf("%s %s (%s, %d bytes, chunked %v)", q.method, q.uri, q.kind, len(q.body), q.chunked)
}

// run sends the request and returns all of the answer that must be the same
// everywhere.
func (in *instance) run(q *request) (string, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var body io.Reader = bytes.NewReader(q.body)
	if q.chunked {
		body = struct{ io.Reader }{body}
	}
	req, err := http.NewRequestWithContext(ctx, q.method, "http://example.test"+q.uri, body)
	if err != nil {
		return "", nil, err
	}
	req.Header = q.header.Clone()
	resp, err := in.client.Do(req)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	head := fmt.Sprintf("%d, seen %s, type %q, cookies %q, %d bytes, sha1 %x",
		resp.StatusCode, resp.Header.Get("X-Seen"), resp.Header.Get("Content-Type"), resp.Header["Set-Cookie"], len(got), sha1.Sum(got))
	return head, got, err
}

// TestSameEverywhere: PHP sees the same and the client gets the same, byte for byte,
// whichever way between daemon and worker it goes.
func TestSameEverywhere(t *testing.T) {
	ways := everyWay(t)
	r := rand.New(rand.NewPCG(*seed, 0))
	list := make(chan *request)
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			for q := range list {
				want, first, err := ways[0].run(q)
				if err != nil {
					t.Errorf("%s: %s: %v", q, ways[0].name, err)
					continue
				}
				if q.kind == "raw" && strings.Contains(q.uri, "mode=&") && !bytes.Equal(first, q.body) {
					t.Errorf("%s: %s: the echo has %d bytes", q, ways[0].name, len(first))
				}
				for _, in := range ways[1:] {
					got, body, err := in.run(q)
					if err != nil || got != want || !bytes.Equal(body, first) {
						t.Errorf("%s: %s: %v\n got %s\nwant %s", q, in.name, err, got, want)
					}
				}
			}
		})
	}
	for range *requests {
		if t.Failed() {
			break
		}
		list <- random(r)
	}
	close(list)
	clients.Wait()
	for _, in := range ways {
		if log := in.log.String(); strings.Contains(log, "\tERROR\t") || strings.Contains(log, "\tWARN\thttp") {
			t.Errorf("%s: %s", in.name, log[max(0, len(log)-2000):])
		}
	}
}

// A worker that dies answers its request with one error; what it printed is logged,
// and the next request is served.
func TestWorkerDies(t *testing.T) {
	in := start(t, "shared memory", "", "", "")
	for range 3 {
		got, _, err := in.run(&request{method: "POST", uri: "/?die=1", body: make([]byte, 100_000)})
		if err != nil || !strings.HasPrefix(got, "500,") {
			t.Fatal(got, err)
		}
		got, body, err := in.run(&request{method: "POST", uri: "/", body: make([]byte, 3_000_000)})
		if err != nil || !strings.HasPrefix(got, "200,") || len(body) != 3_000_000 {
			t.Fatal(got, err)
		}
	}
	if !strings.Contains(in.log.String(), "last words") {
		t.Error("what it printed is not in the log")
	}
}

// A daemon that is killed leaves no worker and no memory behind.
func TestNothingIsLeft(t *testing.T) {
	in := start(t, "shared memory", "", "", "")
	if _, _, err := in.run(&request{method: "POST", uri: "/", body: make([]byte, 3_000_000)}); err != nil {
		t.Fatal(err)
	}
	workers := children(in.cmd.Process.Pid)
	maps := 0
	for _, pid := range workers {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
		if err != nil {
			t.Fatal(err)
		}
		maps += strings.Count(string(text), "memfd:rr-worker")
	}
	if len(workers) != 2 || maps != 2 {
		t.Fatalf("workers %v, %d mappings", workers, maps)
	}
	if err := in.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "the workers to end", func() bool {
		for _, pid := range workers {
			if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !bytes.Contains(stat, []byte(") Z ")) {
				return false
			} else if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
				t.Fatal(err)
			}
		}
		return true
	})
	// Memory of a memfd lives as long as a process has it, and these were all.
	if left, _ := filepath.Glob("/dev/shm/*rr-worker*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// children are the processes whose parent is pid.
func children(pid int) (list []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, rest, ok := strings.Cut(string(stat), ") ")
		var state string
		var parent, child int
		if _, err := fmt.Sscan(rest, &state, &parent); ok && err == nil && parent == pid {
			if _, err := fmt.Sscan(string(stat), &child); err == nil {
				list = append(list, child)
			}
		}
	}
	return list
}
