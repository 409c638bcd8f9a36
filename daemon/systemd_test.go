package daemon

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manager is a service manager as far as rrd sees it: it reads notifications
// and keeps the descriptors of the store.
type manager struct {
	t    *testing.T
	conn *net.UnixConn

	mu       sync.Mutex
	messages []string
	store    []*os.File // Name is the FDNAME
}

func newManager(t *testing.T, path string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, conn: conn}
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.read()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
		for _, f := range m.store {
			f.Close()
		}
	})
	return m
}

func (m *manager) read() {
	b, oob := make([]byte, 8192), make([]byte, 4096)
	for {
		n, oobn, _, _, err := m.conn.ReadMsgUnix(b, oob)
		if err != nil {
			return
		}
		var files []*os.File
		if controls, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
			for _, c := range controls {
				fds, _ := unix.ParseUnixRights(&c)
				for _, fd := range fds {
					unix.CloseOnExec(fd)
					files = append(files, os.NewFile(uintptr(fd), field(string(b[:n]), "FDNAME")))
				}
			}
		}
		m.take(string(b[:n]), files)
	}
}

func (m *manager) take(text string, files []*os.File) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages = append(m.messages, text)
	switch {
	case field(text, "FDSTORE") == "1":
		m.store = append(m.store, files...)
		return
	case field(text, "FDSTOREREMOVE") == "1":
		m.store = slices.DeleteFunc(m.store, func(f *os.File) bool {
			gone := f.Name() == field(text, "FDNAME")
			if gone {
				f.Close()
			}
			return gone
		})
	}
	for _, f := range files {
		f.Close()
	}
}

func field(message, name string) string {
	for line := range strings.SplitSeq(message, "\n") {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			return value
		}
	}
	return ""
}

// log lists the messages so far.
func (m *manager) log() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.messages)
}

// count tells how many messages hold the line.
func (m *manager) count(line string) (n int) {
	for _, text := range m.log() {
		if slices.Contains(strings.Split(text, "\n"), line) {
			n++
		}
	}
	return n
}

func (m *manager) stored() (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.store {
		names = append(names, f.Name())
	}
	return names
}

// empty forgets everything, as systemd does when a unit is stopped.
func (m *manager) empty() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.store {
		f.Close()
	}
	m.store = nil
}

