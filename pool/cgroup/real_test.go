package cgroup

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/systemd"
)

// TestKernel holds what needs a delegated group; tests/lab/cgroup.sh runs it as
// the user rr in a unit with Delegate=. Where a controller is missing, what is
// tested is that this is said.
func TestKernel(t *testing.T) {
	if !real {
		testDegraded(t)
		return
	}
	t.Run("Open", testOpen)
	t.Run("Stale", testStale)
	t.Run("Kill", testKill)
	t.Run("KillEach", testKillEach)
	t.Run("CloseKills", testCloseKills)
	t.Run("OwnGroups", testOwnGroups)
	t.Run("Reuse", testReuse)
	t.Run("Enter", testEnter)
	t.Run("Usage", testUsage)
	t.Run("Rlimits", testRlimits)
	for _, c := range []struct {
		name   string
		limits Limits
		test   func(*testing.T)
	}{
		{"Memory", Limits{Memory: 64 << 20}, testMemory},
		{"CloseFromWatch", Limits{Memory: 64 << 20}, testCloseFromWatch},
		{"MemoryHigh", Limits{MemoryHigh: 32 << 20}, testMemoryHigh},
		{"Over", Limits{Memory: 64 << 20}, testOver},
		{"ForeignOOM", Limits{Memory: 64 << 20}, testForeignOOM},
		{"Pids", Limits{Pids: 20}, testPids},
		{"CPU", Limits{CPU: 0.2}, testCPU},
		{"CPUWeight", Limits{CPUWeight: 50}, testCPUWeight},
		{"Budget", Limits{Memory: 64 << 20, CPU: 1}, testBudget},
	} {
		t.Run(c.name, func(t *testing.T) {
			missing := open(t).Unsupported(c.limits)
			switch {
			case len(missing) == 0:
				c.test(t)
			case os.Getenv(labVar) == "delegated":
				t.Fatal("the lab must have this:", missing)
			default:
				for _, m := range missing {
					if m.Key == "" || m.Why == nil || m.Why.Error() == "" {
						t.Errorf("%+v says nothing", m)
					}
				}
				newLeaf(t, open(t), 1, c.limits) // works without
			}
		})
	}
}

func testOpen(t *testing.T) {
	tree := open(t)
	own, err := systemd.OwnCgroup()
	if err != nil {
		t.Fatal(err)
	}
	if own != filepath.Join(tree.unit, daemonLeaf) {
		t.Errorf("the process is in %s, wanted %s/daemon", own, tree.unit)
	}
	if b, err := os.ReadFile(filepath.Join(tree.unit, "cgroup.procs")); err != nil || len(b) > 0 {
		t.Errorf("processes in the unit's group: %q, %v", b, err)
	}
	// A second time, as with DelegateSubgroup=daemon.
	again := open(t)
	if again.unit != tree.unit {
		t.Errorf("opened again: %s, wanted %s", again.unit, tree.unit)
	}
	if os.Getenv(labVar) == "delegated" {
		pool, err := tree.Pool("http")
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{tree.unit, tree.Dir(), pool.dir} {
			b, _ := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
			for _, c := range accounting {
				if !slices.Contains(strings.Fields(string(b)), c) {
					t.Errorf("%s: controllers %q, wanted %s among them", dir, b, c)
				}
			}
		}
	}
}

