package cgroup

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/systemd"
)

// ErrNotDelegated says that the cgroup of this process is not its own to divide.
var ErrNotDelegated = errors.New("the control group of this process was not delegated to it")

const (
	daemonLeaf = "daemon"
	workersDir = "workers"
)

// Tree is the delegated part of the cgroup hierarchy. All methods are safe for
// concurrent use.
type Tree struct {
	own    string // the group the process was started in; "" without cgroup v2
	unit   string // the delegated group; "" if there is none
	reason error  // why there is none
	watch  *watcher

	mu      sync.Mutex
	enabled map[control]error // what was tried: the result
}

// control is a controller enabled for the children of a directory.
type control struct{ dir, controller string }

// Open takes possession of the delegated group: it moves all processes of the
// group, normally only this one, into the leaf for the daemon, and removes what
// an earlier run has left. It must be called before the first child is started.
//
// Where nothing is delegated it logs one warning with the reason and returns a
// Tree that does nothing; see Degraded. An error means that something was
// delegated and cannot be used for a reason that is not known to be harmless.
// The caller must Close the Tree after the last worker has ended.
func Open(log *slog.Logger) (*Tree, error) {
	t := &Tree{enabled: make(map[control]error)}
	err := t.open(log)
	switch {
	case err == nil:
	case degrades(err):
		t.unit, t.reason = "", err
		log.Warn("workers run without control groups of their own: memory, cpu and pids limits are not enforced, "+
			"an out-of-memory kill is not recognised, memory is measured as resident size, "+
			"and what a worker has started and left running outlives it",
			logkey.Error, err)
	default:
		return nil, err
	}
	return t, nil
}

// degrades tells the lack of a right from a failure.
func degrades(err error) bool {
	for _, e := range []error{ErrNotDelegated, systemd.ErrNoCgroup2, os.ErrPermission, os.ErrNotExist, unix.EROFS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (t *Tree) open(log *slog.Logger) error {
	own, err := systemd.OwnCgroup()
	if err != nil {
		return err
	}
	t.own = own
	unit, leaf, err := locate(own)
	if err != nil {
		return err
	}
	if err := makeDir(leaf); err != nil {
		fix := ""
		if errors.Is(err, unix.EROFS) {
			fix = "; take ProtectControlGroups= out of the unit, or mount /sys/fs/cgroup writable in the container"
		}
		return fmt.Errorf("cannot make the daemon's control group: %w%s", err, fix)
	}
	if err := evacuate(unit, leaf); err != nil {
		return err
	}
	workers := filepath.Join(unit, workersDir)
	if err := makeDir(workers); err != nil {
		return fmt.Errorf("cannot make the control group of the workers: %w", err)
	}
	t.unit = unit
	stale(workers, log)
	for _, c := range accounting {
		if err := t.enable(unit, c); err != nil {
			log.Warn("workers run without the "+c+" controller", logkey.Error, err)
		}
	}
	t.watch, err = newWatcher()
	return err
}

// accounting are the controllers that every leaf has, because they count. The
// others (cpu, io) cost something for each level of the tree, and the kernel
// counts CPU time without them: they are enabled when the first limit asks for
// one.
var accounting = []string{"memory", "pids"}

// makeDir is Mkdir for a directory that may exist.
func makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// Degraded is why the Tree does nothing, or nil if it works.
func (t *Tree) Degraded() error {
	if t == nil {
		return ErrNotDelegated
	}
	return t.reason
}

// Dir is the directory below which all workers are, "" if degraded: a process
// whose cgroup is there is a worker or was started by one.
func (t *Tree) Dir() string {
	if t == nil || t.unit == "" {
		return ""
	}
	return filepath.Join(t.unit, workersDir)
}

// Close stops the watcher, waits for it, and removes the groups that are empty.
// It is idempotent.
func (t *Tree) Close() error {
	if t == nil || t.unit == "" {
		return nil
	}
	err := t.watch.close()
	workers := t.Dir()
	pools, _ := os.ReadDir(workers)
	for _, p := range pools {
		if p.IsDir() {
			_ = unix.Rmdir(filepath.Join(workers, p.Name()))
		}
	}
	_ = unix.Rmdir(workers)
	return err
}

// enable makes a controller available to the children of dir. The outcome is
// remembered, so that it costs nothing to ask again.
func (t *Tree) enable(dir, controller string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := control{dir, controller}
	err, tried := t.enabled[c]
	if !tried {
		err = enable(dir, controller)
		t.enabled[c] = err
	}
	return err
}

// enableAll enables a controller in the unit's group and then in dirs, which are
// below it: no level can be left out.
func (t *Tree) enableAll(controller string, dirs ...string) error {
	if err := t.enable(t.unit, controller); err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := t.enable(dir, controller); err != nil {
			return err
		}
	}
	return nil
}

func enable(dir, controller string) error {
	available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("cannot enable the %s controller: %w", controller, err)
	}
	if !slices.Contains(strings.Fields(string(available)), controller) {
		return missing(controller)
	}
	if err := write(filepath.Join(dir, "cgroup.subtree_control"), "+"+controller); err != nil {
		return fmt.Errorf("cannot enable the %s controller: %w", controller, err)
	}
	return nil
}

// missing explains why a controller is not in cgroup.controllers.
func missing(controller string) error {
	if groups, err := os.ReadFile("/proc/self/cgroup"); err == nil && inVersion1(string(groups), controller) {
		return fmt.Errorf("the %s controller is in use by cgroup version 1 (hybrid hierarchy); boot with systemd.unified_cgroup_hierarchy=1", controller)
	}
	return fmt.Errorf("the %s controller was not delegated; write Delegate=%s into the unit, or see whether the kernel has it (cgroup_disable=)", controller, controller)
}

// inVersion1 looks into a /proc/PID/cgroup for "4:memory:/path".
func inVersion1(groups, controller string) bool {
	for line := range strings.Lines(groups) {
		f := strings.SplitN(line, ":", 3)
		if len(f) != 3 {
			continue
		}
		for name := range strings.SplitSeq(f[1], ",") {
			if name == controller || controller == "io" && name == "blkio" {
				return true
			}
		}
	}
	return false
}

// write writes to an interface file, which must exist. The kernel takes a value
// by one write.
func write(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
