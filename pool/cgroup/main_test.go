package cgroup

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/systemd"
)

// Variables of the tests. labVar is set by tests/lab/cgroup.sh. "delegated": the
// process runs in a delegated unit that has every controller, and a test that
// cannot do its work is a failure. "none": nothing is delegated, even to root.
const (
	labVar   = "RRD_CGROUP_LAB"
	hogVar   = "RRD_CGROUP_TEST_HOG"   // makes the test binary take so many MiB
	crashVar = "RRD_CGROUP_TEST_CRASH" // makes it a service that is killed once; a file to note that in
	serveVar = "RRD_CGROUP_TEST_SERVE" // makes it a service that does nothing
)

// real says that the test process is in a delegated group. Elsewhere only
// parsing and degrading can be tested.
var real bool

func TestMain(m *testing.M) {
	if v := os.Getenv(hogVar); v != "" {
		hog(v)
		return
	}
	if v := os.Getenv(crashVar); v != "" {
		crash(v)
		return
	}
	if os.Getenv(serveVar) != "" {
		if tree, err := Open(slog.Default()); err != nil || tree.Degraded() != nil {
			os.Exit(1)
		}
		fmt.Println("serving")
		_ = unix.Pause()
		os.Exit(1) // SIGTERM ends it before
	}
	leave := func() {}
	switch os.Getenv(labVar) {
	case "delegated":
		real = true
	case "":
		leave, real = delegate()
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	leave()
	os.Exit(code)
}

// delegate plays systemd: it puts this process into a new group that is marked
// as delegated. It needs root and a writable cgroup2, with or without
// controllers.
func delegate() (leave func(), ok bool) {
	leave = func() {}
	own, err := systemd.OwnCgroup()
	if err != nil {
		return leave, false
	}
	dir := filepath.Join(own, "rrd-test-"+strconv.Itoa(os.Getpid()))
	if os.Mkdir(dir, 0o755) != nil {
		return leave, false
	}
	leave = func() {
		_ = write(filepath.Join(own, "cgroup.procs"), strconv.Itoa(os.Getpid()))
		if err := remove(dir, time.Now().Add(removeTimeout)); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if unix.Setxattr(dir, "user.delegate", []byte("1"), 0) != nil ||
		write(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(os.Getpid())) != nil {
		leave()
		return func() {}, false
	}
	return leave, true
}

// hog waits for a byte on stdin and then takes memory, until killed or stdin
// ends.
func hog(mib string) {
	n, _ := strconv.Atoi(mib)
	fmt.Println("ready")
	_, _ = os.Stdin.Read(make([]byte, 1))
	b := make([]byte, n<<20)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	fmt.Println("done")
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Fprintln(io.Discard, b[0])
}

// crash is a service that opens its tree and starts a worker with a child. The
// first time it is killed then; the second time it tells how it found things.
func crash(note string) {
	tree, err := Open(slog.Default())
	if err != nil || tree.Degraded() != nil {
		fmt.Println("cannot open:", err, tree.Degraded())
		os.Exit(1)
	}
	pool, err := tree.Pool("http")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	leaf, err := pool.Leaf(1, Limits{Memory: 64 << 20})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	cmd := exec.Command("sh", "-c", "setsid sleep 1000 & echo; wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: leaf.FD(), Pdeathsig: syscall.SIGKILL}
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	_, _ = out.Read(make([]byte, 1))
	if exists(note) {
		if err := errors.Join(leaf.Close(), tree.Close()); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("started again")
		return
	}
	_ = os.WriteFile(note, nil, 0o600)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

var silent = slog.New(slog.DiscardHandler)

// open opens the tree of this process and closes it with the test.
func open(t *testing.T) *Tree {
	t.Helper()
	tree, err := Open(silent)
	if err != nil {
		t.Fatal(err)
	}
	if tree.Degraded() != nil {
		t.Fatal("degraded:", tree.Degraded())
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
		if exists(tree.Dir()) {
			t.Error("groups are left:", subtree(tree.Dir()))
		}
	})
	return tree
}

// newLeaf makes a leaf that the test closes.
func newLeaf(t *testing.T, tree *Tree, n uint64, l Limits) *Leaf {
	t.Helper()
	pool, err := tree.Pool("test")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := pool.Leaf(n, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := leaf.Close(); err != nil {
			t.Error(err)
		}
	})
	return leaf
}

// program is a process in a leaf.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   io.Reader
	ended bool
}

// run starts a program in the leaf; it is gone at the end of the test.
func run(t *testing.T, leaf *Leaf, env string, argv ...string) *program {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: leaf.FD() > 0, CgroupFD: leaf.FD(), Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, cmd: cmd, stdin: stdin, out: out}
	t.Cleanup(func() {
		_ = leaf.Kill()
		if !p.ended {
			_ = cmd.Process.Kill()
			p.wait()
		}
		stdin.Close()
	})
	return p
}

// wait returns how the program ended.
func (p *program) wait() syscall.WaitStatus {
	_ = p.cmd.Wait()
	p.ended = true
	return p.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// line reads one line of output.
func (p *program) line() string {
	p.t.Helper()
	var line []byte
	b := make([]byte, 1)
	for {
		if _, err := p.out.Read(b); err != nil || b[0] == '\n' {
			return string(line)
		}
		line = append(line, b[0])
	}
}

// await polls a condition.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("this did not happen:", what)
		}
	}
}
