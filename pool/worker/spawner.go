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

	"github.com/rr-systemd/rrd/pool/isolate"
)

// ErrSpawnerClosed: Close was called; no process can be started any more.
var ErrSpawnerClosed = errors.New("spawner is closed")

// Spawner starts worker processes, all of them from one thread or, where they may
// gain privileges, from another.
//
// Workers are to die with the daemon even when it is killed, hence the
// parent-death signal. The kernel ties that signal to the thread that forked,
// not to the process, and the Go runtime ends threads at will; so one goroutine
// is locked to one thread for its whole life and does nothing but fork. That a
// process gains no new privileges is inherited from the thread as well.
type Spawner struct {
	// ForkExec is syscall.ForkExec. Tests replace it, before the first start, to
	// see what a fork does that fails or hangs.
	ForkExec func(path string, argv []string, attr *syscall.ProcAttr) (pid int, err error)

	start    chan *startRequest // of processes that gain no privileges
	startAny chan *startRequest // of all others
	quit     chan struct{}
	once     sync.Once
	done     chan struct{} // the forking threads have ended
	err      error         // result of Close

	forking   sync.Mutex     // held from a fork until the child is in pids
	leaves    string         // see AdoptOrphans
	wake      chan struct{}  // a worker was reaped; nil without AdoptOrphans
	orphanage sync.WaitGroup // the goroutine of AdoptOrphans

	mu     sync.Mutex
	closed bool
	pids   map[int]*Process // those that are not reaped
	ended  map[int]bool     // process groups of reaped ones that still have members
	wg     sync.WaitGroup   // goroutines of the processes
}

type startRequest struct {
	path  string
	argv  []string
	any   bool // privileges may be gained
	attr  *syscall.ProcAttr
	pid   int
	err   error
	ready chan struct{}
}

// NewSpawner starts the forking thread. The caller must Close it.
func NewSpawner() *Spawner {
	s := &Spawner{
		ForkExec: syscall.ForkExec,
		start:    make(chan *startRequest),
		startAny: make(chan *startRequest),
		quit:     make(chan struct{}),
		done:     make(chan struct{}),
		pids:     make(map[int]*Process),
		ended:    make(map[int]bool),
	}
	var forking sync.WaitGroup
	forking.Go(func() { s.run(s.start, true) })
	forking.Go(func() { s.run(s.startAny, false) })
	go func() {
		forking.Wait()
		close(s.done)
	}()
	return s
}

func (s *Spawner) run(start <-chan *startRequest, noNewPrivs bool) {
	// Never unlocked: the thread ends with this goroutine and is not handed to
	// another one that would inherit being the parent of all workers.
	runtime.LockOSThread()
	var failed error
	if noNewPrivs {
		failed = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	for {
		select {
		case r := <-start:
			if failed != nil {
				r.err = fmt.Errorf("isolation.no_new_privs: %w", failed)
				close(r.ready)
				continue
			}
			// One fork at a time is no loss: syscall.ForkLock serialises them anyway.
			r.pid, r.err = s.ForkExec(r.path, r.argv, r.attr)
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
		for _, p := range s.pids {
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
			for pid := range s.pids {
				pids = append(pids, pid)
			}
			s.mu.Unlock()
			s.err = fmt.Errorf("cannot end the worker processes %v: they do not react to SIGKILL", pids)
		}
		close(s.quit)
	})
	<-s.done
	s.orphanage.Wait()
	return s.err
}

// spawn starts one process with the descriptors of files: stdin, stdout, stderr and
// more. They stay the caller's. announce is added to its environment. stderr is the read
// end of the pipe that the child writes to and belongs to the process from now on,
// also on error.
func (s *Spawner) spawn(spec *Spec, files []uintptr, stderr *os.File, announce ...string) (*Process, error) {
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

	argv, env, limits := spec.Argv, spec.Env, spec.Rlimits
	var tmp *isolate.Tmp // nil: it has none
	if spec.Isolation.PrivateTmp {
		if tmp, err = isolate.MakeTmp(os.TempDir(), spec.Credential); err != nil {
			stderr.Close()
			return nil, err
		}
		env = append(env[:len(env):len(env)], "TMPDIR="+tmp.Dir())
	}
	if spec.Isolation.TwoSteps() {
		first := isolate.First{Tmp: tmp.Dir(), AS: uint64(limits.AS), Nproc: limits.Nproc}
		limits.AS, limits.Nproc = 0, 0
		if argv, err = spec.Isolation.Argv(path, argv, first); err != nil {
			stderr.Close()
			return nil, errors.Join(err, tmp.Remove())
		}
		path = isolate.Path
	}

	pidfd := -1
	r := &startRequest{
		path: path,
		argv: argv,
		any:  !spec.Isolation.NoNewPrivs,
		attr: &syscall.ProcAttr{
			Dir:   spec.Dir,
			Env:   append(environ(env, spec.Dir), announce...),
			Files: files,
			Sys: &syscall.SysProcAttr{
				Setpgid:     true, // Ctrl-C at the terminal is for the daemon only
				Pdeathsig:   syscall.SIGKILL,
				Credential:  spec.Credential,
				UseCgroupFD: spec.Leaf.FD() > 0,
				CgroupFD:    spec.Leaf.FD(),
				PidFD:       &pidfd,
			},
		},
	}
	s.forking.Lock()
	s.fork(r)
	late := errors.Is(r.err, syscall.ENOSYS) && r.attr.Sys.UseCgroupFD
	if late { // no clone3 (RestrictNamespaces= of systemd): it is moved afterwards
		r.attr.Sys.UseCgroupFD = false
		s.fork(r)
	}
	if r.err != nil {
		s.forking.Unlock()
		stderr.Close()
		return nil, errors.Join(fmt.Errorf("cannot start %s: %w", spec.Argv[0], r.err), tmp.Remove())
	}
	p := newProcess(r.pid, pidfd, stderr, spec)
	p.tmp = tmp
	s.mu.Lock()
	s.pids[p.pid] = p
	s.mu.Unlock()
	s.forking.Unlock()
	var unlimited error
	if late {
		unlimited = spec.Leaf.Enter(r.pid)
	}
	if unlimited = errors.Join(unlimited, limits.Apply(r.pid)); unlimited != nil && p.alive() {
		p.Kill()
	} else {
		unlimited = nil // it ended at once: its own fault is the one to tell
	}
	s.mu.Lock()
	if s.closed {
		p.Kill()
	}
	s.mu.Unlock()
	s.wg.Go(func() {
		p.run()
		s.forget(p)
	})
	if unlimited != nil {
		<-p.done
		return nil, unlimited
	}
	return p, nil
}

func (s *Spawner) fork(r *startRequest) {
	r.ready = make(chan struct{})
	if r.any {
		s.startAny <- r
	} else {
		s.start <- r
	}
	<-r.ready
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
