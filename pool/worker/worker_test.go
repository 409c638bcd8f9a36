package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/rr-systemd/rrd/ipc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// boots makes a spawner that is closed at the end, and checks that no child is
// left then.
func newSpawner(t testing.TB) *Spawner {
	t.Helper()
	s := NewSpawner()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.ECHILD {
			t.Errorf("a child is left: %d %v", pid, err)
		}
	})
	return s
}

func phpSpec(t testing.TB, args ...string) *Spec {
	t.Helper()
	script, err := filepath.Abs("../testdata/worker.php")
	if err != nil {
		t.Fatal(err)
	}
	return &Spec{Argv: append([]string{"php", script}, args...), Env: os.Environ()}
}

func boot(t testing.TB, s *Spawner, spec *Spec) *Worker {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	w, err := s.Boot(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Destroy(); w.Close() })
	return w
}

func ask(t testing.TB, w *Worker, body string) string {
	t.Helper()
	p := &ipc.Payload{Codec: 4, Body: []byte(body), ID: "id-" + body}
	if err := w.Begin(p); err != nil {
		t.Fatal(err)
	}
	defer w.End()
	if err := w.Channel.Send(p); err != nil {
		t.Fatal(err)
	}
	m, err := w.Channel.Recv()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Release()
	return string(m.Body)
}

func TestBootAndStop(t *testing.T) {
	s := newSpawner(t)
	w := boot(t, s, phpSpec(t))
	if w.State() != Ready || w.Execs() != 0 || !w.LastUsed().IsZero() || !w.Alive() {
		t.Errorf("state %v", w.State())
	}
	if got := ask(t, w, "pid"); got != fmt.Sprint(w.PID()) {
		t.Errorf("pid %s, want %d", got, w.PID())
	}
	if pgid, err := unix.Getpgid(w.PID()); err != nil || pgid != w.PID() {
		t.Errorf("process group %d %v", pgid, err)
	}
	if w.Execs() != 1 || w.LastUsed().IsZero() {
		t.Error("the execution was not counted")
	}
	w.Doom(MaxJobs)
	w.Stop()
	w.Close()
	if e := w.Exit(); !e.Known || e.Code != 0 || e.Signal != 0 || e.MaxRSS == 0 {
		t.Errorf("exit %+v", e)
	}
	if w.State() != Stopped || w.Settle() != MaxJobs || w.Alive() {
		t.Errorf("state %v, cause %v", w.State(), w.Cause())
	}
	w.Signal(unix.SIGKILL) // of a pid that may be somebody else's by now: nothing happens
	if err := w.Begin(&ipc.Payload{}); err == nil {
		t.Error("a stopped worker took a payload")
	}
}

func TestTerminateEscalates(t *testing.T) {
	s := newSpawner(t)
	polite, rude := boot(t, s, phpSpec(t)), boot(t, s, phpSpec(t, "term"))
	polite.Terminate()
	rude.Terminate()
	if got := polite.Exit().Signal; got != unix.SIGTERM {
		t.Errorf("ended by %v", got)
	}
	if got := rude.Exit().Signal; got != unix.SIGKILL {
		t.Errorf("ended by %v", got)
	}
	rude.Close()
	if rude.State() != Destroyed || rude.Settle() != Signaled {
		t.Errorf("state %v, cause %v", rude.State(), rude.Cause())
	}
}

func TestKillTakesTheWholeGroup(t *testing.T) {
	s := newSpawner(t)
	spec := &Spec{Argv: []string{"sh", "-c", "sleep 3600 & echo $! >&2; wait"}, Env: os.Environ()}
	var pid int
	got := make(chan struct{})
	spec.Stderr = func(o Output) { fmt.Sscan(string(o.Chunk), &pid); close(got) }
	w, err := s.launch(spec)
	if err != nil {
		t.Fatal(err)
	}
	<-got
	w.Destroy()
	w.Close()
	deadline := time.Now().Add(time.Minute)
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the worker's child %d lives", pid)
		}
		<-time.After(time.Millisecond)
	}
}

