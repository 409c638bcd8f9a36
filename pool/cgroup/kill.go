package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// kill ends all processes of a group and of those below it.
func kill(dir string) error {
	err := write(filepath.Join(dir, "cgroup.kill"), "1")
	if errors.Is(err, os.ErrNotExist) { // Linux before 5.14, or no such group
		err = killEach(dir)
	}
	if err != nil {
		return fmt.Errorf("cannot kill the control group %s: %w", dir, err)
	}
	return nil
}

// killEach does it one by one. Frozen processes cannot fork while that goes on,
// and SIGKILL reaches them all the same.
func killEach(dir string) error {
	_ = write(filepath.Join(dir, "cgroup.freeze"), "1")
	defer func() { _ = write(filepath.Join(dir, "cgroup.freeze"), "0") }()
	var failed error
	for _, d := range subtree(dir) {
		procs, err := os.ReadFile(filepath.Join(d, "cgroup.procs"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for field := range strings.FieldsSeq(string(procs)) {
			pid, err := strconv.Atoi(field)
			if err != nil || pid <= 0 {
				continue
			}
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
				failed = err
			}
		}
	}
	return failed
}

// subtree lists dir and the groups below it, the deepest first: a worker may
// have made some.
func subtree(dir string) []string {
	var dirs []string
	_ = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, p)
		}
		return nil
	})
	slices.Reverse(dirs)
	return dirs
}

// remove kills what is in a group and removes it. With a zero deadline it
// neither kills nor waits.
func remove(dir string, deadline time.Time) error {
	for {
		var err error
		for _, d := range subtree(dir) {
			if err = rmdir(d); err != nil {
				break
			}
		}
		switch {
		case err == nil:
			return nil
		case err != unix.EBUSY || !time.Now().Before(deadline):
			return fmt.Errorf("cannot remove the control group %s: %w", dir, err)
		}
		if err := kill(dir); err != nil {
			return err
		}
		awaitEmpty(dir, deadline)
	}
}

func rmdir(dir string) error {
	for {
		switch err := unix.Rmdir(dir); err {
		case unix.EINTR:
		case unix.ENOENT:
			return nil
		default:
			return err
		}
	}
}

// recheck bounds one wait for a notification. The last process leaves the group
// a moment after the kernel has told.
const recheck = 20 * time.Millisecond

// awaitEmpty returns when the group may be empty: on a change of cgroup.events,
// after recheck, or at the deadline. The caller tries and comes back.
func awaitEmpty(dir string, deadline time.Time) {
	f, err := os.Open(filepath.Join(dir, "cgroup.events"))
	if err != nil {
		return
	}
	defer f.Close()
	var buf [256]byte
	n, _ := f.Read(buf[:])
	wait := min(recheck, time.Until(deadline))
	if v, ok := lookup(buf[:n], "populated"); ok && v == 0 {
		// Still busy all the same: no event is to come.
		wait = min(wait, time.Millisecond)
	}
	// The runtime poller does not know POLLPRI, which is how the kernel tells.
	p := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}}
	_, _ = unix.Poll(p, int(max(wait, time.Millisecond)/time.Millisecond))
}

// populated reports whether a process lives in the group or below.
func populated(dir string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	v, ok := lookup(b, "populated")
	return err == nil && ok && v != 0
}
