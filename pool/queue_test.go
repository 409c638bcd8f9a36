package pool

import (
	"context"
	"errors"
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
		var idle []*member   // model: free workers, last one is handed out first
		var line []*ticket   // model: who waits
		var used []*member   // with a request
		var served []*ticket // got a worker
		ticketOf := func(probe bool) *ticket { return &ticket{ready: make(chan *member, 1), probe: probe} }
		// turn is what the model does with a worker that becomes free.
		turn := func(m *member) {
			for len(line) > 0 {
				first := line[0]
				line = line[1:]
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
				k := ticketOf(rapid.IntRange(0, 4).Draw(t, "probe") == 0)
				if rapid.IntRange(0, 4).Draw(t, "again") == 0 {
					q.pushFront(k)
					line = slices.Insert(line, 0, k)
				} else {
					q.push(k)
					line = append(line, k)
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
				if len(line) == 0 {
					t.Skip("none waits")
				}
				i := rapid.IntRange(0, len(line)-1).Draw(t, "i")
				if !q.drop(line[i]) || q.drop(line[i]) {
					t.Fatal("a waiting ticket leaves exactly once")
				}
				line = slices.Delete(line, i, i+1)
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
				k := q.first
				for _, want := range line {
					if k != want {
						t.Fatal("the line differs")
					}
					if !k.probe {
						waiting++
					}
					k = k.next
				}
				if k != nil || q.waiting != waiting {
					t.Fatalf("waiting %d, want %d", q.waiting, waiting)
				}
			},
		})
	})
}

// bare is a pool without processes: only the dispatcher works.
func bare(cfg Config, workers int) *Pool {
	cfg.NumWorkers = max(1, workers)
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
		m, err := p.acquire(context.Background(), false)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = p.acquire(context.Background(), false)
		if !errors.Is(err, ipc.ErrNoFreeWorkers) {
			t.Errorf("got %v", err)
		}
		equal(t, "waited", time.Since(start), time.Second)

		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		start = time.Now()
		if _, err = p.acquire(ctx, false); !errors.Is(err, ipc.ErrNoFreeWorkers) {
			t.Errorf("got %v", err)
		}
		equal(t, "waited", time.Since(start), 300*time.Millisecond)

		// First come, first served.
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				m, err := p.acquire(context.Background(), false)
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
		p.mu.Lock()
		equal(t, "active", p.active, 0)
		p.mu.Unlock()
	})
}

func BenchmarkDispatch(b *testing.B) {
	for _, n := range []int{1, 4, 64, 512} {
		b.Run(itoa(n), func(b *testing.B) {
			p := bare(Config{}, n)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				m, err := p.acquire(ctx, false)
				if err != nil {
					b.Fatal(err)
				}
				p.back(m)
			}
		})
		b.Run(itoa(n)+"-contended", func(b *testing.B) {
			p := bare(Config{}, n)
			ctx := context.Background()
			b.ReportAllocs()
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					m, err := p.acquire(ctx, false)
					if err != nil {
						b.Error(err)
						return
					}
					p.back(m)
				}
			})
		})
	}
}
