package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rr-systemd/rrd/ipc"
)

// TestQueueModel compares the queue with two plain slices.
func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		var idle []*member     // model: free workers, last one is handed out first
		var lines [3][]*ticket // model: who waits, by priority
		var used []*member     // with a request
		var served []*ticket   // got a worker
		// turn is what the model does with a worker that becomes free.
		turn := func(m *member) {
			for {
				i := slices.IndexFunc(lines[:], func(l []*ticket) bool { return len(l) > 0 })
				if i < 0 {
					break
				}
				first := lines[i][0]
				lines[i] = lines[i][1:]
				if first.probe {
					if got := <-first.ready; got != nil {
						t.Fatal("a probe got a worker")
					}
					continue
				}
				if got := <-first.ready; got != m {
					t.Fatal("the first in the line did not get the worker")
				}
				used, served = append(used, m), append(served, first)
				return
			}
			idle = append(idle, m)
		}
		t.Repeat(map[string]func(*rapid.T){
			"new worker": func(*rapid.T) {
				m := &member{}
				q.give(m)
				turn(m)
			},
			"request": func(t *rapid.T) {
				m := q.take()
				if len(idle) > 0 {
					if want := idle[len(idle)-1]; m != want {
						t.Fatal("not the worker that was used last")
					}
					idle = idle[:len(idle)-1]
					used = append(used, m)
					return
				}
				if m != nil {
					t.Fatal("a worker from nowhere")
				}
				i := lineOf(rapid.SampledFrom([]ipc.Priority{ipc.Normal, ipc.High, ipc.Low}).Draw(t, "priority"))
				k := &ticket{ready: make(chan *member, 1), probe: rapid.IntRange(0, 4).Draw(t, "probe") == 0, line: i}
				if rapid.IntRange(0, 4).Draw(t, "again") == 0 {
					q.pushFront(k)
					lines[i] = slices.Insert(lines[i], 0, k)
				} else {
					q.push(k)
					lines[i] = append(lines[i], k)
				}
			},
			"answer": func(t *rapid.T) {
				if len(used) == 0 {
					t.Skip("none works")
				}
				i := rapid.IntRange(0, len(used)-1).Draw(t, "i")
				m := used[i]
				used = slices.Delete(used, i, i+1)
				q.give(m)
				turn(m)
			},
			"give up": func(t *rapid.T) {
				l := rapid.IntRange(0, 2).Draw(t, "line")
				if len(lines[l]) == 0 {
					t.Skip("none waits")
				}
				i := rapid.IntRange(0, len(lines[l])-1).Draw(t, "i")
				if !q.drop(lines[l][i]) || q.drop(lines[l][i]) {
					t.Fatal("a waiting ticket leaves exactly once")
				}
				lines[l] = slices.Delete(lines[l], i, i+1)
			},
			"give up late": func(t *rapid.T) {
				for _, k := range served {
					if q.drop(k) {
						t.Fatal("a served ticket still waits")
					}
				}
			},
			"worker ends": func(t *rapid.T) {
				if len(idle) == 0 {
					t.Skip("none is free")
				}
				i := rapid.IntRange(0, len(idle)-1).Draw(t, "i")
				if !q.remove(idle[i]) || q.remove(idle[i]) {
					t.Fatal("a free worker is removed exactly once")
				}
				idle = slices.Delete(idle, i, i+1)
			},
			"": func(t *rapid.T) {
				if !slices.Equal(q.idle, idle) {
					t.Fatal("free workers differ")
				}
				waiting := 0
				for i, line := range lines {
					k := q.lines[i].first
					for _, want := range line {
						if k != want {
							t.Fatal("the line differs")
						}
						if !k.probe {
							waiting++
						}
						k = k.next
					}
					if k != nil {
						t.Fatal("the line is too long")
					}
				}
				if q.waiting != waiting || len(idle) > 0 && q.first() != nil {
					t.Fatalf("waiting %d, want %d, %d free", q.waiting, waiting, len(idle))
				}
			},
		})
	})
}

// bare is a pool without processes: only the dispatcher works.
func bare(cfg Config, workers int) *Pool {
	cfg.NumWorkers = Count(max(1, workers))
	cfg.Defaults()
	p := &Pool{drained: make(chan struct{}), gen: &generation{cfg: cfg, target: workers, live: workers}}
	for range workers {
		p.queue.give(&member{gen: p.gen})
	}
	return p
}

func (p *Pool) back(m *member) {
	p.mu.Lock()
	p.queue.give(m)
	p.left()
	p.mu.Unlock()
}

func TestQueueTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bare(Config{AllocateTimeout: time.Second}, 1)
		m, err := p.acquire(context.Background(), &ipc.Payload{}, false)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = p.acquire(context.Background(), &ipc.Payload{}, false)
		if !errors.Is(err, ipc.ErrNoFreeWorkers) {
			t.Errorf("got %v", err)
		}
		equal(t, "waited", time.Since(start), time.Second)

		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		start = time.Now()
		if _, err = p.acquire(ctx, &ipc.Payload{}, false); !errors.Is(err, ipc.ErrNoFreeWorkers) {
			t.Errorf("got %v", err)
		}
		equal(t, "waited", time.Since(start), 300*time.Millisecond)
		left, leave := context.WithCancel(context.Background())
		leave()
		if _, err = p.acquire(left, &ipc.Payload{}, false); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}

		// First come, first served.
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				m, err := p.acquire(context.Background(), &ipc.Payload{}, false)
				if err != nil {
					t.Error(err)
				}
				order <- i
				p.back(m)
			}()
			synctest.Wait()
		}
		p.back(m)
		for i := range 3 {
			equal(t, "order", <-order, i)
		}
		synctest.Wait()
		w := p.Waits()
		equal(t, "at once", w.Counts[0], 4)
		equal(t, "late", w.Late, 2)
		equal(t, "gave up", w.GaveUp, 1)
		p.mu.Lock()
		equal(t, "active", p.active, 0)
		p.mu.Unlock()
	})
}

// A request that is refused is refused at once, and one whose time is up is told
// so at that moment, however many others wait. The clock is one that stands still
// as long as anything runs: no time at all may pass. (What the work itself costs
// is in BenchmarkRefuse.)
func TestRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bare(Config{MaxQueueSize: 1000, AllocateTimeout: time.Minute}, 1)
		m, err := p.acquire(context.Background(), &ipc.Payload{}, false)
		if err != nil {
			t.Fatal(err)
		}
		all, cancel := context.WithCancel(context.Background())
		waits := func(n int) {
			for range n {
				go func() {
					if _, err := p.acquire(all, &ipc.Payload{Priority: ipc.Low}, false); !errors.Is(err, context.Canceled) {
						t.Errorf("got %v", err)
					}
				}()
			}
			synctest.Wait()
		}
		// takes checks when and how a request ends without a worker.
		takes := func(what string, want time.Duration, is error, ctx context.Context, payload ipc.Payload) {
			t.Helper()
			start := time.Now()
			if _, err := p.acquire(ctx, &payload, false); !errors.Is(err, is) {
				t.Errorf("%s: %v", what, err)
			}
			equal(t, what+" takes", time.Since(start), want)
		}
		within := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(context.Background(), d)
			t.Cleanup(cancel)
			return ctx
		}
		waits(999)
		takes("a deadline in the past", 0, ipc.ErrNoFreeWorkers, within(-1), ipc.Payload{})
		takes("a deadline that passes", 5*time.Millisecond, ipc.ErrNoFreeWorkers, within(5*time.Millisecond), ipc.Payload{})
		for _, class := range []ipc.Priority{ipc.High, ipc.Normal, ipc.Low} {
			takes("the wait of the payload", 7*time.Millisecond, ipc.ErrNoFreeWorkers, context.Background(), ipc.Payload{Wait: 7 * time.Millisecond, Priority: class})
		}
		cancel()
		synctest.Wait()
		takes("allocate_timeout", time.Minute, ipc.ErrNoFreeWorkers, context.Background(), ipc.Payload{Wait: time.Hour, Priority: ipc.High})
		all, cancel = context.WithCancel(context.Background())
		waits(1000)
		takes("a full queue", 0, ipc.ErrQueueFull, context.Background(), ipc.Payload{Priority: ipc.High})
		cancel()
		synctest.Wait()
		equal(t, "refused", p.Waits().Full, 1)
		p.back(m)
	})
}

func TestPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bare(Config{}, 1)
		m, err := p.acquire(context.Background(), &ipc.Payload{}, false)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, class := range []ipc.Priority{ipc.Low, ipc.Normal, ipc.High, ipc.Low, ipc.Normal, ipc.High} {
			go func() {
				m, err := p.acquire(context.Background(), &ipc.Payload{Priority: class}, false)
				if err != nil {
					t.Error(err)
				}
				got = append(got, fmt.Sprint([]string{"normal", "high", "low"}[class], i)) // one at a time has the worker
				p.back(m)
			}()
			synctest.Wait()
		}
		p.back(m)
		synctest.Wait()
		if want := []string{"high2", "high5", "normal1", "normal4", "low0", "low3"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
