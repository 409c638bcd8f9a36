package pool

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc"
)

// BenchmarkDeath kills the worker of a running request; the time is from the signal to
// the error of the request. It should stay below 5 ms on every way to the worker: the
// kernel tells of the end, and nothing is polled. On a busy machine it is the time that
// the kernel and PHP take to end the process.
func BenchmarkDeath(b *testing.B) {
	for _, transport := range []string{"slots", "memory", "pipes"} {
		b.Run(transport, func(b *testing.B) {
			p, _ := newPool(b, Config{NumWorkers: 1}, withSlots(b, transport))
			for b.Loop() {
				b.StopTimer()
				pid := mustPID(b, p) // one that has answered is replaced without a pause
				failed := make(chan error, 1)
				go func() { _, err := do(p, "sleep 60000000"); failed <- err }()
				eventually(b, "a running request", func() bool { return p.Stats().Working == 1 })
				b.StartTimer()
				if err := unix.Kill(pid, unix.SIGKILL); err != nil {
					b.Fatal(err)
				}
				if err := <-failed; !errors.Is(err, ipc.ErrWorkerFailed) {
					b.Fatal(err)
				}
			}
		})
	}
}
