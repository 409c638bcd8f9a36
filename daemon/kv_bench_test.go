package daemon

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/kv/kvv1"
)

// BenchmarkKV calls a storage in memory over the unix socket and reports what the
// daemon's process takes for a call, of the CPU's time (cpu-us/op, from /proc).
//
//	go test ./daemon -run '^$' -bench KV -benchtime 100000x
func BenchmarkKV(b *testing.B) {
	dir := b.TempDir()
	config := filepath.Join(dir, "app.yaml")
	if err := os.WriteFile(config, []byte(kvOnly), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin, "rrd"), "--config", config)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}()
	dsn := "unix://" + filepath.Join(dir, "rpc.sock")
	dial := func() *rpc.Client {
		deadline := time.Now().Add(limit)
		for {
			c, err := rpc.Dial(b.Context(), dsn)
			if err == nil {
				return c
			}
			if time.Now().After(deadline) {
				b.Fatal(err)
			}
			<-time.After(10 * time.Millisecond)
		}
	}
	value := make([]byte, 100)
	for _, clients := range []int{1, 32, 1000} {
		for _, call := range []struct {
			name string
			item *kvv1.Item
		}{
			{"MGet", &kvv1.Item{Key: "key"}},
			{"Set", &kvv1.Item{Key: "key", Value: value, Timeout: "2099-01-01T00:00:00+00:00"}},
		} {
			b.Run(fmt.Sprintf("%s/clients=%d", call.name, clients), func(b *testing.B) {
				conns := make([]*rpc.Client, clients)
				for i := range conns {
					conns[i] = dial()
					defer conns[i].Close()
				}
				one := func(ctx context.Context, c *rpc.Client) error {
					return c.Call(ctx, "kv."+call.name, rpc.Proto, &kvv1.Request{Storage: "cache", Items: []*kvv1.Item{call.item}}, new(kvv1.Response))
				}
				if err := conns[0].Call(b.Context(), "kv.Set", rpc.Proto, &kvv1.Request{Storage: "cache", Items: []*kvv1.Item{{Key: "key", Value: value}}}, new(kvv1.Response)); err != nil {
					b.Fatal(err)
				}
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				before := cpuTime(b, cmd.Process.Pid)
				b.ResetTimer()
				for _, c := range conns {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							if err := one(b.Context(), c); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				took := cpuTime(b, cmd.Process.Pid) - before
				b.ReportMetric(float64(took.Microseconds())/float64(b.N), "cpu-us/op")
			})
		}
	}
}

// cpuTime is what a process has had of the CPU, user and system, in steps of 10 ms.
func cpuTime(b *testing.B, pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // from the third of proc(5) on
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
