package worker

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// zombies lists the dead children of this process that nobody has waited for.
func zombies(t testing.TB) (list []string) {
	t.Helper()
	procs, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		stat, err := os.ReadFile("/proc/" + p.Name() + "/stat")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		var state string
		var parent int
		fmt.Sscan(rest, &state, &parent)
		if state == "Z" && parent == os.Getpid() {
			list = append(list, string(stat))
		}
	}
	return list
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// What shell_exec leaves behind becomes our child and does not stay a zombie;
// no exit status of a worker or of os/exec is lost over that.
func TestOrphansAreReaped(t *testing.T) {
	s := newSpawner(t)
	if err := s.AdoptOrphans(""); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { // exit statuses that are somebody's
			for i := range 100 {
				cmd := exec.Command("sh", "-c", fmt.Sprintf("exit %d", i%50+1))
				if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != i%50+1 {
					t.Errorf("exit status of run %d: %v", i, err)
				}
			}
		})
	}
	for i := range 20 {
		// Two orphans: one that is dead before the worker, one after.
		spec := &Spec{Argv: []string{"sh", "-c", fmt.Sprintf("(true &); (sleep 0.05 &); exit %d", i+1)}, Env: os.Environ()}
		w, err := s.launch(spec)
		if err != nil {
			t.Fatal(err)
		}
		<-w.Done()
		if e := w.Exit(); !e.Known || e.Code != i+1 {
			t.Errorf("worker %d: %v", i, e)
		}
		w.Close()
	}
	wg.Wait()
	await(t, "all zombies to be reaped", func() bool { return len(zombies(t)) == 0 })
	await(t, "the groups to be forgotten", func() bool {
		w, err := s.launch(&Spec{Argv: []string{"true"}, Env: os.Environ()})
		if err != nil {
			t.Fatal(err)
		}
		<-w.Done()
		w.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.ended) <= 1
	})
}

// A dead child that nobody has waited for yet does not keep orphans waiting for
// ever, nor is it taken away.
func TestOrphansBehindAForeignZombie(t *testing.T) {
	s := newSpawner(t)
	if err := s.AdoptOrphans(""); err != nil {
		t.Fatal(err)
	}
	mine := exec.Command("sh", "-c", "exit 7")
	if err := mine.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "a zombie", func() bool { return len(zombies(t)) == 1 })
	w := boot(t, s, &Spec{Argv: []string{"php", phpSpec(t).Argv[1]}, Env: os.Environ()})
	w.Destroy()
	if e := w.Exit(); e.Signal != unix.SIGKILL {
		t.Errorf("exit %v", e)
	}
	if err := mine.Wait(); err == nil || mine.ProcessState.ExitCode() != 7 {
		t.Errorf("the exit status is lost: %v", err)
	}
}

func TestWithin(t *testing.T) {
	const dir = "/sys/fs/cgroup/system.slice/rr@app.service/workers"
	for groups, want := range map[string]bool{
		"0::/system.slice/rr@app.service/workers/http/3\n":                    true,
		"0::/system.slice/rr@app.service/workers/http/3 (deleted)\n":          true,
		"0::/system.slice/rr@app.service/workers/http/3/own/below\n":          true,
		"1:name=systemd:/x\n0::/system.slice/rr@app.service/workers/http/3\n": true,
		"0::/system.slice/rr@app.service/daemon\n":                            false,
		"0::/system.slice/rr@other.service/workers/http/3\n":                  false,
		"0::/\n": false, "": false, "0::\n": false, "4:pids:/workers/http/1\n": false,
		"0::/workers/http/1\n": true, // in a cgroup namespace
	} {
		if got := within(groups, dir); got != want {
			t.Errorf("%q: %v", groups, got)
		}
	}
}

func FuzzProcessGroup(f *testing.F) {
	f.Add([]byte("12 (a) b) S 1 42 42 0"))
	f.Add([]byte(")"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, b []byte) { _ = processGroup(b) })
	if got := processGroup([]byte("12 (a) b) S 1 42 42 0")); got != 42 {
		f.Errorf("got %d", got)
	}
}
