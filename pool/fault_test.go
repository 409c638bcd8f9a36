package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/worker"
)

// stallTTL is the time of a request that does not end; no other has such a limit.
const stallTTL = 300 * time.Millisecond

// A worker that ends, or stalls, after any byte of its answer costs one request
// one clear error, and is replaced.
func TestAnswerCutAtEveryByte(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1}, withSpec(echoSpec()))
	const length = 12 + 4 + len("ctx") + len("stall 00")
	ends := 0
	for _, how := range []string{"cut", "stall"} {
		step := 1
		if how == "stall" {
			step = 7 // each of them takes stallTTL
		}
		for n := 0; n < length-2; n += step {
			// What answers is not what ends at once: no loop of failed starts.
			equal(t, "answer", mustDo(t, p, "echo"), "echo")
			ttl, want := time.Duration(0), ipc.ErrWorkerFailed
			if how == "stall" {
				ttl, want = stallTTL, ipc.ErrExecTTL
			}
			err := doWithin(p, ttl, fmt.Sprintf("%s %02d", how, n))
			var we *WorkerError
			if !errors.Is(err, want) || !errors.As(err, &we) {
				t.Fatalf("%s at byte %d: %v", how, n, err)
			}
			ends++
		}
	}
	equal(t, "answer", mustDo(t, p, "echo"), "echo")
	for _, c := range r.causes(t, ends) {
		if c != worker.Exited && c != worker.ExecTTL && c != worker.Protocol {
			t.Errorf("cause %s", c)
		}
	}
	equal(t, "ends", len(r.all(WorkerStopped)), ends)
	p.check(t)
}

// A worker that ends, or stalls, after it has read any part of its request costs
// one request one clear error. Nothing is lost if it has read nothing.
func TestRequestReadInPart(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1}, withSpec(echoSpec()))
	small := 12 + 4 + len("ctx") + len("echo")
	large := 12 + 4 + len("ctx") + 3<<20 // more than the pipe holds
	ends := 0
	try := func(how string, n, size int, body string) {
		t.Helper()
		equal(t, "answer", mustDo(t, p, fmt.Sprintf("next %s %d", how, n)), fmt.Sprintf("next %s %d", how, n))
		var got string
		var err error
		if how == "hang" {
			err = doWithin(p, stallTTL, body)
		} else {
			got, err = do(p, body)
		}
		ends++
		var we *WorkerError
		switch {
		case how == "close" && n == 0 && size == small:
			if err != nil || got != body {
				t.Fatalf("nothing was read, and the request failed: %v", err)
			}
		case how == "hang":
			if !errors.Is(err, ipc.ErrExecTTL) || !errors.As(err, &we) {
				t.Fatalf("%s after %d of %d bytes: %v", how, n, size, err)
			}
		case !errors.Is(err, ipc.ErrWorkerFailed) || !errors.As(err, &we):
			t.Fatalf("%s after %d of %d bytes: %v", how, n, size, err)
		}
		p.check(t)
	}
	for n := range small {
		try("close", n, small, "echo")
	}
	for _, n := range []int{0, 7} {
		try("hang", n, small, "echo")
	}
	body := strings.Repeat("x", 3<<20)
	for _, n := range []int{1, 12, 4096, 1 << 20, large - 1} {
		try("close", n, large, body)
	}
	for _, n := range []int{0, 1 << 20} {
		try("hang", n, large, body)
	}
	equal(t, "answer", mustDo(t, p, "echo"), "echo")
	r.causes(t, ends)
	equal(t, "ends", len(r.all(WorkerStopped)), ends)
}

// forks is a spawner whose n-th fork fails, or hangs until it is released.
type forks struct {
	mu    sync.Mutex
	n     int
	fails map[int]error
	hangs map[int]chan struct{}
}

