package pool

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/worker"
)

// crowding watches the number of processes until stop, which returns the highest.
func crowding(p *Pool) (stop func() int) {
	done, most := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			p.mu.Lock()
			// Not crowd(), which is what the pool counts itself.
			now := p.gen.booting
			for m := range p.members {
				if m.w.Alive() {
					now++
				}
			}
			p.mu.Unlock()
			n = max(n, now)
			select {
			case <-done:
				most <- n
				return
			case <-time.After(200 * time.Microsecond):
			}
		}
	}()
	return func() int {
		close(done)
		return <-most
	}
}

// Workers that are replaced after each request and take their time to end do not
// pile up.
func TestSlowExitsDoNotPileUp(t *testing.T) {
	for name, c := range map[string]struct {
		reload *Reload
		most   int
	}{"no surge": {nil, 4}, "surge": {&Reload{Surge: 1}, 3}} {
		t.Run(name, func(t *testing.T) {
			p, r := newPool(t, Config{NumWorkers: 2, MaxJobs: 1, Reload: c.reload}, withSpec(phpSpec(t, "slowexit", "150")))
			most := crowding(p)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 3 {
						mustDo(t, p, "echo")
					}
				})
			}
			wg.Wait()
			if n := most(); n > c.most || n <= 2 {
				t.Errorf("%d processes, at most %d are allowed", n, c.most)
			}
			for _, cause := range r.causes(t, 12) {
				equal(t, "cause", cause, worker.MaxJobs)
			}
			p.check(t)
		})
	}
}

// Reloads one after the other do not add a generation each, however long the
// requests of the old ones take.
func TestReloadsDoNotPileUp(t *testing.T) {
	for name, c := range map[string]struct {
		reload *Reload
		most   int
	}{"no surge": {nil, 4}, "surge": {&Reload{Surge: 1}, 3}} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{NumWorkers: 2, ResetTimeout: 400 * time.Millisecond, Reload: c.reload}
			p, _ := newPool(t, cfg)
			most := crowding(p)
			for range 2 {
				var streams []ipc.Stream
				for range 2 { // a stream holds its worker until it is closed
					s, err := p.Exec(context.Background(), payload("stream 2"))
					if err != nil {
						t.Fatal(err)
					}
					streams = append(streams, s)
				}
				if err := p.Reload(context.Background(), cfg, phpSpec(t)); err != nil {
					t.Fatal(err)
				}
				for _, s := range streams {
					defer s.Close()
				}
			}
			equal(t, "answer", mustDo(t, p, "echo"), "echo")
			if n := most(); n > c.most || n <= 2 {
				t.Errorf("%d processes, at most %d are allowed", n, c.most)
			}
			equal(t, "generation", p.Stats().Generation, 3)
			p.check(t)
		})
	}
}

// A reload that waits for room goes on when Add has made the pool larger.
func TestAddMakesRoomForReload(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	open := func() {
		if err := os.WriteFile(gate, nil, 0o600); err != nil {
			t.Error(err)
		}
	}
	open()
	cfg := Config{NumWorkers: 1, ResetTimeout: time.Hour}
	p, _ := newPool(t, cfg, withSpec(phpSpec(t, "await", gate)))
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	added, reloaded := make(chan error, 1), make(chan error, 1)
	go func() { added <- p.Add(context.Background()) }()
	waits := func(ok func() bool) func() bool {
		return func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return ok()
		}
	}
	eventually(t, "the start of a worker", waits(func() bool { return p.starting == 1 }))
	go func() { reloaded <- p.Reload(context.Background(), cfg, phpSpec(t)) }()
	eventually(t, "the reload to need room", waits(func() bool { return p.ceiling > 0 }))
	open()
	if err := <-added; err != nil {
		t.Error(err)
	}
	select {
	case err := <-reloaded:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the reload still waits for room")
	}
	eventually(t, "two workers", func() bool { return p.Stats().Workers == 2 })
	p.check(t)
}

// A process that not even SIGKILL ends does not keep its place for ever.
func TestStuckProcessGivesItsPlaceBack(t *testing.T) {
	p := bare(Config{}, 1)
	p.members = map[*member]struct{}{}
	p.shrunk = make(chan struct{}, 1)
	p.halted = true // nothing is started
	var list []*member
	for range 2 {
		m := &member{gen: p.gen}
		p.members[m] = struct{}{}
		list = append(list, m)
	}
	equal(t, "room", p.most()-p.crowd(), 0)
	for range 2 {
		p.giveUpOn(list[0])
	}
	equal(t, "room", p.most()-p.crowd(), 1)
	delete(p.members, list[1])
	p.giveUpOn(list[1]) // ended meanwhile
	equal(t, "room", p.most()-p.crowd(), 2)
}
