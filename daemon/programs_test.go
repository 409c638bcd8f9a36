package daemon

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/informer"
	"github.com/rr-systemd/rrd/services/service/servicepb"
)

const programs1 = `
version: "3"
rpc:
  listen: unix://rpc.sock
service:
  ticker:
    command: "sh ticker.sh one"
    process_num: 2
    remain_after_exit: true
    restart_sec: 1
    timeout_stop_sec: 2
    service_name_in_log: true
    env:
      greeting: hello
`

// ticker says what it has got, and has a child that heeds no signal.
const ticker = `
echo "$GREETING $1 $RR_RPC"
echo "to stderr" >&2
(trap '' INT TERM; sleep 3600; sleep 3600) &
echo $! >> children
trap 'echo bye; exit 0' INT
while :; do sleep 0.05; done
`

// caller calls RPC methods of a site.
func (a *site) caller() func(method string, codec rpc.Codec, arg, reply any) error {
	a.t.Helper()
	c, err := rpc.Dial(a.t.Context(), "unix://"+filepath.Join(a.dir, "rpc.sock"))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = c.Close() })
	return func(method string, codec rpc.Codec, arg, reply any) error {
		return c.Call(a.t.Context(), method, codec, arg, reply)
	}
}

func TestPrograms(t *testing.T) {
	a := newSite(t, programs1)
	a.write("ticker.sh", ticker)
	a.serve()
	call := a.caller()
	await(t, "both write", func() bool {
		return strings.Count(a.output.String(), "hello one unix://rpc.sock") == 2 && strings.Count(a.output.String(), "to stderr") == 2
	})
	if !a.output.has("service.ticker") {
		t.Error("the service's name is not in the log")
	}
	pids := func() (list []int64) {
		plugin := "service"
		var workers informer.WorkerList
		if err := call("informer.Workers", rpc.JSON, &plugin, &workers); err != nil {
			t.Fatal(err)
		}
		for _, w := range workers.Workers {
			if w.Command != "sh ticker.sh one" && w.Command != "sh ticker.sh two" || w.MemoryUsage == 0 || w.Status != 1 || w.StatusStr != "" {
				t.Errorf("%+v", w)
			}
			list = append(list, w.Pid)
		}
		return list
	}
	before := pids()
	if len(before) != 2 {
		t.Fatal(before)
	}

	// One that is killed comes back after its pause.
	if err := syscall.Kill(int(before[0]), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "it is started again", func() bool { p := pids(); return len(p) == 2 && p[0] != before[0] && p[1] != before[0] })
	if !a.output.has("signal: killed") {
		t.Error("the log does not say how it ended")
	}

	// RoadRunner's reset.
	before = pids()
	plugin, done := "service", false
	if err := call("resetter.Reset", rpc.JSON, &plugin, &done); err != nil || !done {
		t.Fatal(err)
	}
	after := pids()
	for _, pid := range before {
		for _, now := range after {
			if pid == now {
				t.Errorf("%d was not restarted", pid)
			}
		}
	}
	// A reload applies the section.
	a.change("app.yaml", "ticker.sh one", "ticker.sh two")
	a.signal(syscall.SIGHUP)
	await(t, "the new settings are used", func() bool { return strings.Count(a.output.String(), "hello two") == 2 })

	// Over RPC.
	var r servicepb.Response
	q := &servicepb.Create{Name: "more", Command: "sleep 1000", ProcessNum: 3}
	if err := call("service.Create", rpc.Proto, q, &r); err != nil || !r.Ok {
		t.Fatal(err)
	}
	for text, command := range map[string]string{
		"fork/exec /no/such: no such file or directory":      "/no/such x",
		"fork/exec /etc/passwd: permission denied":           "/etc/passwd",
		`exec: "nosuch": executable file not found in $PATH`: "nosuch",
		"exec: no command": "",
	} {
		q := &servicepb.Create{Name: "bad", Command: command, ProcessNum: 1}
		if err := call("service.Create", rpc.Proto, q, &r); err == nil || err.Error() != text {
			t.Errorf("%q: %v", command, err)
		}
	}
	var all servicepb.Statuses
	if err := call("service.Statuses", rpc.Proto, &servicepb.Service{Name: "more"}, &all); err != nil || len(all.Status) != 3 {
		t.Error(err, &all)
	}
	a.stop() // and looks that nothing is left
	children, err := os.ReadFile(filepath.Join(a.dir, "children"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range strings.Fields(string(children)) {
		n, _ := strconv.Atoi(pid)
		if !poll(func() bool { return syscall.Kill(n, 0) != nil }) {
			t.Errorf("child %d is left behind", n)
		}
	}
	if !a.output.has("bye") {
		t.Error("SIGINT did not come first")
	}
}

// TestProgramThatFailsAgainAndAgain makes the daemon degraded, and no more.
func TestProgramThatFailsAgainAndAgain(t *testing.T) {
	a := newSite(t, `
version: "3"
rpc:
  listen: unix://rpc.sock
service:
  broken: {command: "sh broken.sh", remain_after_exit: true, restart_sec: 1}
`)
	a.write("broken.sh", "[ -e mended ] && exec sleep 1000; exit 3")
	a.serve()
	state := func() string {
		_, out := a.ctl("status", "--json")
		return out
	}
	await(t, "it is degraded", func() bool {
		return strings.Contains(state(), "degraded") && strings.Contains(state(), "broken failed")
	})
	a.awaitOutput("\tdegraded\t")
	a.write("mended", "")
	await(t, "it runs", func() bool { return len(processesIn(a.dir)) == 2 })
	// Not at once: a process has to live for ten seconds to be well.
	await(t, "it is ready", func() bool { return strings.Contains(state(), `"state": "ready"`) })
	a.awaitOutput("ready again")
	a.stop()
}

func TestProgramsThatCannotStart(t *testing.T) {
	for text, section := range map[string]string{
		"service.x.command":     `{command: "/no/such/program"}`,
		"service.x.process_num": `{command: "sleep 1", process_num: 5000}`,
		"service.x.user":        `{command: "sleep 1", user: nosuchuser}`,
		"unknown key":           `{command: "sleep 1", proces_num: 2}`,
	} {
		a := newSite(t, "version: \"3\"\nservice:\n  x: "+section+"\n")
		a.start()
		if code := a.wait(); code == 0 || !strings.Contains(a.output.String(), text) || !strings.Contains(a.output.String(), "app.yaml: line 3: ") {
			t.Errorf("%s: exit status %d", text, code)
		}
		a.nothingLeft()
	}
}

// A mistake in the section is found before any worker is exchanged.
func TestReloadWithProgramThatIsNotThere(t *testing.T) {
	a := newSite(t, plain+"service:\n  x: {command: \"sleep 1000\"}\n")
	a.serve()
	a.change("worker.php", "version one", "version two")
	a.change("app.yaml", "sleep 1000", "/nonexist/x")
	a.refused("version one", "service.x.command", "/nonexist/x", "app.yaml: line ")
	if _, out := a.ctl("workers", "--json"); !strings.Contains(out, `"generation": 1`) || strings.Contains(out, `"generation": 2`) {
		t.Errorf("a pool has new workers: %s", out)
	}
	a.awaitOutput("reload failed, the old workers go on serving")
	a.change("app.yaml", "/nonexist/x", "sleep 999")
	a.reload()
	if got := a.get("/"); got != "version two" {
		t.Errorf("%q is served after the mistake is mended", got)
	}
	a.stop()
}
