package systemd

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// filer is a socket that gives its descriptor.
type filer interface {
	File() (*os.File, error)
	Close() error
}

// passable returns a descriptor for the child and closes the socket here, as
// far as that goes without the copy.
func passable(t *testing.T, s filer, err error) *os.File {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(); s.Close() })
	return f
}

func tcp(t *testing.T) (*os.File, string) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	return passable(t, l, err), l.Addr().String()
}

func unixSocket(t *testing.T) (*os.File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rpc.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	return passable(t, l, err), path
}

func udp(t *testing.T) (*os.File, string) {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	return passable(t, c, err), c.LocalAddr().String()
}

func memfd(t *testing.T, content string) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "memfd")
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestInheritSockets(t *testing.T) {
	noLeak(t)
	http1, addr1 := tcp(t)
	rpc, path := unixSocket(t)
	h3, addr3 := udp(t)
	http2, addr2 := tcp(t)
	state := StoreName("state", "kv", "memory:1")
	r := start(t, "sockets", []string{
		"LISTEN_PID=self", "LISTEN_FDS=6",
		"LISTEN_FDNAMES=http:rpc:h3:http:" + state + ":other",
		"NOTIFY_SOCKET=@nobody", "WATCHDOG_USEC=3000000", "WATCHDOG_PID=self",
	}, http1, rpc, h3, http2, memfd(t, "saved"), memfd(t, ""))

	want := []string{"h3", "http", "other", "rpc", state}
	if !slices.Equal(r.Names, want) {
		t.Errorf("names %q, want %q", r.Names, want)
	}
	if !slices.Equal(r.Stored, []string{state}) || r.Content[state] != "saved" {
		t.Errorf("stored %q with %q", r.Stored, r.Content)
	}
	wantAddrs := map[string][]string{
		"http": {"tcp " + addr1, "tcp " + addr2},
		"rpc":  {"unix " + path},
		"h3":   {"udp " + addr3},
	}
	if !reflect.DeepEqual(r.Addrs, wantAddrs) {
		t.Errorf("addresses %v, want %v", r.Addrs, wantAddrs)
	}
	if !r.Cloexec {
		t.Error("a descriptor is not close-on-exec")
	}
	if len(r.Left) > 0 {
		t.Errorf("still in the environment: %q", r.Left)
	}
	if r.OpenAfter != r.Open-1 {
		t.Errorf("Close of the one descriptor not taken: %d open, %d before", r.OpenAfter, r.Open)
	}
	if !r.Enabled || r.Watchdog.Seconds() != 3 {
		t.Errorf("notifier enabled %v, watchdog %v", r.Enabled, r.Watchdog)
	}
	for _, addr := range []string{"tcp " + addr1, "tcp " + addr2, "unix " + path} {
		network, address, _ := strings.Cut(addr, " ")
		c, err := net.Dial(network, address)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := io.ReadAll(c)
		c.Close()
		if want := map[bool]string{true: "rpc", false: "http"}[network == "unix"]; string(name) != want {
			t.Errorf("%s answered %q, want %q", addr, name, want)
		}
	}
	// The socket's file belongs to its unit: the child must not remove it.
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestInheritOtherProcess(t *testing.T) {
	f, _ := tcp(t)
	r := start(t, "list", []string{"LISTEN_PID=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=http"}, f)
	if len(r.Names) != 0 || len(r.Left) != 0 || r.Err != "" {
		t.Errorf("%+v", r)
	}
}

func TestInheritNothing(t *testing.T) {
	r := start(t, "list", nil)
	if len(r.Names) != 0 || len(r.Left) != 0 || r.Err != "" || r.Enabled || r.Watchdog != 0 {
		t.Errorf("%+v", r)
	}
}

func TestInheritUnnamed(t *testing.T) {
	a, _ := tcp(t)
	b, _ := tcp(t)
	r := start(t, "list", []string{"LISTEN_PID=self", "LISTEN_FDS=2"}, a, b)
	if !slices.Equal(r.Names, []string{UnknownName}) {
		t.Errorf("%+v", r)
	}
}

// A descriptor that is not open is an error, and the open ones do not leak.
func TestInheritMissingDescriptor(t *testing.T) {
	f, _ := tcp(t)
	r := start(t, "list", []string{"LISTEN_PID=self", "LISTEN_FDS=200", "LISTEN_FDNAMES=" + strings.Repeat("a:", 199) + "z"}, f)
	if !strings.Contains(r.Err, "LISTEN_FDS=200") || !strings.Contains(r.Err, `"z"`) {
		t.Errorf("error %q", r.Err)
	}
	if r.Open > 8 { // standard streams and the runtime's poller
		t.Errorf("%d descriptors left open", r.Open)
	}
}

func TestInheritWrongKind(t *testing.T) {
	http, _ := tcp(t)
	h3, _ := udp(t)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	mute := os.NewFile(uintptr(fd), "mute")
	defer mute.Close()
	r := start(t, "wrongkind", []string{"LISTEN_PID=self", "LISTEN_FDS=4", "LISTEN_FDNAMES=http:h3:file:mute"}, http, h3, memfd(t, ""), mute)
	lines := strings.Split(r.Err, "\n")
	for i, want := range []string{`"h3": wrong kind of descriptor: not a stream`, `"http": wrong kind of descriptor: not a datagram`, `"file": wrong kind of descriptor: it is not a socket`, `"mute": wrong kind of descriptor: the socket does not listen`} {
		if i >= len(lines) || !strings.Contains(lines[i], want) {
			t.Errorf("error %d of %q, want %q", i, lines, want)
		}
	}
	if r.OpenAfter > 8 {
		t.Errorf("%d descriptors left open", r.OpenAfter)
	}
}

func TestListenEnv(t *testing.T) {
	for _, c := range []struct {
		env  listenEnv
		want []string
		err  string
	}{
		{listenEnv{}, nil, ""},
		{listenEnv{pid: "7"}, nil, ""},
		{listenEnv{fds: "2"}, nil, ""},
		{listenEnv{pid: "8", fds: "2"}, nil, ""},
		{listenEnv{pid: "7", fds: "0"}, nil, ""},
		{listenEnv{pid: "7", fds: "2"}, []string{UnknownName, UnknownName}, ""},
		{listenEnv{"7", "2", "a:b", true}, []string{"a", "b"}, ""},
		{listenEnv{"7", "2", ":", true}, []string{"", ""}, ""},
		{listenEnv{"7", "2", "a", true}, nil, `LISTEN_FDNAMES="a" has 1 names for LISTEN_FDS=2`},
		{listenEnv{"7", "1", "a:b", true}, nil, "has 2 names"},
		{listenEnv{pid: "x", fds: "1"}, nil, `LISTEN_PID="x"`},
		{listenEnv{pid: "-7", fds: "1"}, nil, `LISTEN_PID="-7"`},
		{listenEnv{pid: "7", fds: "-1"}, nil, `LISTEN_FDS="-1"`},
		{listenEnv{pid: "7", fds: "9999999999999"}, nil, "LISTEN_FDS"},
	} {
		got, err := c.env.parse(7)
		if !slices.Equal(got, c.want) || (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%+v: %q, %v", c.env, got, err)
		}
	}
}

func FuzzListenEnv(f *testing.F) {
	f.Add("7", "2", "http:rpc", true)
	f.Add("7", "1", "", true)
	f.Add("7", "3", "", false)
	f.Add("-1", "x", "::", true)
	f.Fuzz(func(t *testing.T, pid, fds, names string, set bool) {
		got, err := listenEnv{pid, fds, names, set}.parse(7)
		if err != nil && got != nil {
			t.Error("names beside an error")
		}
		if len(got) > maxFDs {
			t.Error(len(got), "names")
		}
	})
}