func (f *forks) spawner(t *testing.T) *worker.Spawner {
	s := worker.NewSpawner()
	s.ForkExec = func(path string, argv []string, attr *syscall.ProcAttr) (int, error) {
		f.mu.Lock()
		f.n++
		err, hang := f.fails[f.n], f.hangs[f.n]
		f.mu.Unlock()
		if hang != nil {
			<-hang
		}
		if err != nil {
			return 0, err
		}
		return syscall.ForkExec(path, argv, attr)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// life is what a pool goes through: a start, a worker that ends with a request, a
// reload, a worker that is added. It tells what failed.
func life(p *Pool, r *recorder, cfg Config) (start, request, reload, add error) {
	if start = p.Start(context.Background()); start != nil {
		return
	}
	_, request = do(p, "cut 0")
	if err := errors.Join(await(r, WorkerStopped, 1), whole(p)); err != nil {
		return err, request, nil, nil
	}
	reload = p.Reload(context.Background(), cfg, echoSpec())
	add = p.Add(context.Background())
	return nil, request, reload, errors.Join(add, whole(p))
}

func await(r *recorder, e EventType, n int) error {
	return poll(fmt.Sprintf("%d times: %s", n, e), func() bool { return len(r.all(e)) >= n })
}

// whole waits until all workers are there.
func whole(p *Pool) error {
	return poll("all workers", func() bool { s := p.Stats(); return s.Ready == s.Target && s.Ready > 0 })
}

func poll(what string, ok func() bool) error {
	for end := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(end) {
			return errors.New("waited in vain for " + what)
		}
		<-time.After(2 * time.Millisecond)
	}
	return nil
}

// Whichever fork fails: the start and the reload fail as a whole and say why, a
// replacement is tried again, requests are answered, nothing is left behind.
func TestForkFails(t *testing.T) {
	for n := 1; ; n++ {
		f := &forks{fails: map[int]error{n: syscall.EAGAIN}}
		cfg := Config{NumWorkers: 2, AllocateTimeout: time.Minute}
		p, r := unstarted(t, cfg, withSpec(echoSpec()), func(o *Options) { o.Spawner = f.spawner(t) })
		files := descriptors(t)
		start, request, reload, add := life(p, r, cfg)
		var boot *BootError
		failed := 0
		for what, err := range map[string]error{"start": start, "reload": reload, "add": add} {
			if err == nil {
				continue
			}
			failed++
			if !errors.As(err, &boot) || !errors.Is(err, syscall.EAGAIN) || !strings.Contains(boot.Hint, "TasksMax=") {
				t.Fatalf("fork %d: %s: %v", n, what, err)
			}
		}
		failed += len(r.all(WorkerFailed))
		if start == nil {
			if !errors.Is(request, ipc.ErrWorkerFailed) {
				t.Fatalf("fork %d: the request whose worker ended: %v", n, request)
			}
			equal(t, "answer", mustDo(t, p, "echo"), "echo")
			p.check(t)
		}
		if err := p.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if left := descriptors(t); left > files {
			t.Errorf("fork %d: %d descriptors before, %d after", n, files, left)
		}
		p.mu.Lock()
		if p.starting != 0 || len(p.members) != 0 {
			t.Errorf("fork %d: %d start, %d members", n, p.starting, len(p.members))
		}
		p.mu.Unlock()
		if f.n < n { // there are not so many
			equal(t, "failures", failed, 0)
			return
		}
		equal(t, fmt.Sprintf("failures with fork %d", n), failed, 1)
	}
}

// descriptors counts the open ones of this process.
func descriptors(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A fork that hangs, for want of memory for example, holds up what needs it and
// nothing else.
func TestForkHangs(t *testing.T) {
	hang := make(chan struct{})
	f := &forks{hangs: map[int]chan struct{}{3: hang}} // the replacement of the first that ends
	cfg := Config{NumWorkers: 2}
	p, r := newPool(t, cfg, withSpec(echoSpec()), func(o *Options) { o.Spawner = f.spawner(t) })
	if _, err := do(p, "cut 0"); !errors.Is(err, ipc.ErrWorkerFailed) {
		t.Fatal(err)
	}
	r.causes(t, 1)
	for range 10 {
		equal(t, "answer", mustDo(t, p, "echo"), "echo")
	}
	reloaded := make(chan error, 1)
	go func() { reloaded <- p.Reload(context.Background(), cfg, echoSpec()) }()
	eventually(t, "the reload to wait", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.starting == 3 })
	equal(t, "answer", mustDo(t, p, "echo"), "echo")
	equal(t, "workers", p.Stats().Workers, 1)
	close(hang)
	if err := <-reloaded; err != nil {
		t.Error(err)
	}
	if err := whole(p); err != nil {
		t.Error(err)
	}
	p.check(t)
}
