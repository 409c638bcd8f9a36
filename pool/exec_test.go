package pool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/worker"
)

func TestExecAnswers(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 2})
	s, err := p.Exec(context.Background(), payload("hello"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "context", string(m.Context), "ctx")
	equal(t, "body", string(m.Body), "hello")
	if _, err := s.Next(); err != io.EOF {
		t.Errorf("second Next: %v", err)
	}
	s.Close()
	s.Close()
	if _, err := p.Exec(context.Background(), &ipc.Payload{}); !errors.Is(err, ipc.ErrEmptyPayload) {
		t.Errorf("empty payload: %v", err)
	}
	equal(t, "execs", p.Stats().Execs, 1)
	large := strings.Repeat("0123456789abcdef", 3<<16) // 3 MiB
	equal(t, "large body comes back", mustDo(t, p, large) == large, true)
}

func TestExecUsesWarmWorkerFirst(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 4})
	first := mustPID(t, p)
	for range 10 {
		equal(t, "pid", mustPID(t, p), first)
	}
}

func TestSoftErrorKeepsWorker(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 1})
	pid := mustPID(t, p)
	_, err := do(p, "error no such user")
	var soft *ipc.SoftError
	if !errors.As(err, &soft) || soft.Text != "no such user" {
		t.Fatalf("got %v", err)
	}
	equal(t, "text", err.Error(), "sync_worker_receive_frame: SoftJobError: no such user")
	equal(t, "pid", mustPID(t, p), pid)
}

func TestMaxJobsReplacesWorker(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1, MaxJobs: 1})
	a, b := mustPID(t, p), mustPID(t, p)
	if a == b {
		t.Error("the worker was not replaced")
	}
	equal(t, "cause", r.causes(t, 1)[0], worker.MaxJobs)
	equal(t, "exit", r.all(WorkerStopped)[0].Exit.String(), "exit status 0")
}

func TestStopRequestMovesPayloadToAnotherWorker(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 2})
	file := filepath.Join(t.TempDir(), "stop")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	first := mustPID(t, p)
	if got := mustDo(t, p, "stopfile "+file); got == "" || got == itoa(first) {
		t.Errorf("answered by %q, the worker that stopped was %d", got, first)
	}
	equal(t, "cause", r.causes(t, 1)[0], worker.Requested)

	// All refuse: the caller gets an error, not an endless loop.
	_, err := do(p, "stop")
	if !errors.Is(err, ipc.ErrWorkerFailed) || !errors.Is(err, ipc.ErrWorkerStop) {
		t.Errorf("got %v", err)
	}
	mustPID(t, p)
}

func TestCrashFailsTheRequestOnce(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1})
	_, err := do(p, "exit 7")
	if !errors.Is(err, ipc.ErrWorkerFailed) {
		t.Fatalf("got %v", err)
	}
	if !strings.HasPrefix(err.Error(), "sync_worker_receive_frame: Network: EOF") {
		t.Errorf("text %q", err)
	}
	var we *WorkerError
	if !errors.As(err, &we) || we.Exit.Code != 7 || len(we.Stderr) != 1 || we.Stderr[0] != "last words" {
		t.Errorf("got %+v", we)
	}
	mustPID(t, p)
	equal(t, "cause", r.causes(t, 1)[0], worker.Exited)
	e := r.all(WorkerStopped)[0]
	equal(t, "request", e.Request.ID, "req-exit 7")
	equal(t, "exit", e.Exit.Code, 7)
	equal(t, "stderr", strings.Join(e.Stderr, "|"), "last words")
	equal(t, "execs", p.Stats().Execs, 2)

	_, err = do(p, "segv")
	if !errors.Is(err, ipc.ErrWorkerFailed) || !strings.Contains(err.Error(), "segmentation fault") {
		t.Errorf("got %v", err)
	}
	equal(t, "cause", r.causes(t, 2)[1], worker.Signaled)
}

// PHP closes its descriptors before it has ended: that is no breach of the protocol.
func TestSlowExitIsAnExit(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1})
	for i, before := range []string{"", "echo substr(frame(4, $context, $body), 0, 20); "} {
		_, err := do(p, "eval "+before+"fclose(STDOUT); usleep(150000); exit(6);")
		var we *WorkerError
		if !errors.As(err, &we) || we.Exit.Code != 6 {
			t.Errorf("got %v", err)
		}
		equal(t, "cause", r.causes(t, i+1)[i], worker.Exited)
	}
}

