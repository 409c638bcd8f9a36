package pool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/ipc/goridge"
	"github.com/rr-systemd/rrd/pool/worker"
)

// tell runs one payload with an order for sharedMain, and returns the whole answer.
func tell(p *Pool, order string, body []byte, parts bool) (string, []byte, error) {
	s, err := p.Exec(context.Background(), &ipc.Payload{Codec: goridge.CodecRaw, Context: []byte(order), Body: body, Parts: parts, ID: order})
	if err != nil {
		return "", nil, err
	}
	defer s.Close()
	ctx, got := "", []byte(nil)
	for first := true; ; first = false {
		m, err := s.Next()
		if err == io.EOF {
			return ctx, got, nil
		}
		if err != nil {
			return ctx, got, err
		}
		if first {
			ctx = string(m.Context)
		}
		got = append(got, m.Body...)
	}
}

// canary is a body that belongs to one request: n bytes, each of which follows from
// id and its place.
func canary(id uint64, n int) []byte {
	b := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], (id<<20+uint64(i))*0x9E3779B97F4A7C15)
	}
	return b[:n]
}

func TestSharedMemory(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 1}, withSpec(sharedSpec()))
	if !p.Accepts(ipc.SharedMemory) {
		t.Fatal("no shared memory")
	}
	for i, n := range []int{0, 1, 4095, 4096, 8191, 8192, testHalf - 24, testHalf, 1 << 20} {
		body := canary(uint64(i), n)
		for _, parts := range []bool{false, true} {
			ctx, got, err := tell(p, "echo", body, parts)
			if err != nil || ctx != "echo" || !bytes.Equal(got, body) {
				t.Fatalf("%d bytes: %q, %d bytes, %v", n, ctx, len(got), err)
			}
		}
	}
	p.check(t)
}

// A worker that breaks the rules of shared memory, or dies in any step, costs one
// request one error; it is replaced, and the next request is served.
func TestHostileSharedMemory(t *testing.T) {
	cfg := Config{NumWorkers: 1, Supervisor: &Supervisor{WatchTick: time.Second, ExecTTL: 20 * time.Second}}
	p, r := newPool(t, cfg, withSpec(sharedSpec()))
	body := canary(7, 3*testHalf)
	served := func() {
		t.Helper()
		if _, got, err := tell(p, "echo", body, true); err != nil || !bytes.Equal(got, body) {
			t.Fatalf("afterwards: %d bytes, %v", len(got), err)
		}
	}
	// The seals hold, holes are harmless.
	if _, got, err := tell(p, "resize", body, true); err != nil || !bytes.Equal(got, body) {
		t.Fatalf("resize: %d bytes, %v", len(got), err)
	}
	equal(t, "ends", len(r.all(WorkerStopped)), 0)

	orders := []string{"long", "longest", "overflow", "offset", "endless", "empty", "unbegun", "question", "killed",
		"take 0", "take 1", "take 2", "take 3", "short 0", "short 11", "short 12", "short 23", "short 26", "short 27", "short 40", "short 50"}
	for i, order := range orders {
		_, _, err := tell(p, order, body, i%2 == 0)
		var we *WorkerError
		if !errors.Is(err, ipc.ErrWorkerFailed) || !errors.As(err, &we) {
			t.Fatalf("%s: %v", order, err)
		}
		served()
		equal(t, order+": ends", len(r.causes(t, i+1)), i+1)
		p.check(t)
	}
	// One answer too many belongs to nobody.
	if _, _, err := tell(p, "twice", body, false); err != nil {
		t.Fatal(err)
	}
	served()
	r.causes(t, len(orders)+1)

	// One that changes all bytes at all times spoils its own answers and nothing else.
	for i := range 20 {
		if _, got, err := tell(p, "scribble", body, i%2 == 0); err != nil || len(got) != len(body) {
			t.Fatalf("scribble: %d bytes, %v", len(got), err)
		}
	}
	for pid := range p.pids() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	r.causes(t, len(orders)+2)
	served()
	p.check(t)
}

// pids are the processes of the pool.
func (p *Pool) pids() map[int]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := map[int]bool{}
	for m := range p.members {
		if !m.gone {
			list[m.w.PID()] = true
		}
	}
	return list
}

