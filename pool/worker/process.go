package worker

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/pool/cgroup"
	"github.com/rr-systemd/rrd/pool/isolate"
)

// drainTime is how long the output is read after the process has ended. It only
// matters when a child of the worker still holds the descriptor.
const drainTime = 100 * time.Millisecond

// Exit is how a process ended.
type Exit struct {
	Known    bool           // false: not ended, or its status was lost
	Code     int            // exit status, -1 if a signal ended it
	Signal   syscall.Signal // 0 if it exited
	CoreDump bool
	MaxRSS   uint64 // bytes, the highest resident size it ever had
}

func (e Exit) String() string {
	switch {
	case !e.Known:
		return "status unknown"
	case e.Signal != 0 && e.CoreDump:
		return fmt.Sprintf("signal: %v (core dumped)", e.Signal)
	case e.Signal != 0:
		return fmt.Sprintf("signal: %v", e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// Process is a started program. It is waited for by the runtime poller through
// its pidfd, so that an idle worker costs no thread.
type Process struct {
	pid    int
	pidfd  *os.File // nil where the kernel has none
	output *output
	stderr *outputPipe
	stdout *outputPipe // nil: stdout carries frames, or goes to stderr; see readStdout
	leaf   *cgroup.Leaf
	tmp    *isolate.Tmp // its folder for temporary files, nil for none
	alone  bool         // see Program
	oom    cgroup.OOM

	mu     sync.Mutex // a signal is never sent after the pid was given back
	reaped bool
	ending bool // stdout is not read any more
	exit   Exit
	ended  func() // called as soon as the process has ended; see onEnd
	done   chan struct{}

	requestMu sync.Mutex
	request   Request

	reading sync.WaitGroup // goroutines that read the output
}

func newProcess(pid, pidfd int, r *os.File, spec *Spec) *Process {
	p := &Process{pid: pid, leaf: spec.Leaf, alone: spec.alone, done: make(chan struct{})}
	p.output = &output{out: Output{PID: pid, Generation: spec.Generation}, sink: spec.Stderr}
	p.stderr = p.output.pipe(r, false)
	if pidfd >= 0 {
		// Non-blocking is what makes os.NewFile hand it to the poller.
		if unix.SetNonblock(pidfd, true) == nil {
			p.pidfd = os.NewFile(uintptr(pidfd), "pidfd")
		} else {
			unix.Close(pidfd)
		}
	}
	return p
}

// PID is the process id, also after the end.
func (p *Process) PID() int { return p.pid }

// Done is closed when the process is reaped and its output is read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit is how the process ended; it is known once Done is closed.
func (p *Process) Exit() Exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

// StderrTail returns the last lines that the process wrote to stderr and, where it
// carries no frames, to stdout.
func (p *Process) StderrTail() []string { return p.output.tail() }

// beginOutput makes what the process prints from now on belong to the request id.
func (p *Process) beginOutput(id string) {
	p.stderr.catchUp()
	p.stdout.catchUp()
	p.output.begin(id)
}

// readStdout makes stdout, of which text was read before, a part of the output.
func (p *Process) readStdout(r *os.File, text []byte) {
	out := p.output.pipe(r, true)
	p.output.mu.Lock()
	if len(text) > 0 {
		out.used.Store(true)
		out.add(text)
	}
	p.output.mu.Unlock()
	p.mu.Lock()
	p.stdout = out
	ending := p.ending
	if !ending {
		p.reading.Go(out.pump)
	}
	p.mu.Unlock()
	if ending { // there is at most what it left in the pipe
		out.stopAfter(drainTime)
		out.pump()
	}
}

// Signal sends sig to the process and all others of its group. A process that
// has ended is not an error.
func (p *Process) Signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return
	}
	// The child makes itself leader of its group before exec, so the group
	// exists as long as the process is not reaped.
	_ = unix.Kill(-p.pid, sig)
}

// Kill ends the process and its whole group at once.
func (p *Process) Kill() {
	p.Signal(unix.SIGKILL)
	_ = p.leaf.Kill()
}

// Leaf is the control group of the process, which counts on after its end.
func (p *Process) Leaf() *cgroup.Leaf {
	if p == nil {
		return nil
	}
	return p.leaf
}

// alive reports whether the process still runs, without waiting for anybody
// else's goroutine to notice.
func (p *Process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.reaped && !p.dead()
}

// dead reports whether the process has ended and is not reaped. p.mu is held.
func (p *Process) dead() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, p.pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err != nil || info.Signo != 0
}

// onEnd has f called as soon as the process has ended; long before Done, which waits
// for its output.
func (p *Process) onEnd(f func()) {
	p.mu.Lock()
	p.ended = f
	reaped := p.reaped
	p.mu.Unlock()
	if reaped {
		f()
	}
}

// run reads the output and waits for the end.
func (p *Process) run() {
	p.reading.Go(p.stderr.pump)
	p.wait()
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	if ended != nil {
		ended()
	}
	_ = p.leaf.Kill() // what it started ends with it, and lets go of its output
	p.stderr.stopAfter(drainTime)
	p.mu.Lock()
	p.ending = true
	if p.stdout != nil {
		p.stdout.stopAfter(drainTime)
	}
	p.mu.Unlock()
	p.reading.Wait()
	if p.pidfd != nil {
		p.pidfd.Close()
	}
	_ = p.tmp.Remove() // what fails, the next daemon sweeps
	if p.alone {
		p.oom, _ = p.leaf.OOM()
		_ = p.leaf.Close()
	}
	close(p.done)
}

func (p *Process) wait() {
	if p.pidfd != nil {
		if rc, err := p.pidfd.SyscallConn(); err == nil {
			if rc.Read(func(uintptr) bool { return p.reap() }) == nil {
				return
			}
		}
	}
	// No pidfd, or one that cannot be polled: a thread has to wait. WNOWAIT
	// keeps the pid ours until reap takes it under the lock.
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, p.pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	p.reap()
}

// reap collects the exit status if there is one.
func (p *Process) reap() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.alone && p.dead() {
		// As long as the process is not reaped its group cannot be another's.
		_ = unix.Kill(-p.pid, unix.SIGKILL)
	}
	var ws unix.WaitStatus
	var ru unix.Rusage
	for {
		pid, err := unix.Wait4(p.pid, &ws, unix.WNOHANG, &ru)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil: // ECHILD: somebody else reaped it
			p.reaped = true
			return true
		case pid == 0:
			return false
		}
		break
	}
	p.reaped = true
	p.exit = Exit{Known: true, Code: ws.ExitStatus(), MaxRSS: uint64(ru.Maxrss) << 10}
	if ws.Signaled() {
		p.exit.Signal, p.exit.CoreDump = syscall.Signal(ws.Signal()), ws.CoreDump()
	}
	return true
}
