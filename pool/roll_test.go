package pool

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/pool/cgroup"
	"github.com/rr-systemd/rrd/pool/worker"
)

// The pool never has more processes than its size and surge, and no request
// fails or waits for the exchange.
func TestRoll(t *testing.T) {
	cfg := Config{NumWorkers: 4, Reload: &Reload{Surge: 1, Warmup: 20 * time.Millisecond}}
	p, r := newPool(t, cfg)
	var most atomic.Int64
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			p.mu.Lock()
			most.Store(max(most.Load(), int64(len(p.members)+p.gen.booting)))
			p.mu.Unlock()
			<-time.After(100 * time.Microsecond)
		}
	})
	for range 6 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				mustDo(t, p, "sleep 5")
			}
		})
	}
	slow := make(chan error, 1)
	go func() {
		_, err := do(p, "sleep 700")
		slow <- err
	}()
	for i := range 3 {
		if err := p.Reload(context.Background(), cfg, phpSpec(t)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the new generation alone", func() bool {
			for _, w := range p.Workers() {
				if w.Generation != uint64(i+2) {
					return false
				}
			}
			return p.Stats().Workers == 4
		})
	}
	close(done)
	wg.Wait()
	if err := <-slow; err != nil {
		t.Error(err)
	}
	if n := most.Load(); n > 5 {
		t.Errorf("%d processes at one time", n)
	}
	equal(t, "reloads", len(r.all(Reloaded)), 3)
	for _, c := range r.causes(t, 12) {
		equal(t, "cause", c, worker.Reset)
	}
	for _, w := range p.Workers() {
		equal(t, "before", w.Before, worker.Reset)
	}
	p.check(t)
}

// limited is a worker that boots so many times only.
func limited(t testing.TB, boots int) worker.Spec {
	t.Helper()
	dir := t.TempDir()
	spec := phpSpec(t)
	spec.Argv = []string{"sh", "-c", `[ $(ls "$1" | wc -l) -lt $2 ] || { echo no more >&2; exit 3; }; touch "$1/$$"; exec php "$3"`,
		"sh", dir, itoa(boots), spec.Argv[1]}
	return spec
}

func TestRollBack(t *testing.T) {
	cfg := Config{NumWorkers: 3, Reload: &Reload{Surge: 1}}
	p, r := newPool(t, cfg)
	for boots := range 3 {
		err := p.Reload(context.Background(), cfg, limited(t, boots))
		var boot *BootError
		if !errors.As(err, &boot) || boot.Exit.Code != 3 || !strings.Contains(strings.Join(boot.Stderr, ""), "no more") {
			t.Fatalf("got %v", err)
		}
		if boots > 0 && !strings.Contains(err.Error(), "rolled back after "+itoa(boots)+" of 3") {
			t.Errorf("got %v", err)
		}
		equal(t, "generation", p.Stats().Generation, 1)
		eventually(t, "the old generation alone", func() bool {
			for _, w := range p.Workers() {
				if w.Generation != 1 {
					return false
				}
			}
			return p.Stats().Ready == 3
		})
		mustDo(t, p, "echo")
		p.check(t)
	}
	equal(t, "failed reloads", len(r.all(ReloadFailed)), 3)
	if err := p.Reload(context.Background(), cfg, limited(t, 3)); err != nil {
		t.Error(err)
	}
	mustDo(t, p, "echo")
}

// Workers that are removed while new ones boot are not there afterwards either.
func TestRemoveWhileReloading(t *testing.T) {
	for _, surge := range []int{0, 3} {
		cfg := Config{NumWorkers: 3, Reload: &Reload{Surge: surge}}
		p, _ := newPool(t, cfg)
		ctx := context.Background()
		s, err := p.Stage(ctx, cfg, phpSpec(t))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := p.Remove(ctx); err != nil {
				t.Error(err)
			}
		}
		if err := s.Commit(ctx); err != nil {
			t.Error(err)
		}
		eventually(t, "one worker of the new generation", func() bool {
			list := p.Workers()
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(list) == 1 && list[0].Generation == 2 && p.crowd() == 1
		})
		equal(t, "target", p.Stats().Target, 1)
		p.check(t)
	}
}

// A worker that boots and dies is no reason to give up the old ones.
func TestWarmup(t *testing.T) {
	for _, surge := range []int{0, 1} {
		cfg := Config{NumWorkers: 2, Reload: &Reload{Surge: surge, Warmup: 5 * time.Second}}
		p, _ := newPool(t, cfg)
		cfg.Reload.Warmup = time.Second
		err := p.Reload(context.Background(), cfg, phpSpec(t, "crash"))
		var boot *BootError
		if !errors.As(err, &boot) || boot.Exit.Code != 4 || !strings.Contains(err.Error(), "within reload.warmup: exit status 4") {
			t.Errorf("got %v", err)
		}
		equal(t, "generation", p.Stats().Generation, 1)
		mustDo(t, p, "echo")
	}
}

