package pool

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc"
)

// BenchmarkDeath kills the worker of a running request; the time is from the signal to
// the error of the request. Beyond what the process alone takes to end, which is
// measured beside it, that should stay below 5 ms on every way to the worker: the kernel
// tells of the end, and nothing is polled.
func BenchmarkDeath(b *testing.B) {
	b.Run("process alone", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			cmd := exec.Command("php", "-r", "echo 1; sleep(3600);")
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				b.Fatal(err)
			}
			if _, err := out.Read(make([]byte, 1)); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	for _, transport := range []string{"slots", "memory", "pipes"} {
		b.Run(transport, func(b *testing.B) {
			p, _ := newPool(b, Config{NumWorkers: 1}, withSlots(b, transport))
			for b.Loop() {
				b.StopTimer()
				pid := mustPID(b, p) // one that has answered is replaced without a pause
				failed, begun := make(chan error, 1), filepath.Join(b.TempDir(), "begun")
				go func() { _, err := do(p, "wait "+begun); failed <- err }()
				eventually(b, "the request to run", func() bool { _, err := os.Stat(begun); return err == nil })
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
