package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc"
)

// allocateTimeout is RoadRunner's text for a worker that did not answer in time.
const allocateTimeout = "failed to spawn a worker, possible reasons: https://docs.roadrunner.dev/error-codes/allocate-timeout"

// BootError says why a worker did not become ready. Its text is RoadRunner's
// cause; what a person needs to mend it is in the other fields.
type BootError struct {
	Text   string
	Argv   []string
	Dir    string
	Exit   Exit     // how the process ended, if there was one
	Stderr []string // the last lines it wrote
	Hint   string   // the likely fix, may be ""
	Err    error
}

func (e *BootError) Error() string { return e.Text }

func (e *BootError) Unwrap() error { return e.Err }

// Explain is the whole story in several lines, for a terminal or a log.
func (e *BootError) Explain() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  command: %s\n", strings.TrimSpace(e.Text), strings.Join(e.Argv, " "))
	if e.Dir != "" {
		fmt.Fprintf(&b, "  directory: %s\n", e.Dir)
	}
	if e.Exit.Known {
		fmt.Fprintf(&b, "  ended with: %s\n", e.Exit)
	}
	for i, line := range e.Stderr {
		if i == 0 {
			b.WriteString("  stderr:\n")
		}
		fmt.Fprintf(&b, "    %s\n", line)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "  hint: %s\n", e.Hint)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// bootError builds a BootError; p is nil if no process was started.
func bootError(spec *Spec, p *Process, err error) *BootError {
	e := &BootError{Text: err.Error(), Argv: spec.Argv, Dir: spec.Dir, Err: err}
	if p != nil {
		e.Exit = p.Exit()
		e.Stderr = p.StderrTail()
		if o, _ := p.Leaf().OOM(); o.Incidents > 0 && e.Exit.Signal == unix.SIGKILL {
			e.Hint = o.String() + "; raise limits.memory of the pool, or what the unit may use (MemoryMax=)"
			e.Text = "out of memory"
			return e
		}
	}
	var broken *ipc.ProtocolError
	switch {
	case errors.As(err, &broken):
		e.Hint = broken.Hint()
	case errors.Is(err, context.DeadlineExceeded):
		e.Text = allocateTimeout
		e.Hint = "the process runs but never answered; the script must create its RoadRunner worker and wait for requests; a slow start needs a larger pool.allocate_timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if errors.Is(err, io.EOF) {
			e.Text = "EOF"
		}
		e.Hint = exitHint(e.Exit)
	case errors.Is(err, exec.ErrNotFound):
		e.Hint = fmt.Sprintf("%q is not in PATH; install it or give its absolute path in server.command", spec.Argv[0])
	case errors.Is(err, exec.ErrDot):
		e.Hint = "write ./ in front of a command in the current directory"
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "check that server.user may execute the command and enter the working directory"
	case errors.Is(err, fs.ErrNotExist):
		e.Hint = "check server.command and the working directory"
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOMEM):
		e.Hint = "the system is out of processes or memory; use fewer workers or raise TasksMax= and MemoryMax="
	}
	return e
}

func exitHint(exit Exit) string {
	switch {
	case !exit.Known:
		return ""
	case exit.Signal == unix.SIGKILL:
		return "the worker was killed, perhaps for want of memory (journalctl -k)"
	case exit.Signal != 0:
		return "PHP crashed; look at stderr and disable extensions one by one"
	case exit.Code == 0:
		return "the script ended at once; it must create its RoadRunner worker and wait for requests in a loop"
	case exit.Code == 255:
		return "PHP stopped with a fatal error; it is in stderr if display_errors=stderr, else in PHP's error_log"
	case exit.Code == 126, exit.Code == 127:
		return "the command was not found or may not be executed, or a library of it could not be loaded (limits.as and isolation of the pool may be too narrow)"
	}
	return "run the command by hand to see its error"
}