// The time of a reload is that of all its steps.
func TestRollTook(t *testing.T) {
	cfg := Config{NumWorkers: 2, Reload: &Reload{Surge: 1}}
	p, r := newPool(t, cfg)
	if err := p.Reload(context.Background(), cfg, phpSpec(t, "slowboot", "200")); err != nil {
		t.Fatal(err)
	}
	events := r.all(Reloaded)
	equal(t, "reloads", len(events), 1)
	if e := events[0]; e.Took < 400*time.Millisecond {
		t.Errorf("two steps of 200ms took %s", e.Took)
	}
}

func TestReloadTimeout(t *testing.T) {
	for _, surge := range []int{0, 1} {
		cfg := Config{NumWorkers: 2, Reload: &Reload{Surge: surge, Timeout: 200 * time.Millisecond}}
		p, _ := newPool(t, cfg)
		err := p.Reload(context.Background(), cfg, phpSpec(t, "hang"))
		if err == nil || !strings.Contains(err.Error(), "reload.timeout of 200ms passed") {
			t.Errorf("got %v", err)
		}
		mustDo(t, p, "echo")
		equal(t, "generation", p.Stats().Generation, 1)
	}
}

// Old workers whose requests do not end are ended after reset_timeout.
func TestRollPastBusyWorkers(t *testing.T) {
	cfg := Config{NumWorkers: 2, ResetTimeout: 300 * time.Millisecond, Reload: &Reload{Surge: 1}}
	p, r := newPool(t, cfg)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { _, _ = do(p, "sleep 60000") })
	}
	eventually(t, "both to work", func() bool { return p.Stats().Working == 2 })
	if err := p.Reload(context.Background(), cfg, phpSpec(t)); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for _, c := range r.causes(t, 2) {
		equal(t, "cause", c, worker.Reset)
	}
	eventually(t, "both new ones", func() bool { return p.Stats().Ready == 2 })
	p.check(t)
}

func TestAutoSize(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		cpu      float64
		memory   uint64
		measured uint64
		cfg      Config
		want     int
	}{
		{2, 0, 0, Config{}, 4},
		{0.5, 0, 0, Config{}, 1},
		{1.25, 0, 0, Config{}, 3},
		{1000, 0, 0, Config{}, MaxWorkers},
		{8, gib, 40 << 20, Config{}, 6},                                              // 819 MiB / 60 MiB = 13, half of it for a reload
		{8, gib, 40 << 20, Config{Reload: &Reload{Surge: 1}}, 12},                    // one of them for a reload
		{8, gib, 1, Config{}, 12},                                                    // at least 32 MiB
		{8, gib, 40 << 20, Config{Limits: cgroup.Limits{Memory: 128 << 20}}, 3},      // what a worker may take
		{8, gib, 40 << 20, Config{Supervisor: &Supervisor{MaxWorkerMemory: 200}}, 2}, // the same
		{8, 64 << 20, 40 << 20, Config{}, 1},                                         // never none
	} {
		if got := autoSize(cgroup.Budget{CPU: c.cpu, Memory: c.memory}, &c.cfg, c.measured); got != c.want {
			t.Errorf("%v processors, %d MiB, worker %d MiB: got %d, want %d", c.cpu, c.memory>>20, c.measured>>20, got, c.want)
		}
	}
}

func TestAuto(t *testing.T) {
	budget := cgroup.Budget{CPU: 1.5}
	p, _ := newPool(t, Config{NumWorkers: Auto}, func(o *Options) { o.Budget = func() cgroup.Budget { return budget } })
	equal(t, "workers", p.Stats().Ready, 3)
	budget = cgroup.Budget{CPU: 8, Memory: 160 << 20} // 128 MiB are four workers of the least size
	if err := p.Reload(context.Background(), Config{NumWorkers: Auto}, phpSpec(t)); err != nil {
		t.Fatal(err)
	}
	if n := p.Stats().Target; n < 1 || n > 2 {
		t.Errorf("%d workers", n)
	}
	if err := p.Reload(context.Background(), Config{NumWorkers: Auto, Reload: &Reload{Surge: 1}}, phpSpec(t)); err != nil {
		t.Fatal(err)
	}
	if n := p.Stats().Target; n < 1 || n > 3 {
		t.Errorf("%d workers", n)
	}
	for text, want := range map[string]Count{"auto": Auto, " 8 ": 8, "4.0": 4, "": 0, "-3": -3} {
		var c Count
		if err := c.UnmarshalText([]byte(text)); err != nil || c != want {
			t.Errorf("%q: %d %v", text, c, err)
		}
	}
	for _, text := range []string{"many", "1.5", "1e99", "NaN", "Inf"} {
		var c Count
		if err := c.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: %d", text, c)
		}
	}
}