// Each line is told with the id of the request that wrote it, also when the next
// request follows at once and the reader has not yet seen the line.
func TestStderrBelongsToItsRequest(t *testing.T) {
	s := newSpawner(t)
	var mu sync.Mutex
	got := map[string]string{}
	spec := phpSpec(t)
	spec.Generation = 7
	spec.Stderr = func(o Output) {
		mu.Lock()
		defer mu.Unlock()
		got[strings.TrimSpace(string(o.Chunk))] = fmt.Sprintf("%d %d %s", o.PID, o.Generation, o.RequestID)
	}
	w := boot(t, s, spec)
	const n = 500
	for i := range n {
		ask(t, w, fmt.Sprintf("stderr line %d", i))
	}
	w.Stop()
	mu.Lock()
	defer mu.Unlock()
	for i := range n {
		line := fmt.Sprintf("line %d", i)
		if want := fmt.Sprintf("%d 7 id-stderr %s", w.PID(), line); got[line] != want {
			t.Fatalf("%q was told as %q, want %q", line, got[line], want)
		}
	}
	if tail := w.StderrTail(); tail[len(tail)-1] != fmt.Sprintf("line %d", n-1) {
		t.Errorf("tail %q", tail)
	}
}

func TestStderrTailIsBounded(t *testing.T) {
	var e output
	for i := range 10000 {
		e.tell(fmt.Appendf(nil, "line %d\n", i))
	}
	tail := e.tail()
	if len(tail) != tailLines || tail[len(tail)-1] != "line 9999" || cap(e.last) > 4*tailBytes {
		t.Errorf("%d lines, capacity %d", len(tail), cap(e.last))
	}
	e.tell([]byte(strings.Repeat("\xffx", 1<<20)))
	if n := len(strings.Join(e.tail(), "")); n > 2*tailBytes {
		t.Errorf("%d bytes", n)
	}
}

func TestStderrHeldByAChildDoesNotDelayTheEnd(t *testing.T) {
	s := newSpawner(t)
	w := boot(t, s, phpSpec(t))
	defer unix.Kill(-w.PID(), unix.SIGKILL) // the child stays in the worker's group
	p := &ipc.Payload{Body: []byte("child")}
	if err := w.Channel.Send(p); err != nil {
		t.Fatal(err)
	}
	if !w.Gone(time.Minute) {
		t.Fatal("the worker does not end")
	}
	if w.Exit().Code != 5 {
		t.Errorf("exit %v", w.Exit())
	}
}

