package pool

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
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
	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/isolate"
	"github.com/rr-systemd/rrd/pool/worker"
)

func TestMain(m *testing.M) {
	isolate.Run()
	if os.Getenv("POOL_TEST_ECHO") != "" {
		echoWorker()
		return
	}
	if os.Getenv("POOL_TEST_SHARED") != "" {
		sharedWorker()
		return
	}
	var err error
	if spawner = worker.NewSpawner(); spawner == nil {
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(extensionDir)
	if err = spawner.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.ECHILD {
		fmt.Fprintln(os.Stderr, "a child is left:", pid, err)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var spawner *worker.Spawner

// echoWorker is this binary as a worker without PHP: it answers every job with
// the job.
func echoWorker() {
	in := bufio.NewReader(os.Stdin)
	note := noteWorker()
	served := 0
	for {
		var h [12]byte
		if _, err := io.ReadFull(in, h[:]); err != nil {
			return
		}
		rest := make([]byte, int(h[0]&15-3)*4+int(binary.LittleEndian.Uint32(h[2:])))
		if _, err := io.ReadFull(in, rest); err != nil {
			return
		}
		switch {
		case h[1]&1 == 0:
			note("+", rest)
			answer := append(h[:], rest...)
			if served++; os.Getenv("POOL_TEST_NOTES") != "" {
				answer = numbered(h, rest, served)
			}
			note("-", rest) // before the answer: who is killed in between fails an ended request
			var n int
			if i := bytes.Index(rest, []byte("cut ")); i >= 0 {
				fmt.Sscan(string(rest[i+4:]), &n)
				os.Stdout.Write(answer[:n])
				return
			}
			if i := bytes.Index(rest, []byte("stall ")); i >= 0 {
				fmt.Sscan(string(rest[i+6:]), &n)
				os.Stdout.Write(answer[:n])
				select {}
			}
			os.Stdout.Write(answer)
			if i := bytes.Index(rest, []byte("next ")); i >= 0 {
				var how string
				fmt.Sscan(string(rest[i+5:]), &how, &n)
				nextFault(how, n)
			}
		case bytes.Contains(rest, []byte("stop")):
			return
		default:
			body := fmt.Appendf(nil, `{"pid":%d}`, os.Getpid())
			head := []byte{0x13, 1, byte(len(body)), 0, 0, 0}
			head = binary.LittleEndian.AppendUint32(head, crc32.ChecksumIEEE(head))
			os.Stdout.Write(append(append(head, 0, 0), body...))
		}
	}
}

// numbered is the answer that also tells which process gave it, and as how many
// of its.
func numbered(h [12]byte, rest []byte, n int) []byte {
	rest = fmt.Appendf(rest, " %d %d", os.Getpid(), n)
	binary.LittleEndian.PutUint32(h[2:], uint32(len(rest)-int(h[0]&15-3)*4))
	binary.LittleEndian.PutUint32(h[6:], crc32.ChecksumIEEE(h[:6]))
	return append(h[:], rest...)
}

// nextFault reads n bytes of the next payload, and no more.
func nextFault(how string, n int) {
	// Not before there is a payload: else the pool has noticed the end already.
	p := []unix.PollFd{{Fd: 0, Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(p, -1); err != unix.EINTR {
			break
		}
	}
	if n > 0 {
		_, _ = io.ReadFull(os.Stdin, make([]byte, n))
	}
	switch how {
	case "hang":
		select {}
	case "orphan": // a child of it holds its pipes
		child := exec.Command("sleep", "3600")
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		_ = child.Start()
	}
	os.Exit(0)
}

func echoSpec() worker.Spec {
	return worker.Spec{Argv: []string{"/proc/self/exe"}, Env: []string{"POOL_TEST_ECHO=1", "GOMAXPROCS=1", "GOGC=off", "GORACE=atexit_sleep_ms=0"}}
}

// recorder collects events.
type recorder struct {
	mu     sync.Mutex
	events []Event
}

func (r *recorder) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) all(t EventType) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Event
	for _, e := range r.events {
		if e.Type == t {
			list = append(list, e)
		}
	}
	return list
}

// causes waits for the ends of n workers and returns why they ended.
func (r *recorder) causes(t testing.TB, n int) []worker.Cause {
	t.Helper()
	var list []worker.Cause
	eventually(t, fmt.Sprintf("%d workers to end", n), func() bool {
		list = nil
		for _, e := range r.all(WorkerStopped) {
			list = append(list, e.Cause)
		}
		return len(list) >= n
	})
	return list
}

func phpSpec(t testing.TB, args ...string) worker.Spec {
	t.Helper()
	script, err := filepath.Abs("testdata/worker.php")
	if err != nil {
		t.Fatal(err)
	}
	return worker.Spec{Argv: append([]string{"php", script}, args...), Env: os.Environ()}
}

type options func(*Options)

func withSpec(s worker.Spec) options { return func(o *Options) { o.Spec = s } }

func withLog(l *slog.Logger) options { return func(o *Options) { o.Log = l } }

// setAllocateTimeout bounds the wait of requests only: the start of the first
// workers takes what it takes on a busy machine.
func setAllocateTimeout(p *Pool, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gen.cfg.AllocateTimeout = d
}

// newPool starts a pool of PHP workers; it is stopped at the end of the test.
func newPool(t testing.TB, cfg Config, more ...options) (*Pool, *recorder) {
	t.Helper()
	p, r := unstarted(t, cfg, more...)
	if err := p.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return p, r
}

func unstarted(t testing.TB, cfg Config, more ...options) (*Pool, *recorder) {
	t.Helper()
	r := new(recorder)
	o := Options{Name: "test", Config: cfg, Spec: phpSpec(t), Spawner: spawner, OnEvent: r.add}
	for _, f := range more {
		f(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		stop, done := context.WithTimeout(context.Background(), 5*time.Second)
		defer done()
		if err := p.Stop(stop); err != nil {
			t.Error(err)
		}
		<-ran
		if left := len(p.Workers()); left != 0 {
			t.Errorf("%d workers are left", left)
		}
	})
	go func() {
		defer close(ran)
		for ctx.Err() == nil {
			p.mu.Lock()
			ready := p.gen != nil
			p.mu.Unlock()
			if ready {
				if err := p.Run(ctx); err != nil {
					t.Error(err)
				}
				return
			}
			select {
			case <-time.After(time.Millisecond):
			case <-p.ctx.Done():
				return
			}
		}
	}()
	return p, r
}

func payload(body string) *ipc.Payload {
	return &ipc.Payload{Codec: 4, Context: []byte("ctx"), Body: []byte(body), ID: "req-" + body, Label: "TEST", Detail: body}
}

// do runs one payload and returns all of the answer.
func do(p *Pool, body string) (string, error) { return doCtx(context.Background(), p, body) }

func doCtx(ctx context.Context, p *Pool, body string) (string, error) {
	s, err := p.Exec(ctx, payload(body))
	if err != nil {
		return "", err
	}
	defer s.Close()
	var b strings.Builder
	for {
		m, err := s.Next()
		if errors.Is(err, io.EOF) {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
		b.Write(m.Body)
	}
}

// gate holds the requests with its body until it is opened: how long that is does not
// depend on how busy the machine is.
type gate struct{ body, file string }

func newGate(t testing.TB) gate {
	file := filepath.Join(t.TempDir(), "open")
	return gate{"until " + file, file}
}

func (g gate) open(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(g.file, nil, 0o600); err != nil {
		t.Error(err)
	}
}

// doWithin runs one payload that has a time of its own.
func doWithin(p *Pool, ttl time.Duration, body string) error {
	own := payload(body)
	own.TTL = ttl
	s, err := p.Exec(context.Background(), own)
	if err == nil {
		s.Close()
	}
	return err
}

func mustDo(t testing.TB, p *Pool, body string) string {
	t.Helper()
	s, err := do(p, body)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return s
}

func mustPID(t testing.TB, p *Pool) int {
	t.Helper()
	pid, err := strconv.Atoi(mustDo(t, p, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
