package worker

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrSpawnerClosed: Close was called; no process can be started any more.
var ErrSpawnerClosed = errors.New("spawner is closed")

// Spawner starts worker processes, all of them from one thread.
//
// Workers are to die with the daemon even when it is killed, hence the
// parent-death signal. The kernel ties that signal to the thread that forked,
// not to the process, and the Go runtime ends threads at will; so one goroutine
// is locked to one thread for its whole life and does nothing but fork.
type Spawner struct {
	start chan *startRequest
	quit  chan struct{}
	once  sync.Once
	done  chan struct{} // the forking thread has ended
	err   error         // result of Close

	mu     sync.Mutex
	closed bool
	live   map[*Process]struct{}
	wg     sync.WaitGroup // goroutines of the processes
}

type startRequest struct {
	path  string
	argv  []string
	attr  *syscall.ProcAttr
	pid   int
	err   error
	ready chan struct{}
}

// NewSpawner starts the forking thread. The caller must Close it.
func NewSpawner() *Spawner {
	s := &Spawner{
		start: make(chan *startRequest),
		quit:  make(chan struct{}),
		done:  make(chan struct{}),
		live:  make(map[*Process]struct{}),
	}
	go s.run()
	return s
}

func (s *Spawner) run() {
	defer close(s.done)
	// Never unlocked: the thread ends with this goroutine and is not handed to
	// another one that would inherit being the parent of all workers.
	runtime.LockOSThread()
	for {
		select {
		case r := <-s.start:
			// One fork at a time is no loss: syscall.ForkLock serialises them anyway.
			r.pid, r.err = syscall.ForkExec(r.path, r.argv, r.attr)
			close(r.ready)
		case <-s.quit:
			return
		}
	}
}

// Close kills every process that still runs and returns when all of them are
// reaped and the forking thread has ended. It is idempotent. Stop the pools
// first: Close is not graceful. The error names processes that not even SIGKILL
// ends, because they hang in the kernel.
func (s *Spawner) Close() error {
	s.once.Do(func() {
		s.mu.Lock()
		s.closed = true
		for p := range s.live {
			p.Kill()
		}
		s.mu.Unlock()
		reaped := make(chan struct{})
		go func() { // ends with the last process
			defer close(reaped)
			s.wg.Wait()
		}()
		t := time.NewTimer(killGrace)
		defer t.Stop()
		select {
		case <-reaped:
		case <-t.C:
			s.mu.Lock()
			var pids []int
			for p := range s.live {
				pids = append(pids, p.pid)
			}
			s.mu.Unlock()
			s.err = fmt.Errorf("cannot end the worker processes %v: they do not react to SIGKILL", pids)
		}
		close(s.quit)
	})
	<-s.done
	return s.err
}

// spawn starts one process with stdin, stdout and stderr as given. The files
// stay the caller's. stderr is the read end of the pipe that the child writes
// to and belongs to the process from now on, also on error.
func (s *Spawner) spawn(spec *Spec, stdin, stdout, childErr int, stderr *os.File) (*Process, error) {
	path, err := lookPath(spec.Argv)
	if err != nil {
		stderr.Close()
		return nil, err
	}
	if spec.Dir != "" {
		if err := checkDir(spec.Dir); err != nil {
			stderr.Close()
			return nil, err
		}
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		stderr.Close()
		return nil, ErrSpawnerClosed
	}
	s.wg.Add(1) // keeps Close and with it the forking thread waiting
	s.mu.Unlock()
	defer s.wg.Done()

	pidfd := -1
	r := &startRequest{
		path: path,
		argv: spec.Argv,
		attr: &syscall.ProcAttr{
			Dir:   spec.Dir,
			Env:   environ(spec.Env, spec.Dir),
			Files: []uintptr{uintptr(stdin), uintptr(stdout), uintptr(childErr)},
			Sys: &syscall.SysProcAttr{
				Setpgid:     true, // Ctrl-C at the terminal is for the daemon only
				Pdeathsig:   syscall.SIGKILL,
				Credential:  spec.Credential,
				UseCgroupFD: spec.CgroupFD > 0,
				CgroupFD:    spec.CgroupFD,
				PidFD:       &pidfd,
			},
		},
		ready: make(chan struct{}),
	}
	s.start <- r
	<-r.ready
	if r.err != nil {
		stderr.Close()
		return nil, fmt.Errorf("cannot start %s: %w", path, r.err)
	}
	p := newProcess(r.pid, pidfd, stderr, spec)
	s.mu.Lock()
	s.live[p] = struct{}{}
	if s.closed {
		p.Kill()
	}
	s.mu.Unlock()
	s.wg.Go(func() {
		p.run()
		s.mu.Lock()
		delete(s.live, p)
		s.mu.Unlock()
	})
	return p, nil
}

func lookPath(argv []string) (string, error) {
	if len(argv) == 0 || argv[0] == "" {
		return "", errors.New("command should not be empty")
	}
	return exec.LookPath(argv[0])
}

func checkDir(dir string) error {
	st, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("cannot use working directory %s: %w", dir, errors.Unwrap(err))
	}
	if !st.IsDir() {
		return fmt.Errorf("cannot use working directory %s: not a directory", dir)
	}
	return nil
}

// pipe makes a pipe whose parent end is non-blocking and known to the poller.
// The child's end stays a blocking descriptor, as programs expect of stdio.
func pipe(name string, parentReads bool) (parent *os.File, child int, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, -1, fmt.Errorf("cannot make the %s pipe: %w", name, err)
	}
	own := p[1]
	child = p[0]
	if parentReads {
		own, child = p[0], p[1]
	}
	if err := unix.SetNonblock(own, true); err != nil {
		unix.Close(p[0])
		unix.Close(p[1])
		return nil, -1, fmt.Errorf("cannot make the %s pipe non-blocking: %w", name, err)
	}
	return os.NewFile(uintptr(own), name), child, nil
}
