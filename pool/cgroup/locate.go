package cgroup

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/systemd"
)

// locate finds the delegated group and the leaf for the daemon, given the group
// that the process is in. That is the unit's, or a leaf of it if the process was
// moved before (DelegateSubgroup= of systemd 254 and later).
func locate(own string) (unit, leaf string, err error) {
	if delegated(own) {
		return own, filepath.Join(own, daemonLeaf), nil
	}
	parent := filepath.Dir(own)
	if marked(parent) || filepath.Base(own) == daemonLeaf && delegated(parent) {
		return parent, own, nil
	}
	switch {
	case !isGroup(parent) && !exists(filepath.Join(own, "cgroup.type")):
		return "", "", fmt.Errorf("%w: it is in the root of the hierarchy, in no service", ErrNotDelegated)
	case systemd.Booted():
		return "", "", fmt.Errorf("%w (%s); write Delegate=cpu memory pids io into the unit", ErrNotDelegated, own)
	}
	return "", "", fmt.Errorf("%w (%s); it belongs to another user", ErrNotDelegated, own)
}

// delegated reports whether the group is the top of what this process may
// divide. Being able to write there is not enough: root always is.
func delegated(dir string) bool {
	if marked(dir) {
		return true
	}
	parent := filepath.Dir(dir)
	if !isGroup(parent) {
		// The root of a cgroup namespace: a container, which nobody else
		// manages unless systemd runs in it. The root of all has no type.
		return !systemd.Booted() && exists(filepath.Join(dir, "cgroup.type"))
	}
	// Delegation to a user is a change of owner (systemd before 251 did not
	// mark it for everybody to see, others never do).
	uid, ok := owner(dir)
	above, okAbove := owner(parent)
	return ok && okAbove && uid != 0 && uid == os.Geteuid() && above != uid
}

// marked reports whether systemd says that the group is delegated. It writes
// the first attribute, which all can read, since version 251.
func marked(dir string) bool {
	buf := make([]byte, 8)
	for _, attr := range []string{"user.delegate", "trusted.delegate"} {
		if n, err := unix.Getxattr(dir, attr, buf); err == nil && string(buf[:n]) == "1" {
			return true
		}
	}
	return false
}

func isGroup(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

func owner(dir string) (int, bool) {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return 0, false
	}
	return int(st.Uid), true
}

// evacuate moves all processes of a group into another one. New ones may appear
// meanwhile, hence the repetition.
func evacuate(from, to string) error {
	target := filepath.Join(to, "cgroup.procs")
	for range 100 {
		procs, err := os.ReadFile(filepath.Join(from, "cgroup.procs"))
		if err != nil {
			return fmt.Errorf("cannot list the processes of the service: %w", err)
		}
		if len(procs) == 0 {
			return nil
		}
		for pid := range strings.FieldsSeq(string(procs)) {
			if pid == "0" {
				return fmt.Errorf("%w: it holds processes of another pid namespace", ErrNotDelegated)
			}
			if err := write(target, pid); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("cannot move process %s into the control group %s: %w", pid, to, err)
			}
		}
	}
	return fmt.Errorf("cannot empty the control group %s: processes keep appearing in it", from)
}

// stale removes what an earlier run of the service has left: groups without
// processes. Those with processes are said and let be; a leaf whose number is
// needed again is emptied then.
func stale(workers string, log *slog.Logger) {
	pools, _ := os.ReadDir(workers)
	for _, p := range pools {
		if !p.IsDir() {
			continue
		}
		pool := filepath.Join(workers, p.Name())
		leaves, _ := os.ReadDir(pool)
		for _, l := range leaves {
			leaf := filepath.Join(pool, l.Name())
			if !l.IsDir() {
				continue
			}
			if populated(leaf) {
				log.Warn("processes of an earlier run are still there", "cgroup", leaf)
				continue
			}
			_ = remove(leaf, time.Time{})
		}
		_ = unix.Rmdir(pool)
	}
}
