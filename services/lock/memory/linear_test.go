package memory

import (
	"testing"

	"github.com/rr-systemd/rrd/services/lock"
	"github.com/rr-systemd/rrd/services/lock/locktest"
)

func TestLinearizable(t *testing.T) {
	locktest.Linearizable(t, 20, func(int) []lock.Locker {
		l := New()
		t.Cleanup(func() { _ = l.Close() })
		return []lock.Locker{l}
	})
}

func TestMutualExclusion(t *testing.T) {
	l := New()
	defer l.Close()
	locktest.MutualExclusion(t, l)
}
