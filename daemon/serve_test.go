package daemon

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A worker that is killed is replaced, and the log says what happened.
func TestWorkerKilled(t *testing.T) {
	a := newSite(t, plain)
	a.serve()
	pid := a.get("/pid")
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// Before the end is noticed a request may still reach the dying process,
	// and fails with it if it was read.
	a.awaitOutput(`"cause": "signal", "exit": "signal: killed"`)
	if got := a.get("/pid"); got == pid {
		t.Error("the dead worker answers")
	}
	a.stop()
}

// Workers that connect back instead of using their standard streams.
func TestRelay(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "tcp://" + free.Addr().String()
	free.Close()
	for _, relay := range []string{"unix://relay.sock", address} {
		t.Run(relay[:3], func(t *testing.T) {
			a := newSite(t, strings.Replace(plain, "command:", "relay: "+relay+"\n  command:", 1))
			a.serve()
			var env map[string]string
			if err := json.Unmarshal([]byte(a.get("/env")), &env); err != nil || env["RR_RELAY"] != relay {
				t.Errorf("RR_RELAY=%q %v", env["RR_RELAY"], err)
			}
			// A change needs a restart; until then workers find the old socket.
			a.change("app.yaml", "relay: "+relay, "relay: unix://new.sock")
			if out := a.reload(); !strings.Contains(out, "needs restart: server.relay") {
				t.Errorf("reload: %s", out)
			}
			if got := a.get("/"); got != "version one" {
				t.Errorf("got %q", got)
			}
			a.stop()
			if _, err := os.Lstat(filepath.Join(a.dir, "relay.sock")); err == nil {
				t.Error("the socket is left")
			}
		})
	}
}

// http.pool.debug: new code without a reload, and the error in the answer.
func TestDebug(t *testing.T) {
	a := newSite(t, strings.Replace(plain, "num_workers: 1", "debug: true", 1))
	a.serve()
	first := a.get("/pid")
	if second := a.get("/pid"); second == first {
		t.Errorf("one worker (%s) for two requests", first)
	}
	a.change("worker.php", "version one", "version two")
	if got := a.get("/"); got != "version two" {
		t.Errorf("got %q", got)
	}
	if _, err := get(a.client(), "/fail"); err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("the answer does not say what failed: %v", err)
	}
	a.change("app.yaml", "debug: true", "num_workers: 1")
	if out := a.reload(); !strings.Contains(out, "needs restart: http.pool.debug") {
		t.Errorf("reload: %s", out)
	}
	a.stop()
}

// What workers write to stderr, in the forms of the log.
func TestStderr(t *testing.T) {
	for name, c := range map[string]struct{ logs, want string }{
		"development": {"mode: development", "\tINFO\tserver      \tline one\nline two\t{\"pool\": \"http\", \"worker\": PID, \"generation\": 1, \"request_id\": \""},
		"production":  {"mode: production", `"logger":"server","msg":"line one\nline two\n","pool":"http","worker":PID,"generation":1,"request_id":"`},
		"raw":         {"mode: raw", "line one\nline two\n"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newSite(t, plain+"logs: {"+c.logs+"}\n")
			a.start()
			await(t, "rrd serves", func() bool { _, err := get(a.client(), "/"); return err == nil })
			pid := a.get("/pid")
			a.get("/stderr")
			a.awaitOutput(strings.Replace(c.want, "PID", pid, 1))
			if name == "raw" && strings.Contains(a.output.String(), "line two\n\t{") {
				t.Error("the raw text has fields")
			}
			a.stop()
		})
	}
}

const nobody = 65534

// become gives the folder and rrd to a user.
func (a *site) become(uid int) {
	a.t.Helper()
	if err := os.Chown(a.dir, uid, uid); err != nil {
		a.t.Fatal(err)
	}
	a.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
}

