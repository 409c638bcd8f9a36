package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/systemd"
)

// shell runs a command line in the worker and returns what it writes.
func (a *site) shell(line string) string {
	a.t.Helper()
	a.write("command", line)
	return a.get("/shell")
}

// TestWorkersMayNotStop: a worker is none of the admins, whoever it runs as and
// however it hides, and may do what RoadRunner lets it, unless restricted.
func TestWorkersMayNotStop(t *testing.T) {
	ctl := filepath.Join(bin, "rrctl") + " --socket rpc.sock "
	for _, user := range []int{os.Geteuid(), nobody} {
		for _, workers := range []string{"compatible", "restricted"} {
			if user != os.Geteuid() && os.Geteuid() != 0 {
				continue // only root can be somebody else
			}
			t.Run(fmt.Sprintf("%s/uid%d", workers, user), func(t *testing.T) {
				a := newSite(t, plain)
				if user != os.Geteuid() {
					a.become(user)
				}
				a.serve("-o", "rpc.workers="+workers)
				want := "rrd.Stop is for the role admin, and the caller is a worker or was started by one"
				if got := a.shell(ctl + "stop 2>&1; echo exit $?"); !strings.Contains(got, want) || !strings.Contains(got, "exit 4") {
					t.Errorf("stop by a worker: %s", got)
				}
				// A double fork in a session of its own.
				a.shell("(setsid sh -c '" + ctl + "reload >hidden 2>&1; mv hidden told' </dev/null >/dev/null 2>&1 &)")
				a.await("told")
				if got, _ := os.ReadFile(filepath.Join(a.dir, "told")); !strings.Contains(string(got), "rrd.Reload is for the role admin, and the caller is a worker") {
					t.Errorf("reload by a detached process: %s", got)
				}
				got := a.shell(ctl + "reset http 2>&1; echo exit $?")
				if workers == "restricted" != strings.Contains(got, "exit 4") {
					t.Errorf("reset by a worker: %s", got)
				}
				if code, out := a.ctl("status"); code != 0 {
					t.Errorf("status: %d %s", code, out)
				}
				// Us it obeys.
				if code, out := a.ctl("reload"); code != 0 {
					t.Errorf("reload by an admin: %d %s", code, out)
				}
				if user == nobody {
					cmd := exec.Command(filepath.Join(bin, "rrctl"), "--socket", "rpc.sock", "reload")
					cmd.Dir = a.dir
					cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.user}
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Errorf("reload by the daemon's user: %v %s", err, out)
					}
				}
				a.stop()
			})
		}
	}
}

// TestStrangersMayNotStop: who may open the socket and is no admin.
func TestStrangersMayNotStop(t *testing.T) {
	if os.Geteuid() != 0 {
		return // only root can be somebody else
	}
	a := newSite(t, plain)
	a.serve()
	if err := os.Chmod(filepath.Join(a.dir, "rpc.sock"), 0o666); err != nil {
		t.Fatal(err)
	}
	run := func(command string) (string, int) {
		cmd := exec.Command(filepath.Join(bin, "rrctl"), "--socket", "rpc.sock", command)
		cmd.Dir = a.dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := run("stop"); code != 4 || !strings.Contains(out, "the caller is a client (pid ") {
		t.Errorf("stop: %d %s", code, out)
	}
	if out, code := run("status"); code != 0 {
		t.Errorf("status: %d %s", code, out)
	}
	if out, code := run("reset"); code != 0 {
		t.Errorf("reset: %d %s", code, out)
	}
	a.stop()
}

// TestFamily: who descends from whom.
func TestFamily(t *testing.T) {
	line, err := ancestors(os.Getpid())
	if err != nil || len(line) == 0 || line[0] != os.Getppid() {
		t.Errorf("%v, %v", line, err)
	}
	if line, err := ancestors(1 << 30); err == nil {
		t.Errorf("nobody's parents: %v", line)
	}
	d := new(Daemon)
	for pid, want := range map[int]bool{os.Getpid(): false, os.Getppid(): false, 1 << 30: true} {
		if got := d.isWorker(pid, uint32(os.Geteuid())); got != want {
			t.Errorf("%d: %v", pid, got)
		}
	}
}

// TestWorkersOfAnEarlierRun: after a crash of the daemon what a worker has left
// behind is nobody's child any more, and is known by its control group.
func TestWorkersOfAnEarlierRun(t *testing.T) {
	group, ok := delegatedGroup(t)
	if !ok {
		return // it takes root and a writable cgroup2
	}
	a := newSite(t, plain)
	a.prog = []string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, group, filepath.Join(bin, "rrd")}
	a.serve()
	ctl := filepath.Join(bin, "rrctl") + " --socket rpc.sock "
	if got := a.shell(ctl + "stop 2>&1"); !strings.Contains(got, "the caller is a worker") {
		t.Errorf("stop by a worker: %s", got)
	}
	// Leaf 1 is emptied when the next daemon needs its number; this one is not.
	if code, out := a.ctl("reload"); code != 0 {
		t.Errorf("reload by an admin: %d %s", code, out)
	}
	a.shell("(setsid sh -c 'touch left; until [ -e go ]; do sleep 0.02; done; " + ctl + "reload >hidden 2>&1; mv hidden told' </dev/null >/dev/null 2>&1 &)")
	a.await("left")
	if err := a.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-a.exited
	a.serve()
	a.write("go", "")
	a.await("told")
	if got, _ := os.ReadFile(filepath.Join(a.dir, "told")); !strings.Contains(string(got), "the caller is a worker") {
		t.Errorf("reload by what an earlier worker left behind: %s", got)
	}
	if code, out := a.ctl("reload"); code != 0 {
		t.Errorf("reload by an admin: %d %s", code, out)
	}
	a.stop()
}

// delegatedGroup makes a control group as systemd gives it to a unit with
// Delegate=.
func delegatedGroup(t *testing.T) (dir string, ok bool) {
	own, err := systemd.OwnCgroup()
	if err != nil {
		return "", false
	}
	dir = filepath.Join(own, fmt.Sprintf("rrd-daemon-test-%d", os.Getpid()))
	if os.Mkdir(dir, 0o755) != nil {
		return "", false
	}
	t.Cleanup(func() {
		await(t, "the control group is empty", func() bool {
			_ = unix.Rmdir(filepath.Join(dir, "daemon"))
			return unix.Rmdir(dir) == nil
		})
	})
	return dir, unix.Setxattr(dir, "user.delegate", []byte("1"), 0) == nil
}
