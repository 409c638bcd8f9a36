package systemd

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childVar makes the test binary play a service: see child.
const childVar = "RRD_SYSTEMD_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childVar); mode != "" {
		os.Unsetenv(childVar)
		if err := child(mode); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// report is what the child saw.
type report struct {
	PID       int
	Names     []string
	Stored    []string
	Addrs     map[string][]string
	Content   map[string]string
	Cloexec   bool
	Left      []string // variables of the protocol that are still set
	Open      int      // open descriptors before Close of what was not taken
	OpenAfter int
	Err       string
	Watchdog  time.Duration
	Enabled   bool
}

// child is a service: it inherits, reports and ends.
func child(mode string) error {
	// Nobody but the manager knows the child's pid before it runs.
	if v := os.Getenv("LISTEN_PID"); v == "self" {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	if v := os.Getenv("WATCHDOG_PID"); v == "self" {
		os.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	}
	r := report{PID: os.Getpid(), Addrs: map[string][]string{}, Content: map[string]string{}, Cloexec: true}
	notifier, err := NewNotifier()
	if err != nil {
		return err
	}
	r.Enabled, r.Watchdog = notifier.Enabled(), notifier.WatchdogInterval()
	in, err := Inherit()
	if err != nil {
		r.Err = err.Error()
		r.Open = openFDs()
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	r.Names, r.Stored = in.Names(), in.Stored()
	for i := range in.files {
		flags, err := unix.FcntlInt(in.files[i].file.Fd(), unix.F_GETFD, 0)
		r.Cloexec = r.Cloexec && err == nil && flags&unix.FD_CLOEXEC != 0
	}
	for _, v := range os.Environ() {
		for _, p := range []string{"LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_"} {
			if strings.HasPrefix(v, p) {
				r.Left = append(r.Left, v)
			}
		}
	}
	switch mode {
	case "sockets":
		for _, name := range []string{"http", "rpc"} {
			ls, err := in.Listeners(name)
			if err != nil {
				return err
			}
			for _, l := range ls {
				r.Addrs[name] = append(r.Addrs[name], l.Addr().Network()+" "+l.Addr().String())
				go serve(l, name)
			}
		}
		pcs, err := in.PacketConns("h3")
		if err != nil {
			return err
		}
		for _, pc := range pcs {
			r.Addrs["h3"] = append(r.Addrs["h3"], pc.LocalAddr().Network()+" "+pc.LocalAddr().String())
		}
		for _, name := range in.Stored() {
			for _, f := range in.Files(name) {
				b := make([]byte, 64)
				n, _ := f.ReadAt(b, 0)
				r.Content[name] = string(b[:n])
				f.Close()
			}
		}
		r.Open = openFDs()
		in.Close()
		r.OpenAfter = openFDs()
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			return err
		}
		// Serve until the parent closes stdin.
		_, _ = os.Stdin.Read(make([]byte, 1))
		return nil
	case "wrongkind":
		_, err1 := in.Listeners("h3")
		_, err2 := in.PacketConns("http")
		_, err3 := in.Listeners("file")
		_, err4 := in.Listeners("mute")
		r.Err = fmt.Sprintf("%v\n%v\n%v\n%v", err1, err2, err3, err4)
		r.OpenAfter = openFDs()
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// serve answers each connection with the name of its socket.
func serve(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(c, name)
		c.Close()
	}
}

// openFDs counts the open descriptors of this process without the one that
// reads the folder.
func openFDs() int {
	es, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	return len(es) - 1
}

// noLeak fails the test when it leaves more descriptors open than it found.
func noLeak(t *testing.T) {
	t.Helper()
	warm(t)
	before := openFDs()
	t.Cleanup(func() {
		if after := openFDs(); after > before {
			t.Errorf("%d descriptors open, %d before the test", after, before)
		}
	})
}

// warm makes the runtime open its poller, which stays.
func warm(t *testing.T) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	w.Close()
}

// manager is a fake PID 1: it reads notify messages.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	addr string
}

type message struct {
	text  string
	files []*os.File
}

// newManager listens at a path, or at an abstract name.
func newManager(t *testing.T, abstract bool) *manager {
	t.Helper()
	addr := filepath.Join(t.TempDir(), "notify")
	if abstract {
		addr = "@rrd-test-" + strconv.Itoa(os.Getpid()) + "-" + strings.ReplaceAll(t.Name(), "/", "-")
	}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &manager{t, c, addr}
}

// notifier is one that talks to this manager.
func (m *manager) notifier() *Notifier {
	m.t.Helper()
	m.t.Setenv("NOTIFY_SOCKET", m.addr)
	n, err := NewNotifier()
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

// read returns the next message; its files are closed when the test ends.
func (m *manager) read() message {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	b, oob := make([]byte, 8192), make([]byte, 4096)
	n, oobn, _, _, err := m.conn.ReadMsgUnix(b, oob)
	if err != nil {
		m.t.Fatal("no message for the manager:", err)
	}
	msg := message{text: string(b[:n])}
	cms, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		m.t.Fatal(err)
	}
	for i := range cms {
		fds, err := unix.ParseUnixRights(&cms[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			f := os.NewFile(uintptr(fd), "passed")
			msg.files = append(msg.files, f)
			m.t.Cleanup(func() { f.Close() })
		}
	}
	return msg
}

// silent fails the test when a message is waiting.
func (m *manager) silent() {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Unix(1, 0))
	b := make([]byte, 8192)
	if n, err := m.conn.Read(b); err == nil {
		m.t.Errorf("the manager got %q", b[:n])
	}
}

// start runs the child with files as its descriptors 3, 4, ... and returns its
// report. The child is gone when the test ends.
func start(t *testing.T, mode string, env []string, files ...*os.File) report {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(append(os.Environ(), childVar+"="+mode), env...)
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error("child:", err)
		}
		cancel()
	})
	var r report
	if err := json.NewDecoder(stdout).Decode(&r); err != nil {
		t.Fatal("child's report:", err)
	}
	return r
}
