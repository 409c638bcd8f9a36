package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func testUsage(t *testing.T) {
	tree := open(t)
	leaf := newLeaf(t, tree, 1, Limits{})
	run(t, leaf, "", "sh", "-c", "while :; do :; done")
	await(t, "CPU time", func() bool { u, ok := leaf.Usage(); return ok && u.CPU >= 50*time.Millisecond })
	u, ok := leaf.Usage()
	if !ok {
		t.Fatal("no usage")
	}
	if tree.Unsupported(Limits{Memory: 1 << 30, Pids: 10}) == nil {
		if u.Memory == 0 || u.Working == 0 || u.Working > u.Memory || u.Peak < u.Memory/2 || u.Processes != 1 {
			t.Errorf("%+v", u)
		}
	}
	if exists(filepath.Join(leaf.dir, "cpu.pressure")) && (u.CPUPressure == nil || u.MemoryPressure == nil || u.IOPressure == nil) {
		t.Error("no pressure")
	}

	var before Usage
	pool, err := tree.Pool("test")
	if err != nil {
		t.Fatal(err)
	}
	await(t, "CPU time of the pool", func() bool { before, _ = pool.Usage(); return before.CPU >= u.CPU })
	if before.Processes != u.Processes {
		t.Errorf("the pool: %+v, its leaf: %+v", before, u)
	}
	if err := leaf.Close(); err != nil {
		t.Fatal(err)
	}
	if after, ok := pool.Usage(); !ok || after.CPU < before.CPU {
		t.Errorf("of the pool without workers: %+v, %v", after, ok)
	}
}

func testRlimits(t *testing.T) {
	var nproc unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &nproc); err != nil {
		t.Fatal(err)
	}
	core, adj := int64(0), 700
	r := Rlimits{Nofile: 512, Core: &core, AS: 1 << 40, Nproc: nproc.Max - 1, OOMScoreAdj: &adj}
	p := run(t, newLeaf(t, open(t), 1, Limits{}), "", "sleep", "1000")
	pid := p.cmd.Process.Pid
	if err := r.Apply(pid); err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[int]uint64{unix.RLIMIT_NOFILE: 512, unix.RLIMIT_CORE: 0, unix.RLIMIT_AS: 1 << 40, unix.RLIMIT_NPROC: nproc.Max - 1} {
		var got unix.Rlimit
		if err := unix.Prlimit(pid, resource, nil, &got); err != nil || got.Cur != want || got.Max != want {
			t.Errorf("limit %d: %+v, %v, wanted %d", resource, got, err, want)
		}
	}
	if b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/oom_score_adj"); strings.TrimSpace(string(b)) != "700" {
		t.Errorf("oom_score_adj %q", b)
	}
	if os.Geteuid() != 0 {
		err := (&Rlimits{Nofile: 1 << 30}).Apply(pid)
		if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "limits.nofile") {
			t.Error(err)
		}
	}
}

// startHog starts a program that takes mib MiB once asked, beside a sibling.
func startHog(t *testing.T, leaf *Leaf, mib int) *program {
	t.Helper()
	p := run(t, leaf, hogVar+"="+strconv.Itoa(mib), "sh", "-c", `sleep 1000 & exec "$0"`, os.Args[0])
	if got := p.line(); got != "ready" {
		t.Fatalf("got %q", got)
	}
	return p
}

func testMemory(t *testing.T) {
	tree := open(t)
	leaf, other := newLeaf(t, tree, 1, Limits{Memory: 64 << 20}), newLeaf(t, tree, 2, Limits{Memory: 64 << 20})
	told := make(chan Event, 10)
	if err := leaf.Watch(func(e Event) { told <- e }); err != nil {
		t.Fatal(err)
	}
	if err := other.Watch(func(e Event) { t.Errorf("event of the other leaf: %+v", e) }); err != nil {
		t.Fatal(err)
	}
	good := startHog(t, other, 8)
	p := startHog(t, leaf, 500)
	if o, ok := leaf.OOM(); !ok || o.Incidents != 0 {
		t.Errorf("before: %+v, %v", o, ok)
	}
	p.stdin.Write([]byte("x"))
	if ws := p.wait(); ws.Signal() != unix.SIGKILL {
		t.Errorf("ended by %v, %d", ws.Signal(), ws.ExitStatus())
	}
	// The sibling goes as well.
	await(t, "an empty leaf", func() bool { return !populated(leaf.dir) })
	o, ok := leaf.OOM()
	if !ok || o.Incidents != 1 || !o.OwnLimit || o.Limit != 64<<20 || o.Peak < 48<<20 || o.Peak > 65<<20 {
		t.Errorf("%+v, %v", o, ok)
	}
	select {
	case e := <-told:
		if e.OOM == nil || e.OOM.Incidents != 1 || !e.OOM.OwnLimit {
			t.Errorf("%+v", e)
		}
	case <-time.After(time.Minute):
		t.Error("no event")
	}
	good.stdin.Write([]byte("x"))
	if got := good.line(); got != "done" {
		t.Errorf("the other leaf: %q", got)
	}
	if o, _ := other.OOM(); o.Incidents != 0 {
		t.Errorf("the other leaf: %+v", o)
	}
	// A watch that comes late is told of what was.
	if err := leaf.Watch(func(e Event) { told <- e }); err != nil {
		t.Fatal(err)
	}
	if e := <-told; e.OOM == nil {
		t.Errorf("late watch: %+v", e)
	}
}

