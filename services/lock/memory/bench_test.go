package memory

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/services/lock"
)

// BenchmarkLockRelease is a lock and its release, each goroutine on a resource of
// its own, and all on one.
func BenchmarkLockRelease(b *testing.B) {
	for _, shared := range []bool{false, true} {
		b.Run(map[bool]string{false: "apart", true: "shared"}[shared], func(b *testing.B) {
			l := New()
			defer l.Close()
			var n atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				id := fmt.Sprint(n.Add(1))
				q := lock.Request{Resource: "r", ID: id, TTL: time.Minute, Wait: time.Minute}
				if !shared {
					q.Resource = id
				}
				for pb.Next() {
					if g, err := l.Acquire(b.Context(), q); !g.OK || err != nil {
						b.Error(g, err)
						return
					}
					_, _ = l.Release(b.Context(), q.Resource, id)
				}
			})
		})
	}
}
