package worker

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Orphans are processes that a worker has started and left behind: what
// shell_exec("... &") leaves, or the children of a killed worker. The kernel
// gives them to the nearest subreaper above, else to PID 1, which in a container
// is often somebody who never waits. AdoptOrphans makes the daemon that
// subreaper, so no zombie of a worker outlives the moment.
//
// Reaping must never take an exit status that somebody waits for: that of a
// worker, or of a program that os/exec has started anywhere in the daemon. So
// nothing is reaped before it is known to be an orphan: it lives in a leaf of the
// workers' control group, or in the process group of a worker, without being a
// worker. (Without control groups, an orphan that has left its worker's process
// group is not known. It is left alone.)

// recheckForeign is when to look again past a dead child that is not an orphan:
// its owner reaps it in no time, and nobody tells us.
const recheckForeign = 20 * time.Millisecond

// AdoptOrphans makes this process the parent of the orphans of its workers and
// reaps them until Close. leaves is the directory of the workers' control
// groups, "" without any; see cgroup.Tree.Dir.
func (s *Spawner) AdoptOrphans(leaves string) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become the parent of the workers' orphans: %w", err)
	}
	s.leaves = leaves
	s.wake = make(chan struct{}, 1)
	s.orphanage.Go(s.reapOrphans)
	return nil
}

func (s *Spawner) reapOrphans() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-died:
		case <-s.wake:
		case <-again.C:
		case <-s.done: // all workers are dead: so are their children, if there were leaves
			s.reapDead()
			_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
			return
		}
		if !s.reapDead() {
			again.Reset(recheckForeign)
		}
	}
}

// reapDead reaps orphans until none is dead, or the first dead child is not an
// orphan; then it reports false.
func (s *Spawner) reapDead() bool {
	// While a worker is being forked nobody knows it yet.
	s.forking.Lock()
	defer s.forking.Unlock()
	for {
		pid, err := deadChild()
		switch {
		case err != nil || pid == 0:
			return true
		case !s.orphan(pid):
			return false
		}
		_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}

// deadChild returns a child that can be waited for, 0 if there is none. It does
// not reap it.
func deadChild() (int, error) {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil: // ECHILD: no children at all
			return 0, err
		case info.Signo == 0:
			return 0, nil
		default:
			return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), siPID))), nil
		}
	}
}

// siPID is the offset of si_pid in the kernel's siginfo_t: after three numbers
// of four bytes comes a union that is aligned as a pointer.
const siPID = (12 + unsafe.Sizeof(uintptr(0)) - 1) &^ (unsafe.Sizeof(uintptr(0)) - 1)

// orphan reports whether a dead child is one. s.forking is held.
func (s *Spawner) orphan(pid int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pids[pid] != nil {
		return false
	}
	dir := "/proc/" + strconv.Itoa(pid)
	if s.leaves != "" {
		// A zombie keeps its group, also a removed one: "/path (deleted)".
		if groups, err := os.ReadFile(dir + "/cgroup"); err == nil && within(string(groups), s.leaves) {
			return true
		}
	}
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return false
	}
	group := processGroup(stat)
	return group != pid && (s.pids[group] != nil || s.ended[group])
}

// within reports whether /proc/PID/cgroup names a group below dir. The path there
// is relative to the mount point or to the root of the cgroup namespace, so it is
// compared by its end.
func within(groups, dir string) bool {
	for line := range strings.Lines(groups) {
		path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if !ok {
			continue
		}
		path = strings.TrimSuffix(path, " (deleted)")
		// .../workers/POOL/N, and what the worker has made below.
		for p := filepath.Dir(filepath.Dir(path)); len(p) > 1; p = filepath.Dir(p) {
			if strings.HasSuffix(dir, p) {
				return true
			}
		}
	}
	return false
}

// processGroup is the fifth field of /proc/PID/stat, 0 if there is none.
func processGroup(stat []byte) int {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 3 {
		return 0
	}
	n, err := strconv.Atoi(string(fields[2]))
	if err != nil {
		return 0
	}
	return n
}

// forget is called when p has been reaped. Its process group is remembered as
// long as it has members: till then no other process can have that number.
func (s *Spawner) forget(p *Process) {
	s.mu.Lock()
	delete(s.pids, p.pid)
	for group := range s.ended {
		if unix.Kill(-group, 0) == unix.ESRCH {
			delete(s.ended, group)
		}
	}
	if unix.Kill(-p.pid, 0) != unix.ESRCH {
		s.ended[p.pid] = true
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}: // nil without AdoptOrphans
	default:
	}
}
