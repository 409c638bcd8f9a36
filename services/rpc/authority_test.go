package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
)

// dialVar makes the test binary a client: it calls all methods of roles and
// prints those that were allowed. connectVar makes it connect descriptor 3.
const (
	dialVar    = "RRD_TEST_DIAL"
	connectVar = "RRD_TEST_CONNECT"
)

func roles(s *rpc.Server) {
	for name, role := range map[string]rpc.Role{"test.Anyone": rpc.Anyone, "test.Operator": rpc.Operator, "test.Owner": rpc.Owner, "test.Admin": rpc.Admin} {
		rpc.Register(s, name, role, func(context.Context, *bool, *bool) error { return nil })
	}
}

// calls tells which methods of roles a client may call, and what is said of the
// others.
func calls(ctx context.Context, dsn string) string {
	c, err := wire.Dial(ctx, dsn)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	var list []string
	for _, name := range []string{"Anyone", "Operator", "Owner", "Admin"} {
		var arg, reply bool
		switch err := c.Call(ctx, "test."+name, wire.JSON, &arg, &reply); {
		case err == nil:
			list = append(list, name)
		case !rpc.Refused(err):
			list = append(list, err.Error())
		}
	}
	return strings.Join(list, " ")
}

// as runs calls in a process of another user. The socket is an abstract one and
// the program is named by /proc, so that any user reaches both.
func as(t *testing.T, dsn string, cred *syscall.Credential) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), dialVar+"="+dsn)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%+v: %v\n%s", cred, err, out)
	}
	return strings.TrimSpace(string(out))
}

var sockets atomic.Int32

// abstract returns a unix socket without a file.
func abstract(t *testing.T) (net.Listener, string) {
	t.Helper()
	name := fmt.Sprintf("@rrd-test-%d-%s-%d", os.Getpid(), t.Name(), sockets.Add(1))
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	return l, "unix://" + name
}

const adminGid = 54321

func TestRolesOfUsers(t *testing.T) {
	for _, restricted := range []bool{false, true} {
		l, dsn := abstract(t)
		rpctest.Serve(t, rpc.Options{Listeners: []net.Listener{l}, Authority: rpc.Authority{AdminGroup: adminGid, Restricted: restricted}}, roles)
		client := "Anyone Operator"
		if restricted {
			client = "Anyone"
		}
		type user struct {
			name string
			cred *syscall.Credential
			want string
		}
		users := []user{{"the daemon's user", nil, "Anyone Operator Owner Admin"}}
		if os.Geteuid() == 0 {
			const nobody = 65534
			many := make([]uint32, 200) // more than one answer of the kernel holds at first
			for i := range many {
				many[i] = uint32(60000 + i)
			}
			users = append(users,
				user{"nobody", &syscall.Credential{Uid: nobody, Gid: nobody}, client},
				user{"a stranger with root's group", &syscall.Credential{Uid: nobody, Gid: 0}, client},
				user{"a member", &syscall.Credential{Uid: nobody, Gid: nobody, Groups: []uint32{7, adminGid}}, "Anyone Operator Owner Admin"},
				user{"a member by the first group", &syscall.Credential{Uid: nobody, Gid: adminGid}, "Anyone Operator Owner Admin"},
				user{"a member of many groups", &syscall.Credential{Uid: nobody, Gid: nobody, Groups: append(many, adminGid)}, "Anyone Operator Owner Admin"},
				user{"of many others", &syscall.Credential{Uid: nobody, Gid: nobody, Groups: many}, client},
			)
		}
		for _, u := range users {
			if got := as(t, dsn, u.cred); got != u.want {
				t.Errorf("restricted %v: %s may call %q, want %q", restricted, u.name, got, u.want)
			}
		}
	}
}