// A worker that has read nothing of a job in shared memory, however large its body,
// has not had it.
func TestSharedUntouchedIsGivenToAnother(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 1}, withSpec(sharedSpec()))
	body := canary(3, 3*testHalf)
	for range 5 {
		old := p.pids()
		for pid := range old {
			_ = syscall.Kill(pid, syscall.SIGSTOP)
			eventually(t, "the worker to stop", func() bool { return stopped(t, pid) })
		}
		done := make(chan error, 1)
		go func() {
			_, got, err := tell(p, "echo", body, true)
			if err == nil && !bytes.Equal(got, body) {
				err = errors.New("another body")
			}
			done <- err
		}()
		// Sent or not: both are given to another.
		eventually(t, "the job to be given", func() bool { return p.busy() == 1 })
		for pid := range old {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	p.check(t)
}

// stopped tells whether all threads of the process are.
func stopped(t *testing.T, pid int) bool {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(stats) == 0 {
		t.Fatal(err, "no threads")
	}
	for _, name := range stats {
		if stat, err := os.ReadFile(name); err != nil || !bytes.Contains(stat, []byte(") T ")) {
			return false
		}
	}
	return true
}

func (p *Pool) busy() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range p.members {
		if m.busy {
			n++
		}
	}
	return n
}

// What a worker with a control pipe prints to stdout is logged by lines, with its
// request, and told when it dies.
func TestStdoutIsLogged(t *testing.T) {
	var mu sync.Mutex
	var lines []string
	spec := sharedSpec()
	spec.Stderr = func(o worker.Output) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, fmt.Sprintf("%s: %q", o.RequestID, o.Chunk))
	}
	p, _ := newPool(t, Config{NumWorkers: 1}, withSpec(spec))
	for _, text := range []string{"first\nsecond", "third\n"} {
		if _, _, err := tell(p, "print", []byte(text), false); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the output", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(lines) > 0
		})
	}
	_, _, err := tell(p, "short 5", nil, false)
	var we *WorkerError
	if !errors.As(err, &we) || strings.Join(we.Stderr, "|") != "first|secondthird" {
		t.Errorf("%v, output %q", err, we)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(lines, " "); got != `print: "first\n" print: "second" print: "third\n"` {
		t.Error(got)
	}
}

var canaries = flag.Int("pool.canaries", 1500, "requests of TestNoByteOfAnother")

// No byte of another request is ever seen, by workers that are killed at any time
// and bodies of any size.
func TestNoByteOfAnother(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 4}, withSpec(sharedSpec()))
	var next, failed, kills atomic.Int64
	var clients sync.WaitGroup
	for c := range 8 {
		clients.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(c), uint64(*canaries)))
			for {
				id := next.Add(1)
				if id > int64(*canaries) || t.Failed() {
					return
				}
				if id%100 == 50 {
					for pid := range p.pids() { // the first of a random order
						if kills.Add(1); syscall.Kill(pid, syscall.SIGKILL) == nil {
							break
						}
					}
				}
				n := rnd.IntN(1 << rnd.IntN(19))
				body := canary(uint64(id), n)
				order := fmt.Sprint("echo ", id)
				ctx, got, err := tell(p, order, body, rnd.IntN(2) == 0)
				switch {
				case errors.Is(err, ipc.ErrWorkerFailed):
					failed.Add(1)
					if len(got) > len(body) || !bytes.Equal(got, body[:len(got)]) {
						t.Errorf("request %d failed with %d bytes that are not its own", id, len(got))
					}
				case err != nil:
					t.Errorf("request %d: %v", id, err)
				case ctx != order || !bytes.Equal(got, body):
					t.Errorf("request %d of %d bytes got %q with %d bytes", id, n, ctx, len(got))
				}
			}
		})
	}
	clients.Wait()
	t.Logf("%d requests, %d kills, %d failed", *canaries, kills.Load(), failed.Load())
	if failed.Load() > kills.Load() {
		t.Errorf("%d requests failed for %d kills", failed.Load(), kills.Load())
	}
	p.check(t)
}

// Neither worker nor daemon keeps what a worker did not take.
func TestNoSharedDescriptorIsLeft(t *testing.T) {
	count := func() (memfds, maps int) {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.Contains(to, "rr-worker") {
				memfds++
			}
		}
		text, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		return memfds, strings.Count(string(text), "rr-worker")
	}
	spec := echoSpec() // knows nothing of it
	spec.Half = testHalf
	p, _ := newPool(t, Config{NumWorkers: 2}, withSpec(spec))
	equal(t, "answer", mustDo(t, p, "echo"), "echo")
	if memfds, maps := count(); memfds != 0 || maps != 0 {
		t.Errorf("%d memfds, %d mappings", memfds, maps)
	}
	q, r := newPool(t, Config{NumWorkers: 2}, withSpec(sharedSpec()))
	if memfds, maps := count(); memfds != 0 || maps != 2 {
		t.Errorf("%d memfds, %d mappings of 2 workers", memfds, maps)
	}
	for range 2 {
		_, _, _ = tell(q, "short 3", nil, false)
	}
	r.causes(t, 2)
	eventually(t, "new workers", func() bool { _, maps := count(); return maps == 2 && len(q.pids()) == 2 })
}
