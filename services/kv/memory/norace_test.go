//go:build !race

package memory_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/services/kv/kvtest"
	"github.com/rr-systemd/rrd/services/kv/memory"
)

// The bound is on real memory: what is counted is what the keys take. The race
// detector takes memory of its own.
func TestAccounting(t *testing.T) {
	for _, size := range []int{8, 100, 1000} {
		var before, after runtime.MemStats
		s := memory.New(memory.Config{MaxMemory: 1 << 40})
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range 50_000 {
			set(t, s, key(i), value(size), kvtest.In(time.Hour))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		real, counted := float64(after.HeapAlloc-before.HeapAlloc), float64(s.Stats().Bytes)
		if ratio := counted / real; ratio < 0.75 || ratio > 1.35 {
			t.Errorf("values of %d bytes: %.0f bytes counted, %.0f taken", size, counted, real)
		}
		runtime.KeepAlive(s)
	}
}
