package pool

import (
	"context"
	"testing"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/worker"
)

// BenchmarkExec is a whole round trip to a worker process without PHP.
func BenchmarkExec(b *testing.B) {
	for _, n := range []int{1, 4, 64, 512} {
		b.Run("echo-"+itoa(n), func(b *testing.B) {
			if n > MaxWorkers {
				n = MaxWorkers
			}
			benchExec(b, Config{NumWorkers: Count(n)}, echoSpec(), 1)
		})
	}
	b.Run("echo-4-clients-64", func(b *testing.B) { benchExec(b, Config{NumWorkers: 4}, echoSpec(), 32) })
	b.Run("memory-limit", func(b *testing.B) {
		benchExec(b, Config{NumWorkers: 1, Supervisor: &Supervisor{MaxWorkerMemory: 1000}}, echoSpec(), 1)
	})
	b.Run("exec-ttl", func(b *testing.B) {
		benchExec(b, Config{NumWorkers: 1, Supervisor: &Supervisor{ExecTTL: 1e10}}, echoSpec(), 1)
	})
	b.Run("php-1", func(b *testing.B) { benchExec(b, Config{NumWorkers: 1}, phpSpec(b), 1) })
}

func benchExec(b *testing.B, cfg Config, spec worker.Spec, parallel int) {
	p, _ := newPool(b, cfg, withSpec(spec))
	job := &ipc.Payload{Codec: 4, Context: []byte("ctx"), Body: []byte("hello")}
	one := func() {
		s, err := p.Exec(context.Background(), job)
		if err != nil {
			b.Error(err)
			return
		}
		s.Close()
	}
	b.ReportAllocs()
	if parallel == 1 {
		for b.Loop() {
			one()
		}
		return
	}
	b.SetParallelism(parallel)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			one()
		}
	})
}
