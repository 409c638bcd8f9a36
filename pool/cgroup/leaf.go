package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// removeTimeout bounds Leaf.Close. A killed process is gone within a few
// milliseconds, unless it hangs in the kernel.
const removeTimeout = 2 * time.Second

// Pool is the group of the leaves of one pool.
type Pool struct {
	tree *Tree
	dir  string // "" if degraded
	peak peak
}

// Pool makes the group for a pool, or finds it.
func (t *Tree) Pool(name string) (*Pool, error) {
	if t == nil || t.unit == "" {
		return &Pool{}, nil
	}
	p := &Pool{tree: t, dir: filepath.Join(t.Dir(), escape(name))}
	if err := makeDir(p.dir); err != nil {
		return nil, fmt.Errorf("cannot make the control group of pool %s: %w", name, err)
	}
	for _, c := range accounting {
		_ = p.tree.enableAll(c, p.tree.Dir(), p.dir) // Open has said what is missing
	}
	return p, nil
}

// escape makes a directory name of a pool name. Interface files of the kernel
// have a dot in their names, so a name without one cannot collide.
func escape(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() == 0 {
		return "%"
	}
	return b.String()
}

// Leaf makes the group for one worker; n must be unique among the leaves of the
// pool that are not closed. Limits that the machine cannot enforce are left
// out: Tree.Unsupported names them. A leaf that an earlier run has left under
// this number is emptied and removed before.
func (p *Pool) Leaf(n uint64, limits Limits) (*Leaf, error) {
	l := &Leaf{}
	if p == nil || p.dir == "" {
		return l, nil
	}
	l.tree, l.dir = p.tree, filepath.Join(p.dir, strconv.FormatUint(n, 10))
	err := os.Mkdir(l.dir, 0o755)
	if errors.Is(err, os.ErrExist) {
		if err = remove(l.dir, time.Now().Add(removeTimeout)); err == nil {
			err = os.Mkdir(l.dir, 0o755)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a control group: %w", err)
	}
	l.group = limits.Memory > 0
	if err := l.init(p, limits); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Leaf) init(p *Pool, limits Limits) error {
	for _, s := range limits.settings() {
		dir, above := l.dir, []string{p.tree.Dir(), p.dir}
		if s.pool {
			dir, above = p.dir, above[:1]
		}
		if p.tree.enableAll(s.controller, above...) != nil {
			continue
		}
		err := s.apply(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot set limits.%s: %w", s.key, err)
		}
	}
	fd, err := unix.Open(l.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open the control group %s: %w", l.dir, err)
	}
	l.fd = fd
	// Kept open: it is read after every request.
	l.current, _ = os.Open(filepath.Join(l.dir, "memory.current"))
	return nil
}

// Leaf is the group of one worker. All methods are safe for concurrent use.
type Leaf struct {
	tree  *Tree
	dir   string // "" if degraded
	group bool   // memory.oom.group is set
	peak  peak

	mu      sync.Mutex
	fd      int
	current *os.File
	closed  bool
	err     error // of Close
}

// Real reports whether there is a group, that is, whether the Tree works.
func (l *Leaf) Real() bool { return l != nil && l.dir != "" }

// Dir is the directory of the group, "" if there is none.
func (l *Leaf) Dir() string {
	if l == nil {
		return ""
	}
	return l.dir
}

// FD is a descriptor of the directory for syscall.SysProcAttr.CgroupFD, valid
// until Close; 0 if there is none, and then UseCgroupFD must be false.
func (l *Leaf) FD() int {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fd
}

// Enter moves a process into the leaf. It is for kernels and seccomp filters
// without clone3 (ENOSYS; RestrictNamespaces= of systemd): start the process
// without CgroupFD, then call Enter. What it has started before stays outside.
func (l *Leaf) Enter(pid int) error {
	if !l.Real() {
		return nil
	}
	if err := write(filepath.Join(l.dir, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
		return fmt.Errorf("cannot move process %d into the control group %s: %w", pid, l.dir, err)
	}
	return nil
}

// LiftHigh takes limits.memory_high off this leaf. Above it a worker whose own
// memory fills the limit only crawls, as the kernel finds nothing to take back:
// seconds for each megabyte. Whoever has decided to replace the worker lets it
// finish its request in good time like this; limits.memory still holds.
func (l *Leaf) LiftHigh() error {
	if !l.Real() {
		return nil
	}
	if err := write(filepath.Join(l.dir, "memory.high"), "max"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot lift limits.memory_high: %w", err)
	}
	return nil
}

// Kill ends every process of the leaf at once, whatever session, process group
// or user it belongs to. Without a leaf it does nothing.
func (l *Leaf) Kill() error {
	if !l.Real() {
		return nil
	}
	return kill(l.dir)
}

// Close kills what is left in the leaf and removes it, which takes at most 2
// seconds. Read Usage and OOM before. It is idempotent.
func (l *Leaf) Close() error {
	if !l.Real() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.err
	}
	l.closed = true
	l.tree.watch.remove(l)
	if l.fd > 0 {
		unix.Close(l.fd)
		l.fd = 0
	}
	if l.current != nil {
		l.current.Close()
	}
	l.err = remove(l.dir, time.Now().Add(removeTimeout))
	return l.err
}
