package service

import (
	"syscall"
	"time"
)

// Spawner starts programs.
type Spawner interface {
	// Spawn starts a program, with all that it will start in a group of its own.
	Spawn(Program) (Process, error)
}

// Program is one process to be started.
type Program struct {
	Argv []string
	Env  map[string]string // on top of the daemon's
	User string            // "": the daemon's
	// Output gets what it writes to stdout and stderr, as it was written. Calls
	// do not overlap, and the bytes are valid only during the call.
	Output func(pid int, chunk []byte)
}

// Process is a started program.
type Process interface {
	PID() int
	// Done is closed when the process, and what it started, has ended and its
	// output was read.
	Done() <-chan struct{}
	// Exit is how it ended, "" for status 0.
	Exit() string
	// Signal reaches the process and its group; SIGKILL all that it started.
	Signal(syscall.Signal)
	// Usage is memory in bytes and CPU time, false when the process is gone.
	Usage() (memory uint64, cpu time.Duration, ok bool)
}