// TestWorkersAreNoAdmins: whoever they run as.
func TestWorkersAreNoAdmins(t *testing.T) {
	l, dsn := abstract(t)
	var mu sync.Mutex
	var asked []int
	isWorker := func(pid int, uid uint32) bool {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, pid)
		return uid == uint32(os.Geteuid()) && pid != os.Getpid()
	}
	var log bytes.Buffer
	rpctest.Serve(t, rpc.Options{Listeners: []net.Listener{l}, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Authority: rpc.Authority{AdminGroup: adminGid, IsWorker: isWorker}}, roles)
	if got := as(t, dsn, nil); got != "Anyone Operator Owner" {
		t.Errorf("a worker may call %q", got)
	}
	if os.Geteuid() == 0 {
		if got := as(t, dsn, &syscall.Credential{Groups: []uint32{adminGid}}); got != "Anyone Operator Owner" {
			t.Errorf("a worker of the group may call %q", got)
		}
	}
	if got := calls(t.Context(), dsn); got != "Anyone Operator Owner Admin" {
		t.Errorf("the daemon's user may call %q", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) < 2 {
		t.Errorf("asked for %v", asked)
	}
	if text := log.String(); !strings.Contains(text, `msg="RPC call refused" method=test.Admin role=admin`) || !strings.Contains(text, "peer_kind=worker") {
		t.Errorf("log: %s", text)
	}
}

// TestTheDeadAreNoAdmins: the pid of a client that has ended says nothing, so
// who holds its connection then is no admin.
func TestTheDeadAreNoAdmins(t *testing.T) {
	l, dsn := abstract(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	shared := os.NewFile(uintptr(fd), "shared")
	defer shared.Close()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), connectVar+"="+strings.TrimPrefix(dsn, "unix://"))
	cmd.ExtraFiles = []*os.File{shared}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// Only now the server accepts what the child has opened.
	var log bytes.Buffer
	rpctest.Serve(t, rpc.Options{Listeners: []net.Listener{l}, Log: slog.New(slog.NewTextHandler(&log, nil)), Authority: rpc.Authority{
		// As /proc has nothing of it, the daemon is in doubt.
		IsWorker: func(int, uint32) bool { return true },
	}}, roles)
	conn, err := net.FileConn(shared)
	if err != nil {
		t.Fatal(err)
	}
	c := wire.NewClient(conn)
	defer c.Close()
	var arg, reply bool
	if err := c.Call(t.Context(), "test.Admin", wire.JSON, &arg, &reply); !rpc.Refused(err) || !strings.Contains(err.Error(), "a process that has ended") {
		t.Errorf("%v", err)
	}
	if text := log.String(); !strings.Contains(text, "peer_kind=ended") {
		t.Errorf("log: %s", text)
	}
}

func TestTCPClientsAreNoAdmins(t *testing.T) {
	for restricted, want := range map[bool]string{false: "Anyone Operator Owner", true: "Anyone"} {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		rpctest.Serve(t, rpc.Options{Listeners: []net.Listener{tcp}, Authority: rpc.Authority{Restricted: restricted}}, roles)
		if got := calls(t.Context(), "tcp://"+tcp.Addr().String()); got != want {
			t.Errorf("restricted %v: %q, want %q", restricted, got, want)
		}
	}
}

func TestRefusedText(t *testing.T) {
	for _, c := range []struct {
		err  rpc.RefusedError
		want string
	}{
		{rpc.RefusedError{Method: "rrd.Stop", Role: rpc.Admin, Peer: rpc.Peer{Known: true, PID: 7, UID: 33, Worker: true}},
			"rpc: refused: rrd.Stop is for the role admin, and the caller is a worker or was started by one (pid 7, uid 33); " +
				"call it through the unix socket as root, as the daemon's user outside of its workers, or as a member of the group rr-admin"},
		{rpc.RefusedError{Method: "resetter.Reset", Role: rpc.Operator, Peer: rpc.Peer{}},
			"rpc: refused: resetter.Reset is for the role operator, and the caller is a TCP client, which cannot be identified; " +
				"call it as root, as the daemon's user outside of its workers, or as a member of the group rr-admin, or take `workers: restricted` out of the section rpc"},
		{rpc.RefusedError{Method: "service.Create", Role: rpc.Owner, Peer: rpc.Peer{Known: true, PID: 7, UID: 33, Worker: true}},
			"rpc: refused: service.Create is for the role owner, and the caller is a worker or was started by one (pid 7, uid 33); the program would run as the daemon's user; " +
				"call it through the unix socket as root, as the daemon's user outside of its workers, or as a member of the group rr-admin"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