// testCloseFromWatch: the owner of a leaf may close it when it is told.
func testCloseFromWatch(t *testing.T) {
	leaf := newLeaf(t, open(t), 1, Limits{Memory: 64 << 20})
	p := startHog(t, leaf, 500)
	closed := make(chan error, 2)
	if err := leaf.Watch(func(Event) { closed <- leaf.Close() }); err != nil {
		t.Fatal(err)
	}
	p.stdin.Write([]byte("x"))
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("no event")
	}
	p.wait()
}

// testForeignOOM: without limits.memory one process is killed, not the group,
// and it was not the leaf's limit.
func testForeignOOM(t *testing.T) {
	tree := open(t)
	leaf := newLeaf(t, tree, 1, Limits{})
	p := startHog(t, leaf, 500)
	if err := write(filepath.Join(filepath.Dir(leaf.dir), "memory.max"), strconv.Itoa(64<<20)); err != nil {
		t.Fatal(err)
	}
	_ = write(filepath.Join(filepath.Dir(leaf.dir), "memory.swap.max"), "0")
	defer write(filepath.Join(filepath.Dir(leaf.dir), "memory.max"), "max")
	p.stdin.Write([]byte("x"))
	p.stdin.Close()
	p.wait()
	o, ok := leaf.OOM()
	if !ok || o.Incidents != 1 || o.OwnLimit || o.Limit != 0 {
		t.Errorf("%+v, %v", o, ok)
	}
	if !populated(leaf.dir) {
		t.Error("the sibling is gone too")
	}
}

func testMemoryHigh(t *testing.T) {
	leaf := newLeaf(t, open(t), 1, Limits{MemoryHigh: 32 << 20})
	told := make(chan Event, 1)
	if err := leaf.Watch(func(e Event) {
		select {
		case told <- e:
		default:
		}
	}); err != nil {
		t.Fatal(err)
	}
	p := startHog(t, leaf, 36)
	p.stdin.Write([]byte("x"))
	select {
	case e := <-told:
		if e.High == 0 || e.OOM != nil {
			t.Errorf("%+v", e)
		}
	case <-time.After(time.Minute):
		t.Error("no event")
	}
}

func testOver(t *testing.T) {
	leaf := newLeaf(t, open(t), 1, Limits{})
	p := startHog(t, leaf, 40)
	if over, ok := leaf.Over(40 << 20); over || !ok {
		t.Error("before:", over, ok)
	}
	p.stdin.Write([]byte("x"))
	if got := p.line(); got != "done" {
		t.Fatalf("got %q", got)
	}
	if over, ok := leaf.Over(40 << 20); !over || !ok {
		t.Error("after:", over, ok)
	}
	if n := testing.AllocsPerRun(100, func() { leaf.Over(1 << 40) }); n > 0 {
		t.Errorf("Over allocates %v times", n)
	}
}

func testPids(t *testing.T) {
	leaf := newLeaf(t, open(t), 1, Limits{Pids: 20})
	p := run(t, leaf, "", "sh", "-c", "while :; do sleep 1000 & done")
	if got := strings.ToLower(p.line()); !strings.Contains(got, "fork") {
		t.Errorf("got %q", got)
	}
	if n := len(procs(leaf.dir)); n > 20 {
		t.Errorf("%d processes", n)
	}
}

func testCPU(t *testing.T) {
	leaf := newLeaf(t, open(t), 1, Limits{CPU: 0.2})
	run(t, leaf, "", "sh", "-c", "while :; do :; done")
	begin := time.Now()
	await(t, "0.3 s of CPU time", func() bool { u, _ := leaf.Usage(); return u.CPU >= 300*time.Millisecond })
	elapsed := time.Since(begin)
	u, _ := leaf.Usage()
	if u.Throttled == 0 {
		t.Error("not throttled")
	}
	if share := u.CPU.Seconds() / elapsed.Seconds(); share > 0.35 {
		t.Errorf("used %.2f processors", share)
	}
}

// testCPUWeight: a weight is the pool's, also beside one without.
func testCPUWeight(t *testing.T) {
	tree := open(t)
	for name, c := range map[string]struct {
		weight int
		want   string
	}{"light": {50, "50"}, "plain": {0, "100"}} {
		pool, err := tree.Pool(name)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := pool.Leaf(1, Limits{CPUWeight: c.weight})
		if err != nil {
			t.Fatal(err)
		}
		defer leaf.Close()
		if err := tree.enableAll("cpu", tree.Dir()); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(filepath.Join(pool.dir, "cpu.weight")); strings.TrimSpace(string(b)) != c.want {
			t.Errorf("cpu.weight of %s: %q, wanted %s", name, b, c.want)
		}
	}
}

// testBudget needs MemoryMax=700M CPUQuota=50% of the unit.
func testBudget(t *testing.T) {
	b := open(t).Budget()
	if b.Memory != 700<<20 || b.CPU != 0.5 {
		t.Errorf("%+v", b)
	}
}
