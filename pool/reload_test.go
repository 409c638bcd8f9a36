package pool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/pool/worker"
)

func TestReloadUnderLoadLosesNothing(t *testing.T) {
	cfg := Config{NumWorkers: 2}
	p, r := newPool(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var done atomic.Int64
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := do(p, "sleep 1"); err != nil {
					t.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	for range 5 {
		before := done.Load()
		if err := p.Reload(context.Background(), cfg, phpSpec(t)); err != nil {
			t.Error(err)
		}
		eventually(t, "requests", func() bool { return done.Load() > before+4 })
	}
	cancel()
	wg.Wait()
	equal(t, "generation", p.Stats().Generation, 6)
	for _, c := range r.causes(t, 10) {
		equal(t, "cause", c, worker.Reset)
	}
	equal(t, "workers", p.Stats().Workers, 2)
}

func TestReloadThatDoesNotBootKeepsTheOldGeneration(t *testing.T) {
	p, r := newPool(t, Config{NumWorkers: 1})
	pid := mustPID(t, p)
	err := p.Reload(context.Background(), Config{NumWorkers: 3}, phpSpec(t, "exit"))
	var boot *BootError
	if !errors.As(err, &boot) || !strings.Contains(boot.Explain(), "cannot boot") {
		t.Fatalf("got %v", err)
	}
	err = p.Reload(context.Background(), Config{NumWorkers: 501}, phpSpec(t))
	if err == nil || !strings.Contains(err.Error(), "num_workers") {
		t.Fatalf("got %v", err)
	}
	equal(t, "pid", mustPID(t, p), pid)
	equal(t, "generation", p.Stats().Generation, 1)
	equal(t, "events", len(r.all(ReloadFailed)), 2)
}

func TestReloadServesWaitingRequests(t *testing.T) {
	cfg := Config{NumWorkers: 1}
	p, _ := newPool(t, cfg)
	busy := newGate(t)
	slow := make(chan error, 1)
	go func() { _, err := do(p, busy.body); slow <- err }()
	eventually(t, "a slow request", func() bool { return p.Stats().Working == 1 })
	answered := make(chan error, 1)
	go func() { _, err := do(p, "hello"); answered <- err }()
	eventually(t, "a waiting request", func() bool { return p.Stats().Waiting == 1 })
	if err := p.Reload(context.Background(), cfg, phpSpec(t)); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
	// The old worker with its request is none of those that serve now.
	s := p.Stats()
	equal(t, "draining", s.Draining, 1)
	equal(t, "workers", s.Workers, 1)
	equal(t, "working", s.Working, 0)
	busy.open(t)
	if err := <-slow; err != nil {
		t.Error(err)
	}
}

func TestResetTimeoutEndsHungRequests(t *testing.T) {
	cfg := Config{NumWorkers: 1, ResetTimeout: 50 * time.Millisecond}
	p, r := newPool(t, cfg)
	hung := make(chan error, 1)
	go func() { _, err := do(p, "sleep 3600000"); hung <- err }()
	eventually(t, "a hung request", func() bool { return p.Stats().Working == 1 })
	if err := p.Reload(context.Background(), cfg, phpSpec(t)); err != nil {
		t.Fatal(err)
	}
	var we *WorkerError
	if err := <-hung; !errors.As(err, &we) || we.Cause != worker.Reset {
		t.Errorf("got %v", err)
	}
	equal(t, "cause", r.causes(t, 1)[0], worker.Reset)
}

func TestReloadFollowsTheReleaseLink(t *testing.T) {
	dir := t.TempDir()
	for _, release := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, release), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	current := filepath.Join(dir, "current")
	if err := os.Symlink("one", current); err != nil {
		t.Fatal(err)
	}
	s := phpSpec(t)
	s.Dir = current
	cfg := Config{NumWorkers: 1, MaxJobs: 1}
	p, _ := newPool(t, cfg, withSpec(s))
	if err := os.Remove(current); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("two", current); err != nil {
		t.Fatal(err)
	}
	for range 3 { // replaced workers stay in their release
		equal(t, "release", filepath.Base(mustDo(t, p, "release")), "one")
	}
	if err := p.Reload(context.Background(), cfg, s); err != nil {
		t.Fatal(err)
	}
	equal(t, "release", filepath.Base(mustDo(t, p, "release")), "two")
}

func TestReloadsCoalesce(t *testing.T) {
	cfg := Config{NumWorkers: 1}
	p, r := newPool(t, cfg)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := p.Reload(context.Background(), cfg, phpSpec(t)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(r.all(Reloaded)); n < 1 || n > 5 {
		t.Errorf("20 calls made %d reloads", n)
	}
}

func TestReloadChangesTheConfiguration(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 1})
	if err := p.Reload(context.Background(), Config{NumWorkers: 3, MaxJobs: 1}, phpSpec(t)); err != nil {
		t.Fatal(err)
	}
	equal(t, "workers", p.Stats().Workers, 3)
	if mustPID(t, p) == mustPID(t, p) {
		t.Error("max_jobs has no effect")
	}
	if err := p.Reload(context.Background(), Config{Debug: true}, phpSpec(t)); err != nil {
		t.Fatal(err)
	}
	mustPID(t, p)
	if err := p.Reload(context.Background(), Config{NumWorkers: 2}, phpSpec(t)); err != nil {
		t.Fatal(err)
	}
	equal(t, "workers", p.Stats().Ready, 2)
}

func TestReloadIsNotBoundToItsCaller(t *testing.T) {
	cfg := Config{NumWorkers: 1}
	p, r := newPool(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Reload(ctx, cfg, phpSpec(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eventually(t, "the reload", func() bool { return len(r.all(Reloaded)) == 1 })
}