func TestBrokenProtocolReplacesWorker(t *testing.T) {
	for body, want := range map[string]string{
		"garbage":  "sync_worker_receive_frame: Network: validation failed",
		"nooption": "sync_worker_receive_frame: Decode: options length should be equal 1 (body offset)",
	} {
		p, r := newPool(t, Config{NumWorkers: 1})
		_, err := do(p, body)
		if !errors.Is(err, ipc.ErrWorkerFailed) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v", body, err)
		}
		equal(t, "cause", r.causes(t, 1)[0], worker.Protocol)
		mustPID(t, p)
	}
}

func TestSurplusAnswerNeverReachesTheNextRequest(t *testing.T) {
	var log bytes.Buffer
	p, r := newPool(t, Config{NumWorkers: 1}, withLog(slog.New(slog.NewJSONHandler(&log, nil))))
	equal(t, "answer", mustDo(t, p, "twice"), "one")
	equal(t, "next answer", mustDo(t, p, "hello"), "hello")
	equal(t, "cause", r.causes(t, 1)[0], worker.Protocol)
	// The record blames the request that sent it, not the next one.
	e := r.all(WorkerStopped)[0]
	equal(t, "request", e.Request.ID, "req-twice")
	equal(t, "error", e.Err, errTooMuch)
	if !strings.Contains(log.String(), `"request_id":"req-twice"`) || !strings.Contains(log.String(), errTooMuch.Error()) {
		t.Errorf("logged %s", &log)
	}
}

func TestAnswerThenExit(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 1})
	for range 5 {
		equal(t, "answer", mustDo(t, p, "answerexit"), "answerexit")
	}
}

func TestWorkerThatDiedIdleLosesNoRequest(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 2})
	for i := range 6 {
		for _, w := range p.Workers() {
			_ = unix.Kill(w.PID, unix.SIGKILL)
			// From here on it reads nothing; whether the pool knows is open.
			for {
				stat, err := os.ReadFile("/proc/" + itoa(w.PID) + "/stat")
				if err != nil || strings.Contains(string(stat), ") Z ") {
					break
				}
			}
		}
		body := "hello"
		if i%2 == 0 {
			body = strings.Repeat("x", 300<<10)
		}
		got, err := do(p, body)
		if err != nil || got != body {
			t.Fatalf("round %d: %d bytes, %v", i, len(got), err)
		}
	}
}

func TestChildOfDeadWorkerDoesNotHoldTheRequest(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 1})
	pid := mustPID(t, p)
	defer unix.Kill(-pid, unix.SIGKILL) // the child stays in the worker's group
	_, err := do(p, "child")
	if !errors.Is(err, ipc.ErrWorkerFailed) {
		t.Errorf("got %v", err)
	}
	mustPID(t, p)
}

// The same, when the request waits for the worker to read it.
func TestChildOfDeadWorkerDoesNotHoldTheBody(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 1}, withSpec(echoSpec()))
	defer unix.Kill(-p.Workers()[0].PID, unix.SIGKILL)
	mustDo(t, p, "next orphan 100")
	_, err := do(p, strings.Repeat("x", 3<<20)) // more than the pipe holds
	var we *WorkerError
	if !errors.As(err, &we) || !errors.Is(we.Err, ipc.ErrWorkerGone) || we.Cause != worker.Exited {
		t.Errorf("got %v", err)
	}
	mustDo(t, p, "echo")
}

func TestExecTTL(t *testing.T) {
	for _, arg := range []string{"", "term"} {
		p, r := newPool(t, Config{NumWorkers: 1, Supervisor: &Supervisor{ExecTTL: 50 * time.Millisecond}}, withSpec(phpSpec(t, arg)))
		_, err := do(p, "sleep 3600000")
		if !errors.Is(err, ipc.ErrExecTTL) || err.Error() != "worker_exec_with_timeout: ExecTTL: context deadline exceeded" {
			t.Errorf("got %v", err)
		}
		eventually(t, "a worker again", func() bool { return p.Stats().Ready == 1 })
		equal(t, "cause", r.causes(t, 1)[0], worker.ExecTTL)
		want := syscall.SIGTERM
		if arg == "term" {
			want = syscall.SIGKILL
		}
		equal(t, "signal", r.all(WorkerStopped)[0].Exit.Signal, want)
	}
}

