package pool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/worker"
)

func TestStartErrors(t *testing.T) {
	const prefix = "static_pool_allocate_workers: WorkerAllocate: "
	script := phpSpec(t)
	for _, c := range []struct {
		name string
		spec worker.Spec
		text string
		exit string
		hint string
		err  string
	}{
		{"exit", phpSpec(t, "exit"), prefix + "EOF", "exit status 3", "by hand", "cannot boot"},
		{"ends", phpSpec(t, "exit", "0"), prefix + "EOF", "exit status 0", "ended at once", ""},
		{"fatal", phpSpec(t, "fatal"), prefix + "EOF", "exit status 255", "fatal error", "undefined_function"},
		{"timeout", phpSpec(t, "hang"), prefix + "failed to spawn a worker, possible reasons: https://docs.roadrunner.dev/error-codes/allocate-timeout", "signal: terminated", "allocate_timeout", ""},
		{"print", phpSpec(t, "print"), prefix + "validation failed on the message sent to STDOUT", "", "", ""},
		{"no script", worker.Spec{Argv: []string{"php", "none.php"}, Env: script.Env}, prefix + "validation failed on the message sent to STDOUT", "exit status 1", "none.php", ""},
		{"no command", worker.Spec{Argv: []string{"/no/such/php"}}, prefix + "exec: \"/no/such/php\"", "status unknown", "", ""},
		{"not in path", worker.Spec{Argv: []string{"nosuchphp"}}, prefix + "exec: \"nosuchphp\"", "status unknown", "PATH", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			limit := time.Minute
			if c.name == "timeout" {
				limit = time.Second
			}
			p, _ := unstarted(t, Config{NumWorkers: 2, AllocateTimeout: limit}, withSpec(c.spec))
			err := p.Start(context.Background())
			var boot *BootError
			if !errors.As(err, &boot) {
				t.Fatalf("got %v", err)
			}
			if !strings.HasPrefix(err.Error(), c.text) {
				t.Errorf("text %q", err)
			}
			if c.exit != "" {
				equal(t, "exit", boot.Exit.String(), c.exit)
			}
			for _, want := range []string{c.hint, c.err, strings.Join(c.spec.Argv, " ")} {
				if !strings.Contains(boot.Explain(), want) {
					t.Errorf("no %q in:\n%s", want, boot.Explain())
				}
			}
			equal(t, "workers", len(p.Workers()), 0)
		})
	}
}

func TestStartBadDirectory(t *testing.T) {
	s := phpSpec(t)
	s.Dir = "/no/such/dir"
	p, _ := unstarted(t, Config{NumWorkers: 1}, withSpec(s))
	if err := p.Start(context.Background()); err == nil || !strings.Contains(err.Error(), "/no/such/dir") {
		t.Errorf("got %v", err)
	}
}

func TestStartIsParallel(t *testing.T) {
	newPool(t, Config{NumWorkers: 6}, withSpec(phpSpec(t, "meet", t.TempDir(), "6")))
}

func TestExecBeforeStartAndAfterStop(t *testing.T) {
	p, _ := unstarted(t, Config{NumWorkers: 1})
	if _, err := do(p, "a"); !errors.Is(err, ipc.ErrPoolClosed) {
		t.Errorf("before: %v", err)
	}
	if err := p.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(context.Background()); err == nil {
		t.Error("started twice")
	}
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"exec":   func() error { _, err := do(p, "a"); return err }(),
		"add":    p.Add(context.Background()),
		"remove": p.Remove(context.Background()),
		"reload": p.Reload(context.Background(), Config{}, phpSpec(t)),
		"probe":  p.Probe(context.Background()),
	} {
		if !errors.Is(err, ipc.ErrPoolClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestStopLetsRequestsFinish(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1})
	results := make(chan error, 2)
	busy := newGate(t)
	for range 2 { // one runs, one waits
		go func() { _, err := do(p, busy.body); results <- err }()
	}
	eventually(t, "one running, one waiting", func() bool { s := p.Stats(); return s.Working == 1 && s.Waiting == 1 })
	go func() {
		for closed := false; !closed; {
			<-time.After(2 * time.Millisecond)
			p.mu.Lock()
			closed = p.closed
			p.mu.Unlock()
		}
		busy.open(t)
	}()
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	equal(t, "cause", r.causes(t, 1)[0], worker.Shutdown)
	equal(t, "exit", r.all(WorkerStopped)[0].Exit.String(), "exit status 0")
}

func TestStopEndsHungRequests(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1})
	result := make(chan error, 1)
	waiting := make(chan error, 1)
	go func() { _, err := do(p, "sleep 60000"); result <- err }()
	eventually(t, "a running request", func() bool { return p.Stats().Working == 1 })
	go func() { _, err := do(p, "a"); waiting <- err }()
	eventually(t, "a waiting request", func() bool { return p.Stats().Waiting == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	var we *WorkerError
	if err := <-result; !errors.As(err, &we) || we.Cause != worker.Shutdown {
		t.Errorf("got %v", err)
	}
	if err := <-waiting; !errors.Is(err, ipc.ErrPoolClosed) {
		t.Errorf("got %v", err)
	}
	equal(t, "cause", r.causes(t, 1)[0], worker.Shutdown)
}

func TestDeadWorkersAreReplacedWithBackoff(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ok")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p, r := newPool(t, Config{NumWorkers: 2}, withSpec(phpSpec(t, "once", file)))
	mustPID(t, p)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := do(p, "exit 1"); !errors.Is(err, ipc.ErrWorkerFailed) {
			t.Fatal(err)
		}
	}
	eventually(t, "failed starts", func() bool { return len(r.all(WorkerFailed)) >= 3 })
	if n := len(r.all(WorkerFailed)); n > 8 {
		t.Errorf("%d failed starts: no backoff", n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := p.Probe(ctx); err != nil { // nothing is free, but workers are being tried
		t.Error(err)
	}
	done := make(chan error, 1)
	go func() { _, err := do(p, "pid"); done <- err }()
	eventually(t, "a waiting request", func() bool { return p.Stats().Waiting == 1 })
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	eventually(t, "full strength", func() bool { return p.Stats().Ready == 2 })
}

func TestCrashLoopIsSlow(t *testing.T) {
	_, r := newPool(t, Config{NumWorkers: 1}, withSpec(phpSpec(t, "crash")))
	eventually(t, "five starts", func() bool { return len(r.all(WorkerStarted)) >= 5 })
	starts := r.all(WorkerStarted) // pauses of 100, 200, 400 and 800 ms; an event may be late
	if d := starts[4].Time.Sub(starts[0].Time); d < time.Second {
		t.Errorf("five starts in %s", d)
	}
}