// unit starts rrd as the manager's service: with the sockets of its units and
// what is in the store.
func (a *site) unit(m *manager, env []string, sockets ...*os.File) {
	a.t.Helper()
	m.mu.Lock()
	a.files = append(slices.Clone(sockets), m.store...)
	var names []string
	for _, f := range a.files {
		names = append(names, f.Name())
	}
	m.mu.Unlock()
	a.env = append([]string{"NOTIFY_SOCKET=" + m.conn.LocalAddr().String()}, env...)
	if len(a.files) > 0 {
		a.env = append(a.env, "LISTEN_FDS="+strconv.Itoa(len(a.files)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	}
	rrd := filepath.Join(bin, "rrd")
	if a.prog != nil {
		rrd = a.prog[len(a.prog)-1]
	}
	a.prog = []string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, rrd}
	ready := m.count("READY=1")
	a.start()
	await(a.t, "READY=1 arrives", func() bool { return !a.running() || m.count("READY=1") > ready })
	if !a.running() {
		a.t.Fatal("rrd ended")
	}
}

// clients is how many requests traffic has under way at a time.
const clients = 4

// traffic sends requests until the end of the test or stop; it counts those that
// got no right answer.
type traffic struct {
	done, failed atomic.Int64
	first        atomic.Pointer[string]
	cancel       context.CancelFunc
	wg           sync.WaitGroup
}

func newTraffic(t *testing.T, dial func(context.Context, string, string) (net.Conn, error)) *traffic {
	ctx, cancel := context.WithCancel(context.Background())
	l := &traffic{cancel: cancel}
	for i := range clients {
		transport := &http.Transport{DialContext: dial, DisableKeepAlives: i%2 == 0}
		client := &http.Client{Transport: transport, Timeout: limit}
		l.wg.Go(func() {
			defer transport.CloseIdleConnections()
			for ctx.Err() == nil {
				if body, err := get(client, "/"); err != nil || body != "version one" {
					text := fmt.Sprintf("%q %v", body, err)
					l.first.CompareAndSwap(nil, &text)
					l.failed.Add(1)
				}
				l.done.Add(1)
			}
		})
	}
	t.Cleanup(l.stop)
	return l
}

func (l *traffic) stop() {
	l.cancel()
	l.wg.Wait()
}

// more waits for n more requests.
func (l *traffic) more(t *testing.T, n int64) {
	t.Helper()
	until := l.done.Load() + n
	await(t, "requests are answered", func() bool { return l.done.Load() >= until })
}

// A restart under constant load loses no request: with a socket of a socket
// unit, and with one that rrd opened itself and the manager keeps.
func TestRestartUnderLoad(t *testing.T) {
	const stops = 4
	run := func(t *testing.T, a *site, m *manager, dial func(context.Context, string, string) (net.Conn, error), sockets ...*os.File) {
		a.unit(m, nil, sockets...)
		l := newTraffic(t, dial)
		for range stops {
			l.more(t, 50)
			a.stop()
			a.unit(m, nil, sockets...)
		}
		l.more(t, 50)
		if n := l.failed.Load(); n > 0 {
			t.Errorf("%d of %d requests failed in %d restarts; the first: %s", n, l.done.Load(), stops, *l.first.Load())
		}
		// Of a crash only the requests that were running may be lost: one of
		// each client.
		before := l.failed.Load()
		a.signal(syscall.SIGKILL)
		a.wait()
		a.unit(m, nil, sockets...)
		l.more(t, 50)
		l.stop()
		if n := l.failed.Load() - before; n > clients {
			t.Errorf("%d requests failed in a crash; the first: %s", n, *l.first.Load())
		}
		if why := l.first.Load(); why != nil && strings.Contains(*why, "refused") {
			t.Errorf("a connection was refused: %s", *why)
		}
		a.stop()
	}
	t.Run("socket unit", func(t *testing.T) {
		a := newSite(t, plain)
		m := newManager(t, filepath.Join(a.dir, "notify"))
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		file, err := listener.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		named, err := rename(file, "http")
		if err != nil {
			t.Fatal(err)
		}
		defer named.Close()
		run(t, a, m, func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String())
		}, named)
		if _, err := os.Lstat(filepath.Join(a.dir, "http.sock")); err == nil {
			t.Error("the configured address was opened beside the inherited socket")
		}
	})
	t.Run("descriptor store", func(t *testing.T) {
		a := newSite(t, plain)
		m := newManager(t, filepath.Join(a.dir, "notify"))
		run(t, a, m, a.client().Transport.(*http.Transport).DialContext)
		sockets := slices.DeleteFunc(m.stored(), isState)
		if len(sockets) != 2 { // http and rpc, once each
			t.Errorf("stored: %q", sockets)
		}
	})
}

// rename gives a file the name under which it is handed over.
func rename(f *os.File, name string) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	return os.NewFile(uintptr(fd), name), err
}

// A stored socket whose address is not configured any more makes way for the
// new one, even on the same port.
func TestStoreFollowsConfiguration(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	a := newSite(t, strings.Replace(plain, "unix://http.sock", fmt.Sprintf("127.0.0.1:%d", port), 1))
	m := newManager(t, filepath.Join(a.dir, "notify"))
	a.unit(m, nil)
	a.stop()
	a.change("app.yaml", "127.0.0.1:", "tcp://127.0.0.1:") // the same address
	a.unit(m, nil)
	if !a.output.has("socket kept open over the restart") {
		t.Error("the socket was not taken over")
	}
	a.stop()
	a.change("app.yaml", "tcp://127.0.0.1:", "0.0.0.0:")
	a.unit(m, nil)
	if got := m.stored(); len(got) != 2 {
		t.Errorf("stored: %q", got)
	}
	a.stop()
}

