package pool

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/worker"
)

// A worker that ends, or stalls, after any byte of its answer costs one request
// one clear error, and is replaced.
func TestAnswerCutAtEveryByte(t *testing.T) {
	cfg := Config{NumWorkers: 1, Supervisor: &Supervisor{WatchTick: time.Second, ExecTTL: 400 * time.Millisecond}}
	p, r := newPool(t, cfg, withSpec(echoSpec()))
	const length = 12 + 4 + len("ctx") + len("stall 00")
	ends := 0
	for _, how := range []string{"cut", "stall"} {
		step := 1
		if how == "stall" {
			step = 7 // each of them takes exec_ttl
		}
		for n := 0; n < length-2; n += step {
			// What answers is not what ends at once: no loop of failed starts.
			equal(t, "answer", mustDo(t, p, "echo"), "echo")
			_, err := do(p, fmt.Sprintf("%s %02d", how, n))
			want := ipc.ErrWorkerFailed
			if how == "stall" {
				want = ipc.ErrExecTTL
			}
			var we *WorkerError
			if !errors.Is(err, want) || !errors.As(err, &we) {
				t.Fatalf("%s at byte %d: %v", how, n, err)
			}
			ends++
		}
	}
	equal(t, "answer", mustDo(t, p, "echo"), "echo")
	for _, c := range r.causes(t, ends) {
		if c != worker.Exited && c != worker.ExecTTL && c != worker.Protocol {
			t.Errorf("cause %s", c)
		}
	}
	equal(t, "ends", len(r.all(WorkerStopped)), ends)
	p.check(t)
}
