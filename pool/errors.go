package pool

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/cgroup"
	"github.com/rr-systemd/rrd/pool/worker"
)

// BootError says why a worker did not become ready; Start, Reload and Add
// return it wrapped.
type BootError = worker.BootError

// ErrWorkersFull is returned by Add at the limit of workers.
var ErrWorkersFull = errors.New("container is full, maximum number of workers reached")

func allocateError(err error) error {
	return fmt.Errorf("static_pool_allocate_workers: WorkerAllocate: %w", err)
}

func noFreeWorkers(waited time.Duration, cause error) error {
	err := fmt.Errorf("static_pool_exec: NoFreeWorkers: %w after %s", ipc.ErrNoFreeWorkers, waited.Round(time.Millisecond))
	if cause != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

func queueFull() error {
	return fmt.Errorf("static_pool_exec: QueueSize: %w", ipc.ErrQueueFull)
}

// WorkerError says that a worker failed while it had the payload. It matches
// ipc.ErrWorkerFailed, or ipc.ErrExecTTL if that was the reason.
type WorkerError struct {
	PID    int
	Cause  worker.Cause
	Exit   worker.Exit // how the process ended, if that is known already
	Stderr []string    // the last lines it wrote
	OOM    *cgroup.OOM // if it was killed for want of memory
	Err    error       // what the channel reported
	kind   error
}

func (e *WorkerError) Error() string {
	if e.kind == ipc.ErrExecTTL {
		return "worker_exec_with_timeout: ExecTTL: context deadline exceeded"
	}
	var b strings.Builder
	b.WriteString("sync_worker_receive_frame: ")
	var broken *ipc.ProtocolError
	switch {
	case errors.As(e.Err, &broken) && (strings.HasPrefix(broken.Reason, "options length") || strings.HasPrefix(broken.Reason, "bad payload")):
		b.WriteString("Decode: ")
	default:
		b.WriteString("Network: ")
	}
	if errors.Is(e.Err, io.EOF) {
		b.WriteString("EOF")
	} else {
		b.WriteString(e.Err.Error())
	}
	if e.OOM != nil {
		fmt.Fprintf(&b, " (worker %d: %s)", e.PID, e.OOM)
	} else if e.Exit.Known {
		fmt.Fprintf(&b, " (worker %d: %s)", e.PID, e.Exit)
	}
	return b.String()
}

// Why names the cause: exec_ttl, exit, oom, ...
func (e *WorkerError) Why() string { return e.Cause.String() }

func (e *WorkerError) Unwrap() []error { return []error{e.kind, e.Err} }