func TestQueueFull(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 1, MaxQueueSize: 2})
	busy := newGate(t)
	var wg sync.WaitGroup
	wg.Go(func() { mustDo(t, p, busy.body) })
	eventually(t, "one working", func() bool { return p.Stats().Working == 1 })
	wg.Go(func() { mustDo(t, p, "a") })
	wg.Go(func() { mustDo(t, p, "b") })
	eventually(t, "two waiting", func() bool { return p.Stats().Waiting == 2 })
	_, err := do(p, "c")
	if !errors.Is(err, ipc.ErrQueueFull) || err.Error() != "static_pool_exec: QueueSize: max queue size reached" {
		t.Errorf("got %v", err)
	}
	busy.open(t)
	wg.Wait()
	equal(t, "waiting", p.Stats().Waiting, 0)
}

func TestQueueAllocateTimeout(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 1})
	setAllocateTimeout(p, 50*time.Millisecond)
	busy := newGate(t)
	var wg sync.WaitGroup
	wg.Go(func() { mustDo(t, p, busy.body) })
	eventually(t, "one working", func() bool { return p.Stats().Working == 1 })
	for range 2 {
		_, err := do(p, "a")
		if !errors.Is(err, ipc.ErrNoFreeWorkers) || !strings.HasPrefix(err.Error(), "static_pool_exec: NoFreeWorkers") {
			t.Errorf("got %v", err)
		}
	}
	busy.open(t)
	wg.Wait()
	equal(t, "waiting", p.Stats().Waiting, 0)
}

func TestQueueObeysContext(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 1})
	busy := newGate(t)
	done := make(chan struct{})
	go func() { defer close(done); mustDo(t, p, busy.body) }()
	eventually(t, "one working", func() bool { return p.Stats().Working == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := doCtx(ctx, p, "a"); !errors.Is(err, ipc.ErrNoFreeWorkers) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := doCtx(ctx, p, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancel: %v", err)
	}
	busy.open(t)
	<-done
}

func TestStream(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 1})
	equal(t, "answer", mustDo(t, p, "stream 5"), "chunk 1;chunk 2;chunk 3;chunk 4;chunk 5;")
	equal(t, "working", p.Stats().Working, 0)
}

func TestStreamHoldsTheWorker(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 1})
	setAllocateTimeout(p, 50*time.Millisecond)
	s, err := p.Exec(context.Background(), payload("stream 3"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := do(p, "hello"); !errors.Is(err, ipc.ErrNoFreeWorkers) {
		t.Errorf("got %v", err)
	}
	for {
		if _, err := s.Next(); err != nil {
			break
		}
	}
	equal(t, "answer", mustDo(t, p, "hello"), "hello")
	s.Close()
}

func TestClosedStreamFreesTheWorker(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1})
	pid := mustPID(t, p)
	for range 3 {
		s, err := p.Exec(context.Background(), payload("stream 100000"))
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		s.Close()
		equal(t, "pid", mustPID(t, p), pid)
	}
	equal(t, "ends", len(r.all(WorkerStopped)), 0)
}

func TestStreamThatDoesNotEndIsKilled(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1, StreamTimeout: 50 * time.Millisecond})
	s, err := p.Exec(context.Background(), payload("flood"))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	mustPID(t, p)
	equal(t, "cause", r.causes(t, 1)[0], worker.StreamTimeout)
}

func TestStreamTTLBoundsEachFrame(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1, Supervisor: &Supervisor{ExecTTL: 100 * time.Millisecond}})
	s, err := p.Exec(context.Background(), payload("stream 3 60000"))
	if err == nil {
		s.Close()
	}
	if !errors.Is(err, ipc.ErrExecTTL) {
		t.Errorf("got %v", err)
	}
	equal(t, "cause", r.causes(t, 1)[0], worker.ExecTTL)
}

func TestDebugMode(t *testing.T) {
	p, r := newPool(t, Config{Debug: true})
	a, b := mustPID(t, p), mustPID(t, p)
	if a == b {
		t.Error("the same worker was used twice")
	}
	if _, err := do(p, "error no"); err == nil {
		t.Error("no soft error")
	}
	for _, c := range r.causes(t, 3) {
		equal(t, "cause", c, worker.Debug)
	}
	eventually(t, "no worker", func() bool { return len(p.Workers()) == 0 })
}
