package pool

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc"
)

// The cost of handing a worker out and taking it back, without the worker: it must
// not depend on how many there are.
func BenchmarkDispatch(b *testing.B) {
	for _, n := range []int{1, 4, 64, 512} {
		b.Run(fmt.Sprintf("workers=%d", n), func(b *testing.B) {
			p := bare(Config{}, n)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				m, err := p.acquire(ctx, &ipc.Payload{}, false)
				if err != nil {
					b.Fatal(err)
				}
				p.back(m)
			}
		})
		b.Run(fmt.Sprintf("workers=%d/contended", n), func(b *testing.B) {
			p := bare(Config{}, n)
			ctx := context.Background()
			b.ReportAllocs()
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					m, err := p.acquire(ctx, &ipc.Payload{}, false)
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

// waiting is a pool whose workers are all busy, with n requests in its queue, and
// one of the workers.
func waiting(b *testing.B, workers, n int) (*Pool, *member) {
	p := bare(Config{MaxQueueSize: n}, workers)
	var m *member
	for range workers {
		var err error
		if m, err = p.acquire(context.Background(), &ipc.Payload{}, false); err != nil {
			b.Fatal(err)
		}
	}
	for range n {
		p.queue.push(p.tickets.get())
	}
	return p, m
}

// The cost of a request that waits: it joins the queue, and a worker that becomes
// free goes to the first. It must not depend on how many wait.
func BenchmarkWait(b *testing.B) {
	for _, workers := range []int{1, 4, 64, 512} {
		for _, n := range []int{1, 100, 10_000} {
			b.Run(fmt.Sprintf("workers=%d/waiting=%d", workers, n), func(b *testing.B) {
				p, m := waiting(b, workers, n)
				b.ReportAllocs()
				for b.Loop() {
					t := p.tickets.get()
					t.timer.Reset(time.Hour)
					p.mu.Lock()
					p.queue.push(t)
					first := p.queue.first()
					p.queue.give(m)
					p.mu.Unlock()
					<-first.ready
					p.tickets.put(first)
				}
			})
		}
	}
}

// The cost of saying no: the queue is full.
func BenchmarkRefuse(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("waiting=%d", n), func(b *testing.B) {
			p, _ := waiting(b, 4, n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.acquire(context.Background(), &ipc.Payload{}, false); err == nil {
					b.Fatal("there is room")
				}
			}
		})
	}
}

// BenchmarkStart64 starts and stops 64 PHP workers; the time is that of the start.
func BenchmarkStart64(b *testing.B) {
	for b.Loop() {
		p, err := New(Options{Name: "bench", Config: Config{NumWorkers: 64}, Spec: phpSpec(b), Spawner: spawner})
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Start(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := p.Stop(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkReload64 exchanges 64 PHP workers, at once and in steps.
func BenchmarkReload64(b *testing.B) {
	for _, surge := range []int{0, 8} {
		b.Run(fmt.Sprintf("surge=%d", surge), func(b *testing.B) {
			cfg := Config{NumWorkers: 64, Reload: &Reload{Surge: surge}}
			p, _ := newPool(b, cfg)
			for b.Loop() {
				if err := p.Reload(context.Background(), cfg, phpSpec(b)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