func testStale(t *testing.T) {
	tree := open(t)
	pool, err := tree.Pool("old")
	if err != nil {
		t.Fatal(err)
	}
	empty, err := pool.Leaf(1, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	full, err := pool.Leaf(2, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if err := os.Mkdir(filepath.Join(empty.dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, full, "", "sleep", "1000")
	var log bytes.Buffer
	next, err := Open(slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if exists(empty.dir) {
		t.Error("the stale leaf is still there")
	}
	if !populated(full.dir) {
		t.Error("the leaf with a process is gone")
	}
	if !strings.Contains(log.String(), full.dir) {
		t.Errorf("the log does not tell of %s: %s", full.dir, log.String())
	}
}

// family is a shell with children of which some leave its session and group.
const family = `sleep 1000 & setsid sleep 1000 & setsid sh -c 'sleep 1000 & sleep 1000' & echo ready; wait`

func startFamily(t *testing.T, leaf *Leaf) *program {
	t.Helper()
	p := run(t, leaf, "", "sh", "-c", family)
	if got := p.line(); got != "ready" {
		t.Fatalf("got %q", got)
	}
	await(t, "six processes", func() bool { return len(procs(leaf.dir)) == 6 })
	return p
}

func procs(dir string) []string {
	b, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	return strings.Fields(string(b))
}

func testKill(t *testing.T) {
	tree := open(t)
	leaf, other := newLeaf(t, tree, 1, Limits{}), newLeaf(t, tree, 2, Limits{})
	p := startFamily(t, leaf)
	run(t, other, "", "sleep", "1000")
	if err := leaf.Kill(); err != nil {
		t.Fatal(err)
	}
	if ws := p.wait(); ws.Signal() != unix.SIGKILL {
		t.Errorf("ended by %v", ws.Signal())
	}
	await(t, "an empty leaf", func() bool { return !populated(leaf.dir) })
	if !populated(other.dir) {
		t.Error("the other leaf was killed too")
	}
	dir := leaf.dir
	if err := leaf.Close(); err != nil {
		t.Fatal(err)
	}
	if exists(dir) {
		t.Error("the leaf is still there")
	}
	if err := leaf.Kill(); err != nil {
		t.Error("killing a closed leaf:", err)
	}
}

// testKillEach is for kernels without cgroup.kill.
func testKillEach(t *testing.T) {
	leaf := newLeaf(t, open(t), 1, Limits{})
	p := startFamily(t, leaf)
	if err := killEach(leaf.dir); err != nil {
		t.Fatal(err)
	}
	p.wait()
	await(t, "an empty leaf", func() bool { return !populated(leaf.dir) })
}

func testCloseKills(t *testing.T) {
	leaf := newLeaf(t, open(t), 1, Limits{})
	p := startFamily(t, leaf)
	if err := leaf.Close(); err != nil {
		t.Fatal(err)
	}
	p.wait()
	if err := leaf.Close(); err != nil {
		t.Error("second Close:", err)
	}
	if leaf.FD() != 0 {
		t.Error("descriptor is still there")
	}
	if _, ok := leaf.Usage(); ok {
		t.Error("usage of a closed leaf")
	}
}

// testOwnGroups: a worker may have made groups in its leaf.
func testOwnGroups(t *testing.T) {
	leaf := newLeaf(t, open(t), 1, Limits{})
	sub := filepath.Join(leaf.dir, "a", "b")
	if err := os.MkdirAll(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	p := run(t, leaf, "", "sleep", "1000")
	if err := write(filepath.Join(sub, "cgroup.procs"), strconv.Itoa(p.cmd.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	if err := leaf.Close(); err != nil {
		t.Fatal(err)
	}
	p.wait()
}

// testReuse: a leaf with processes of an earlier run has the number.
func testReuse(t *testing.T) {
	tree := open(t)
	old := newLeaf(t, tree, 7, Limits{})
	p := run(t, old, "", "sleep", "1000")
	leaf := newLeaf(t, tree, 7, Limits{})
	p.wait()
	if n := procs(leaf.dir); len(n) > 0 {
		t.Error("processes in the new leaf:", n)
	}
}

func testEnter(t *testing.T) {
	leaf := newLeaf(t, open(t), 1, Limits{})
	p := run(t, &Leaf{}, "", "sleep", "1000")
	pid := p.cmd.Process.Pid
	if err := leaf.Enter(pid); err != nil {
		t.Fatal(err)
	}
	if dir, err := systemd.ProcessCgroup(pid); err != nil || dir != leaf.dir {
		t.Errorf("the process is in %s, %v", dir, err)
	}
	if err := leaf.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait()
}

// testDegraded is for machines where nothing is delegated to this process.
func testDegraded(t *testing.T) {
	var log bytes.Buffer
	tree, err := Open(slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(tree.Degraded())
	if tree.Degraded() == nil || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("degraded %v, log %q", tree.Degraded(), log.String())
	}
	usedDegraded(t, tree)
}

// usedDegraded: everything works and does nothing.
func usedDegraded(t *testing.T, tree *Tree) {
	t.Helper()
	limits := Limits{Memory: 64 << 20, CPU: 1, Pids: 10, CPUWeight: 1, IOWeight: 1, MemoryHigh: 32 << 20}
	if m := tree.Unsupported(limits); len(m) != 6 {
		t.Errorf("unsupported: %v", m)
	}
	pool, err := tree.Pool("http")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := pool.Leaf(1, limits)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*Pool{pool, nil} {
		if _, ok := p.Usage(); ok {
			t.Error("usage of a pool")
		}
	}
	for _, l := range []*Leaf{leaf, nil} {
		if l.FD() != 0 || l.Real() || l.Dir() != "" {
			t.Error("a leaf")
		}
		if _, ok := l.Usage(); ok {
			t.Error("usage")
		}
		if _, ok := l.OOM(); ok {
			t.Error("oom")
		}
		if _, ok := l.Over(1); ok {
			t.Error("over")
		}
		if err := errors.Join(l.Watch(nil), l.Enter(1), l.Kill(), l.Close()); err != nil {
			t.Error(err)
		}
	}
	if b := tree.Budget(); b.CPU < 1 || b.Memory == 0 {
		t.Errorf("%+v", b)
	}
	if tree.Degraded() == nil || tree.Dir() != "" || tree.Close() != nil {
		t.Error("not degraded")
	}
}

func TestNilTree(t *testing.T) { usedDegraded(t, nil) }

// TestRefused: failures that mean a lack of rights degrade, others do not.
func TestRefused(t *testing.T) {
	for err, want := range map[error]bool{
		unix.EACCES: true, unix.EPERM: true, unix.EROFS: true, ErrNotDelegated: true, systemd.ErrNoCgroup2: true,
		unix.EBUSY: false, unix.ENOSPC: false, unix.EINVAL: false,
	} {
		if got := degrades(&os.PathError{Op: "mkdir", Path: "/x", Err: err}); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// BenchmarkLeaf is what a worker's group adds to its start and end.
func BenchmarkLeaf(b *testing.B) {
	tree, err := Open(silent)
	if err != nil {
		b.Fatal(err)
	}
	defer tree.Close()
	pool, err := tree.Pool("bench")
	if err != nil {
		b.Fatal(err)
	}
	var n uint64
	for b.Loop() {
		n++
		leaf, err := pool.Leaf(n, Limits{Memory: 64 << 20, Pids: 100})
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(leaf.Watch(func(Event) {}), leaf.Close()); err != nil {
			b.Fatal(err)
		}
	}
}