func TestEnvironment(t *testing.T) {
	got := environ([]string{"A=1", "NOTIFY_SOCKET=/x", "B=2", "LISTEN_FDS=3", "LISTEN_PID=1", "LISTEN_FDNAMES=a", "WATCHDOG_USEC=1",
		"WATCHDOG_PID=4", "A=3", "broken", "=x", "C=a\x00b", "PWD=/"}, "/srv")
	if want := []string{"B=2", "A=3", "PWD=/srv"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestArgv(t *testing.T) {
	for _, c := range [][2][]string{
		{{"php worker.php"}, {"php", "worker.php"}},
		{{"php  w.php"}, {"php", "", "w.php"}},
		{{"php", "a b"}, {"php", "a b"}},
		{nil, nil},
	} {
		if got := Argv(c[0]); !slices.Equal(got, c[1]) {
			t.Errorf("%q: %q", c[0], got)
		}
	}
}

func TestCredential(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("not root: only root can change the user")
		return
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	var uid, gid uint32
	fmt.Sscan(u.Uid, &uid)
	fmt.Sscan(u.Gid, &gid)
	dir := t.TempDir()
	script, err := os.ReadFile("../testdata/worker.php")
	if err != nil {
		t.Fatal(err)
	}
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "w.php")
	if err := os.WriteFile(file, script, 0o644); err != nil {
		t.Fatal(err)
	}
	s := newSpawner(t)
	for _, groups := range [][]uint32{nil, {1, 2}} {
		spec := &Spec{Argv: []string{"php", file}, Env: os.Environ(), Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}}
		want := fmt.Sprintf("%d:%d:", uid, gid)
		if groups != nil {
			want += "1,2"
		}
		if got := ask(t, boot(t, s, spec), "id"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestWorkersDieWithTheThread(t *testing.T) {
	s := newSpawner(t)
	w := boot(t, s, phpSpec(t))
	// The forking thread is alive as long as the spawner is: no amount of
	// other threads that come and go kills the worker.
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() { runtime.LockOSThread() }) // never unlocked: the thread ends
	}
	wg.Wait()
	if w.Gone(50 * time.Millisecond) {
		t.Fatalf("the worker died: %v", w.Exit())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if w.Exit().Signal != unix.SIGKILL {
		t.Errorf("exit %v", w.Exit())
	}
	if _, err := s.Boot(context.Background(), phpSpec(t)); !errors.Is(err, ErrSpawnerClosed) {
		t.Errorf("got %v", err)
	}
}

func TestIdleWorkersCostNoThread(t *testing.T) {
	s := newSpawner(t)
	boot(t, s, phpSpec(t))
	threads := func() int {
		list, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := threads()
	for range 24 {
		boot(t, s, phpSpec(t))
	}
	if after := threads(); after > before+8 {
		t.Errorf("24 workers took %d threads", after-before)
	}
}

func TestNoDescriptorIsLeft(t *testing.T) {
	s := newSpawner(t)
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	round := func() {
		w := boot(t, s, phpSpec(t))
		w.Stop()
		w.Close()
		for _, spec := range []*Spec{phpSpec(t, "exit"), {Argv: []string{"/no/such"}}, {Argv: []string{"/dev/null"}}, {Argv: []string{"php"}, Dir: "/no"}} {
			if _, err := s.Boot(context.Background(), spec); err == nil {
				t.Fatal("no error")
			}
		}
	}
	round()
	before := count()
	for range 5 {
		round()
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestWithoutPidfd(t *testing.T) {
	s := newSpawner(t)
	spec := phpSpec(t)
	r, w, err := pipe("stderr", true)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(w)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exit 9"}, &syscall.ProcAttr{Files: []uintptr{null.Fd(), null.Fd(), uintptr(w)}})
	if err != nil {
		t.Fatal(err)
	}
	p := newProcess(pid, -1, r, spec)
	p.run()
	if e := p.Exit(); e.String() != "exit status 9" {
		t.Errorf("exit %v", e)
	}
	_ = s
}

func TestRelay(t *testing.T) {
	for _, address := range []string{"tcp://127.0.0.1:0", "unix://" + filepath.Join(t.TempDir(), "relay.sock")} {
		r, err := ListenRelay(address)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		dial := func() net.Conn {
			c, err := net.Dial(r.Addr().Network(), r.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		// Strangers who say nothing, or nonsense, disturb nobody.
		mute, mad := dial(), dial()
		defer mute.Close()
		io.WriteString(mad, "GET / HTTP/1.0\r\n\r\n")
		mad.Close()

		s := newSpawner(t)
		spec := phpSpec(t, "relay")
		spec.Relay = r
		spec.Argv = []string{"php", relayScript(t), r.Addr().Network() + "://" + r.Addr().String()}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				w, err := s.Boot(ctx, spec)
				if err != nil {
					t.Error(err)
					return
				}
				if got := ask(t, w, "pid"); got != fmt.Sprint(w.PID()) {
					t.Errorf("worker %d was answered by %s", w.PID(), got)
				}
				w.Stop()
				w.Close()
				if w.Exit().Code != 0 {
					t.Errorf("exit %v", w.Exit())
				}
			})
		}
		wg.Wait()

		// One whose child keeps the connection open is seen to end all the same.
		w := boot(t, s, spec)
		_ = w.Channel.SetDeadline(time.Now().Add(time.Minute))
		if err := w.Channel.Send(&ipc.Payload{Body: []byte("child")}); err != nil {
			t.Error(err)
		}
		if _, err := w.Channel.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("a worker ended: %v", err)
		}
		_ = unix.Kill(-w.PID(), unix.SIGKILL)

		// One that never connects.
		spec = phpSpec(t, "hang")
		spec.Relay = r
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		var boot *BootError
		if _, err := s.Boot(ctx, spec); !errors.As(err, &boot) || boot.Text != allocateTimeout {
			t.Errorf("got %v", err)
		}
		spec = phpSpec(t, "exit")
		spec.Relay = r
		if _, err := s.Boot(context.Background(), spec); !errors.As(err, &boot) || boot.Text != "EOF" || boot.Exit.Code != 3 {
			t.Errorf("got %v", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "pipes", "tcp://", "udp://x:1", "127.0.0.1:1"} {
		if _, err := ListenRelay(bad); err == nil || !strings.Contains(err.Error(), "invalid DSN") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// relayScript is the pipe worker with its two streams replaced by a socket.
func relayScript(t testing.TB) string {
	t.Helper()
	src, err := os.ReadFile("../testdata/worker.php")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("STDIN", "$GLOBALS['sock']", "STDOUT", "$GLOBALS['sock']", "$argv[1] ?? ''", "''").Replace(string(src))
	text = strings.Replace(text, "<?php", "<?php $GLOBALS['sock'] = stream_socket_client($argv[1]);", 1)
	file := filepath.Join(t.TempDir(), "relay.php")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestStateMachine walks at random: final states have no way out, and every
// state but those can be left by stop and by kill.
func TestStateMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &Worker{}
		for _, next := range rapid.SliceOf(rapid.Uint8Range(0, 12)).Draw(t, "path") {
			old, to := w.State(), State(next)
			err := w.To(to)
			if now := w.State(); err == nil && now != to || err != nil && now != old {
				t.Fatalf("%v to %v: %v, now %v", old, to, err, now)
			}
			switch {
			case err != nil:
				if old != Stopped && old != Destroyed && (to == Destroyed || to == Stopped) {
					t.Fatalf("%v cannot end: %v", old, err)
				}
			case old == Stopped || old == Destroyed:
				t.Fatalf("left %v", old)
			case to == Ready && old != Inactive && old != Working, to == Working && old != Ready, to == Inactive:
				t.Fatalf("%v to %v", old, to)
			}
		}
	})
	if s := State(77).String(); s != "undefined" {
		t.Error(s)
	}
	for s, want := range map[State]string{Inactive: "inactive", MaxJobsReached: "maxJobsReached", MaxMemoryReached: "maxMemoryReached", ExecTTLReached: "undefined"} {
		if s.String() != want {
			t.Errorf("%d: %s, want %s", s, s, want)
		}
	}
}

func TestCausesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for c := NoCause; c <= OOM; c++ {
		if name := c.String(); seen[name] || c != NoCause && name == "" {
			t.Errorf("cause %d is called %q", c, name)
		}
		seen[c.String()] = true
		for _, busy := range []bool{false, true} {
			w := &Worker{}
			w.state.Store(uint32(Ready))
			if busy {
				w.state.Store(uint32(Working))
			}
			if w.Doom(c); c != NoCause && (w.State() == Ready || w.State() == Working) {
				t.Errorf("a worker doomed by %s (busy: %v) is still %s", c, busy, w.State())
			}
		}
	}
}

func BenchmarkBoot(b *testing.B) {
	s := newSpawner(b)
	spec := phpSpec(b)
	for b.Loop() {
		w, err := s.Boot(context.Background(), spec)
		if err != nil {
			b.Fatal(err)
		}
		w.Destroy()
		w.Close()
	}
}
