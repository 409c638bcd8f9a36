package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc"
)

// TestStress kills, reloads, adds and removes workers while 32 goroutines run
// requests. Every call returns once, every answer belongs to its request, and
// only a worker that was killed with a payload in its hands may fail one.
func TestStress(t *testing.T) {
	cfg := Config{
		NumWorkers: 4, MaxJobs: 50, StreamTimeout: time.Second, ResetTimeout: 5 * time.Second,
		Supervisor:       &Supervisor{WatchTick: 10 * time.Millisecond, TTL: 2 * time.Second, IdleTTL: time.Second, ExecTTL: time.Minute, MaxWorkerMemory: 200},
		DynamicAllocator: &DynamicAllocator{MaxWorkers: 4, SpawnRate: 2},
	}
	p, r := newPool(t, cfg)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()

	var calls, failed, streams atomic.Int64
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				calls.Add(1)
				id := fmt.Sprintf("%d.%d", g, i)
				var err error
				switch rand.IntN(8) {
				case 0: // a stream that nobody reads to its end
					var s ipc.Stream
					if s, err = p.Exec(context.Background(), &ipc.Payload{Codec: 4, Context: []byte(id), Body: []byte("stream 50")}); err == nil {
						streams.Add(1)
						m, _ := s.Next()
						if string(m.Context) != id {
							t.Errorf("request %s got the answer of %s", id, m.Context)
						}
						s.Close()
					}
				case 1:
					if _, err = do(p, "error "+id); err != nil {
						var soft *ipc.SoftError
						if errors.As(err, &soft) {
							if soft.Text != id {
								t.Errorf("request %s got the error of %s", id, soft.Text)
							}
							err = nil
						}
					}
				default:
					var got string
					if got, err = do(p, "echo "+id); err == nil && got != "echo "+id {
						t.Errorf("request %s got %q", id, got)
					}
				}
				if err != nil {
					failed.Add(1)
					var we *WorkerError
					if !errors.As(err, &we) || we.Exit.Known && we.Exit.Signal != unix.SIGKILL {
						t.Errorf("request %s: %v", id, err)
					}
				}
			}
		})
	}
	var kills atomic.Int64
	wg.Go(func() {
		for ctx.Err() == nil {
			if list := p.Workers(); len(list) > 0 {
				_ = unix.Kill(list[rand.IntN(len(list))].PID, unix.SIGKILL)
				kills.Add(1)
			}
			<-time.After(time.Duration(rand.IntN(80)) * time.Millisecond)
		}
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := p.Reload(context.Background(), cfg, phpSpec(t)); err != nil {
				var boot *BootError
				if !errors.As(err, &boot) { // one was killed while it booted
					t.Error(err)
				}
			}
			<-time.After(time.Duration(rand.IntN(300)) * time.Millisecond)
		}
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := p.Add(context.Background()); err != nil {
				t.Error(err)
			}
			if err := p.Remove(context.Background()); err != nil {
				t.Error(err)
			}
			if err := p.Probe(ctx); err != nil {
				t.Error(err)
			}
			p.check(t)
		}
	})
	wg.Wait()
	p.check(t)
	if f, k := failed.Load(), kills.Load(); f > k {
		t.Errorf("%d requests failed by %d kills", f, k)
	}
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !t.Failed() {
			return
		}
		g := p.gen
		t.Logf("target %d, live %d, booting %d, extra %d; places %d of %d, %d of them start", g.target, g.live, g.booting, g.extra, p.crowd(), p.most(), p.starting)
		for m := range p.members {
			t.Logf("%d of %d: idle %v, busy %v, gone %v, %s %s, %s old", m.w.PID(), m.gen.number, m.idle, m.busy, m.gone, m.w.State(), m.w.Cause(), time.Since(m.w.Created()))
		}
	}()
	// On a busy machine a worker may take longer to boot than it may live then.
	cfg.Supervisor = nil
	if err := p.Reload(context.Background(), cfg, phpSpec(t)); err != nil {
		t.Error(err)
	}
	eventually(t, "all workers to be free", func() bool {
		s := p.Stats()
		return s.Working == 0 && s.Ready == s.Target && s.Waiting == 0
	})
	p.mu.Lock()
	equal(t, "active", p.active, 0)
	p.mu.Unlock()
	t.Logf("%d calls, %d streams, %d kills, %d failed, %d reloads, %d ends",
		calls.Load(), streams.Load(), kills.Load(), failed.Load(), len(r.all(Reloaded)), len(r.all(WorkerStopped)))
}

// check tests what must hold at any moment.
func (p *Pool) check(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue.idle) > 0 && p.queue.first() != nil {
		t.Error("workers are free while requests wait")
	}
	live, stuck := 0, 0
	for m := range p.members {
		if m.stuck {
			stuck++
		}
		if m.idle && (m.busy || m.gone) {
			t.Error("a free worker is in use or gone")
		}
		if m.gen == p.gen && !m.gone {
			live++
		}
	}
	for _, m := range p.queue.idle {
		if !m.idle || m.gen != p.gen && !m.gen.rolling {
			t.Error("a worker is free that is not of this generation")
		}
	}
	if stuck != p.stuck || p.starting < p.gen.booting {
		t.Errorf("%d members cannot be ended, counted %d; %d start, counted %d", stuck, p.stuck, p.gen.booting, p.starting)
	}
	if live != p.gen.live {
		t.Errorf("%d workers live, counted %d", live, p.gen.live)
	}
	if p.gen.live+p.gen.booting < p.gen.target && !p.retrying && p.crowd() < p.most() {
		t.Errorf("%d of %d workers, %d start, and no retry is planned", live, p.gen.target, p.gen.booting)
	}
}
