package worker

import (
	"time"

	"golang.org/x/sys/unix"
)

// How long each step of an end may take. The first is RoadRunner's and fixed
// there as well: PHP applications count on it for their shutdown functions.
const (
	StopTimeout = 10 * time.Second // from the stop frame to SIGTERM
	TermGrace   = 2 * time.Second  // from SIGTERM to SIGKILL
	killGrace   = 5 * time.Second  // a killed process that is still there hangs in the kernel
	sendTimeout = time.Second      // for writing the stop frame
)

// Stop ends an idle worker: stop frame, SIGTERM, SIGKILL of the group. It
// returns when the process is gone, or after a bounded time when not even
// SIGKILL helps (a process in uninterruptible sleep); the Spawner then still
// waits for it. Only the goroutine that owns the worker may call it.
func (w *Worker) Stop() {
	_ = w.To(Stopping)
	_ = w.Channel.SetDeadline(time.Now().Add(sendTimeout))
	if w.Channel.SendStop() == nil && w.Gone(StopTimeout) {
		return
	}
	w.Terminate()
}

// Terminate ends a worker that has a payload or does not listen: SIGTERM, and
// SIGKILL after a grace.
func (w *Worker) Terminate() {
	w.Signal(unix.SIGTERM)
	if !w.Gone(TermGrace) {
		w.Destroy()
	}
}

// Destroy ends a worker at once.
func (w *Worker) Destroy() {
	w.Kill()
	w.Gone(killGrace)
}

// Gone waits at most d for the end of the process and reports whether it came.
func (p *Process) Gone(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.done:
		return true
	case <-t.C:
		return false
	}
}

// StopLimit is the longest that Stop takes.
const StopLimit = sendTimeout + StopTimeout + TermGrace + killGrace