// What systemd hears in a whole life, in order.
func TestNotifications(t *testing.T) {
	a := newSite(t, plain)
	m := newManager(t, filepath.Join(a.dir, "notify"))
	a.unit(m, []string{"WATCHDOG_USEC=400000"})
	answer := a.async("/slow")
	a.await("slow")
	beats := m.count("WATCHDOG=1")
	await(t, "the watchdog is fed while the only worker is busy", func() bool { return m.count("WATCHDOG=1") >= beats+4 })
	a.write("go", "")
	if got := <-answer; got.err != nil {
		t.Error(got.err)
	}
	a.reload()
	a.write("worker.php", "<?php no_such_function();")
	if code, _ := a.ctl("reload"); code != 1 {
		t.Errorf("rrctl reload: exit status %d", code)
	}
	a.stop()

	var story []string
	for _, text := range m.log() {
		for line := range strings.SplitSeq(text, "\n") {
			name, value, _ := strings.Cut(line, "=")
			switch name {
			case "READY", "RELOADING", "STOPPING":
				story = append(story, name)
			case "MONOTONIC_USEC":
				var now unix.Timespec
				_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
				usec, err := strconv.ParseInt(value, 10, 64)
				if age := time.Duration(now.Nano()/1000-usec) * time.Microsecond; err != nil || age < 0 || age > limit {
					t.Errorf("MONOTONIC_USEC=%s is %s ago (%v)", value, age, err)
				}
				story = append(story, name)
			case "STATUS":
				if name = statusWord(value); name != story[max(0, len(story)-1)] {
					story = append(story, name)
				}
			}
		}
	}
	want := "READY idle RELOADING MONOTONIC_USEC reloading READY idle RELOADING MONOTONIC_USEC reloading READY failed STOPPING draining"
	if got := strings.Join(story, " "); got != want {
		t.Errorf("systemd heard\n%s, want\n%s", got, want)
	}
	if m.count("EXTEND_TIMEOUT_USEC=10000000") == 0 {
		t.Error("no time was asked for to stop")
	}
}

// statusWord reduces a status line to what it says first.
func statusWord(line string) string {
	switch {
	case strings.HasPrefix(line, "http 1/1 idle, queue 0, ") && strings.Contains(line, "; the last reload failed: "):
		return "failed"
	case strings.HasPrefix(line, "http 1/1 idle, queue 0, "), strings.HasPrefix(line, "http 0/1 idle"):
		return "idle"
	}
	word, _, _ := strings.Cut(line, " ")
	return strings.TrimSuffix(word, ";")
}

// endure.watchdog_sec works without WatchdogSec= of the unit, as in RoadRunner.
func TestWatchdogSec(t *testing.T) {
	a := newSite(t, plain+"endure: {watchdog_sec: 1}\n")
	m := newManager(t, filepath.Join(a.dir, "notify"))
	a.unit(m, nil)
	await(t, "the watchdog is fed", func() bool { return m.count("WATCHDOG=1") >= 2 })
	a.stop()
}

// `systemctl status` shows why a unit failed.
func TestFailureInStatus(t *testing.T) {
	a := newSite(t, strings.Replace(plain, "worker.php", "absent.php", 1))
	m := newManager(t, filepath.Join(a.dir, "notify"))
	a.env = []string{"NOTIFY_SOCKET=" + m.conn.LocalAddr().String()}
	a.start()
	if code := a.wait(); code != 1 {
		t.Errorf("exit status %d", code)
	}
	await(t, "the status tells the reason", func() bool {
		log := m.log()
		return len(log) > 0 && strings.Contains(field(log[len(log)-1], "STATUS"), "Could not open input file")
	})
	if m.count("READY=1") != 0 {
		t.Error("READY=1 although nothing is served")
	}
}