// rrd needs neither standard input nor HOME nor root.
func TestPoorSurroundings(t *testing.T) {
	for name, prog := range map[string][]string{
		"no stdin": {"sh", "-c", `exec "$0" "$@" <&-`, "RRD"},
		"no HOME":  {"env", "-u", "HOME", "RRD"},
		"no root":  {"RRD"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newSite(t, plain)
			for i, word := range prog {
				if word == "RRD" {
					prog[i] = filepath.Join(bin, "rrd")
				}
			}
			a.prog = prog
			if name == "no root" && os.Geteuid() == 0 {
				a.become(nobody)
				a.change("app.yaml", "command:", fmt.Sprintf("user: %q\n  command:", strconv.Itoa(nobody))) // that is its own
			}
			a.serve()
			if got := a.get("/"); got != "version one" {
				t.Errorf("got %q", got)
			}
			a.stop()
		})
	}
}

// One that is not root cannot run workers as somebody else, and says so.
func TestForeignUser(t *testing.T) {
	a := newSite(t, strings.Replace(plain, "command:", "user: root\n  command:", 1))
	if os.Geteuid() == 0 {
		a.become(nobody)
	}
	a.start()
	if code := a.wait(); code != 1 || !a.output.has("app.yaml: line 4: server.user: cannot run workers as user \"root\"") {
		t.Errorf("exit status %d", code)
	}
}

// Where the daemon opens RPC sockets.
func TestRPCListen(t *testing.T) {
	for _, c := range []struct {
		config    string
		runtime   string
		inherited bool
		want      string
	}{
		{"", "", false, "[]"},
		{"", "", true, "[]"},
		{"", "/run/rr/app", false, "[unix:///run/rr/app/rpc.sock]"},
		{"", "/run/rr/app", true, "[]"},
		{"rpc: {}", "", false, "[tcp://127.0.0.1:6001]"},
		{"rpc: {}", "/run/rr/app", true, "[]"},
		{"rpc: {listen: \"tcp://127.0.0.1:7001\"}", "", true, "[tcp://127.0.0.1:7001]"},
		{"rpc: {listen: \"tcp://127.0.0.1:7001\"}", "/run/rr/app", false, "[tcp://127.0.0.1:7001 unix:///run/rr/app/rpc.sock]"},
		{"rpc: {listen: \"unix:///run/rr/app/rpc.sock\"}", "/run/rr/app", false, "[unix:///run/rr/app/rpc.sock]"},
	} {
		t.Setenv("RUNTIME_DIRECTORY", c.runtime)
		s := decoded(t, "version: \"3\"\n"+c.config)
		if got := fmt.Sprint(s.rpcListen(c.inherited)); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// The RPC socket of a socket unit may be named in the configuration, too.
func TestInheritedRPC(t *testing.T) {
	a := newSite(t, plain)
	m := newManager(t, filepath.Join(a.dir, "notify"))
	path := filepath.Join(a.dir, "rpc.sock")
	a.change("app.yaml", "unix://rpc.sock", "unix://"+path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	named, err := rename(file, "rpc")
	if err != nil {
		t.Fatal(err)
	}
	defer named.Close()
	a.unit(m, nil, named)
	if got := a.get("/env"); !strings.Contains(got, `"RR_RPC":"unix:\/\/`) && !strings.Contains(got, `"RR_RPC":"unix://`+path) {
		t.Errorf("RR_RPC in %s", got)
	}
	if code, out := a.ctl("status"); code != 0 {
		t.Errorf("status: %s", out)
	}
	a.stop()
	if _, err := os.Lstat(path); err != nil {
		t.Error("the socket of the socket unit is removed:", err)
	}
}

// A program that still runs keeps its socket.
func TestSecondServer(t *testing.T) {
	a := newSite(t, plain)
	a.serve()
	b := newSite(t, plain)
	b.change("app.yaml", "unix://http.sock", "unix://"+filepath.Join(a.dir, "http.sock"))
	b.start()
	if code := b.wait(); code != 1 || !b.output.has("another process listens on") {
		t.Errorf("exit status %d", code)
	}
	if got := a.get("/"); got != "version one" {
		t.Errorf("got %q", got)
	}
	a.stop()
}
