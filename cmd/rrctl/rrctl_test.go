package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/services/control"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
)

func TestStatusAndItsExitCode(t *testing.T) {
	d := new(fakeDaemon)
	dsn := d.serve(t)
	for state, want := range map[string]int{"ready": 0, "reloading": 0, "starting": 1, "degraded": 1, "draining": 1} {
		d.state.Store(state)
		code, out, errOut := runRRCtl(t, "--socket", dsn, "status")
		if code != want || errOut != "" {
			t.Errorf("%s: exit %d, stderr %q", state, code, errOut)
		}
		contains(t, state, out, "app  "+state, "http tcp://[::]:8080 (from systemd)", "POOL")
		var s control.Status
		code, out, _ = runRRCtl(t, "status", "--json", "--socket", dsn)
		if err := json.Unmarshal([]byte(out), &s); err != nil || code != want || s.State != state || s.PID != 4711 {
			t.Errorf("%s: exit %d, %v, %s", state, code, err, out)
		}
	}
}

func TestWorkersCommand(t *testing.T) {
	dsn := new(fakeDaemon).serve(t)
	code, out, errOut := runRRCtl(t, "workers", "--socket", dsn)
	if code != 0 || errOut != "" {
		t.Errorf("exit %d, stderr %q", code, errOut)
	}
	contains(t, "workers", out, "10200", "working", "GET /users/5", "max_jobs")
	var list []control.Worker
	_, out, _ = runRRCtl(t, "--json", "workers", "jobs", "--socket", dsn)
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 0 || strings.TrimSpace(out) != "[]" {
		t.Errorf("%v, %s", err, out)
	}
	for _, args := range [][]string{{"workers", "nope"}, {"workers", "http", "nope", "--json"}} {
		code, out, errOut := runRRCtl(t, append(args, "--socket", dsn)...)
		if code != 1 || out != "" || errOut != "rrctl: there is no pool \"nope\"; there is: http, jobs\n" {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", args, code, out, errOut)
		}
	}
	if code, _, errOut := runRRCtl(t, "--json", "workers", "-i", "--socket", dsn); code != exitUsage {
		t.Errorf("exit %d, stderr %q", code, errOut)
	}
}

func TestReloadCommand(t *testing.T) {
	code, out, errOut := runRRCtl(t, "reload", "--socket", new(fakeDaemon).serve(t))
	if code != 0 || errOut != "" || out != "http: reloaded, generation 4, 1 worker\nneeds restart: http.address\nneeds restart: rpc.listen\n" {
		t.Errorf("exit %d, stderr %q, %s", code, errOut, out)
	}
	dsn := (&fakeDaemon{failed: "jobs"}).serve(t)
	if code, out, _ := runRRCtl(t, "reload", "--socket", dsn); code != 1 || !strings.Contains(out, "PHP Parse error") {
		t.Errorf("exit %d, %s", code, out)
	}
	notBooted := errors.New("http: worker exited with code 255\n\x1b[31mPHP Parse error:\tsyntax error")
	code, out, errOut = runRRCtl(t, "reload", "--socket", (&fakeDaemon{reload: notBooted}).serve(t))
	if code != 1 || out != "" || errOut != "rrctl: http: worker exited with code 255\n\ufffd[31mPHP Parse error:\tsyntax error\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out, errOut)
	}
}

func TestResetCommand(t *testing.T) {
	dsn := new(fakeDaemon).serve(t)
	code, out, errOut := runRRCtl(t, "reset", "http", "--socket", dsn)
	if code != 0 || out != "http: reset\n" || errOut != "" {
		t.Errorf("exit %d, %q, %q", code, out, errOut)
	}
	code, out, errOut = runRRCtl(t, "reset", "--socket", dsn)
	if code != 1 || out != "service: reset\nhttp: reset\nempty: reset\n" || errOut != "rrctl: cannot reset jobs: worker exited with code 255\n" {
		t.Errorf("exit %d, %q, %q", code, out, errOut)
	}
	code, out, errOut = runRRCtl(t, "reset", "nope", "--socket", dsn, "--json")
	if code != 1 || errOut != "" || !strings.Contains(out, `"error": "no such plugin: nope"`) {
		t.Errorf("exit %d, %q, %q", code, out, errOut)
	}
}

func TestStopWaitsForTheEnd(t *testing.T) {
	d := &fakeDaemon{stop: make(chan control.StopRequest, 1)}
	l, dsn := rpctest.Listen(t)
	s := rpc.New(rpc.Options{Listeners: []net.Listener{l}})
	d.register(s)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()

	if code, _, errOut := runRRCtl(t, "stop", "--no-wait", "--socket", dsn); code != 0 || (<-d.stop).Force {
		t.Errorf("exit %d, %q", code, errOut)
	}
	cmd := process{name: "rrctl", args: []string{"stop", "-f", "--socket", dsn}}.command(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !(<-d.stop).Force {
		t.Error("the stop is not forced")
	}
	waited := make(chan error, 1)
	go func() { waited <- cmd.Wait() }()
	select {
	case err := <-waited:
		t.Errorf("stop returned before the daemon had ended: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	code, _, errOut := runRRCtl(t, "stop", "--timeout", "2s", "--socket", dsn)
	if <-d.stop; code != exitFailed || !strings.Contains(errOut, "has not stopped within 2s") {
		t.Errorf("a stop that takes long: exit %d, %q", code, errOut)
	}
	_ = s.Close()
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestExitCodes(t *testing.T) {
	none := "unix://" + filepath.Join(t.TempDir(), "none.sock")
	stale := filepath.Join(t.TempDir(), "stale.sock")
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"status", "--socket", none}, exitNoDaemon, "the socket does not exist"},
		{[]string{"status", "--socket", stale}, exitNoDaemon, "nobody listens"},
		{[]string{"status", "--socket", "udp://x:1"}, exitUsage, "invalid socket DSN"},
		{[]string{"nope"}, exitUsage, `unknown command "nope"`},
		{[]string{"statsu"}, exitUsage, "did you mean status?"},
		{[]string{"status", "extra"}, exitUsage, "extra"},
		{[]string{"status", "--nope"}, exitUsage, "unknown flag: --nope (see rrctl status --help)"},
		{[]string{"status", "-i", "app"}, exitUsage, "rrctl -i INSTANCE status"},
		{[]string{"config", "nope"}, exitUsage, "unknown command"},
		{[]string{"config", "check"}, exitUsage, "FILE is missing: write rrctl config check FILE (see rrctl config check --help)"},
		{[]string{"config", "check", "/none.yaml"}, exitFailed, "/none.yaml: no such file or directory"},
	} {
		code, out, errOut := runRRCtl(t, c.args...)
		if code != c.code || out != "" || !strings.Contains(errOut, c.text) || !strings.HasPrefix(errOut, "rrctl: ") {
			t.Errorf("%v: exit %d, want %d; stdout %q, stderr %q", c.args, code, c.code, out, errOut)
		}
	}
	for _, args := range [][]string{{}, {"--help"}, {"workers", "--help"}, {"config"}, {"version"}, {"completion", "bash"}, {"completion", "zsh"}, {"completion", "fish"}} {
		if code, out, errOut := runRRCtl(t, args...); code != 0 || out == "" || errOut != "" {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", args, code, out, errOut)
		}
	}
}

func TestInstance(t *testing.T) {
	t.Setenv("RR_INSTANCE", "")
	dir := t.TempDir()
	dsn := func(env string, args ...string) (string, int) {
		t.Helper()
		t.Setenv("RR_INSTANCE", env)
		var errOut bytes.Buffer
		c := &cli{out: new(bytes.Buffer), err: &errOut, runDir: dir, now: time.Now}
		code := c.run(t.Context(), "rrctl", append(args, "status"))
		return errOut.String(), code
	}
	instance := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, socketName), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	socket := func(name string) string { return "unix://" + filepath.Join(dir, name, socketName) }
	check := func(what, text string, code, wantCode int, want ...string) {
		t.Helper()
		if code != wantCode {
			t.Errorf("%s: exit %d, want %d", what, code, wantCode)
		}
		contains(t, what, text, want...)
	}

	text, code := dsn("")
	check("none runs", text, code, exitNoDaemon, "no instance", dir)
	instance("app")
	text, code = dsn("")
	check("the only one", text, code, exitNoDaemon, socket("app"))
	instance("blog")
	text, code = dsn("")
	check("two run", text, code, exitUsage, "app, blog", "-i")
	text, code = dsn("blog")
	check("RR_INSTANCE", text, code, exitNoDaemon, socket("blog"))
	text, code = dsn("blog", "-i", "app")
	check("-i beats RR_INSTANCE", text, code, exitNoDaemon, socket("app"))
	text, code = dsn("", "--instance=blog")
	check("--instance", text, code, exitNoDaemon, socket("blog"))
	text, code = dsn("", "-i", "../x")
	check("a path", text, code, exitUsage, "no instance name")

	var out bytes.Buffer
	c := &cli{out: &out, err: &out, runDir: dir, now: time.Now}
	if code := c.run(t.Context(), "rrctl", []string{"__complete", "status", "--instance", ""}); code != 0 {
		t.Errorf("completion: exit %d", code)
	}
	contains(t, "completion", out.String(), "app\nblog\n")
	// After the command, too, and apart from the -i of workers.
	for _, args := range [][]string{{"workers", "--instance", "blog", "-i"}, {"-i", "blog", "workers", "-i"}} {
		out.Reset()
		c := &cli{out: &out, err: &out, runDir: dir, now: time.Now}
		check("workers -i", out.String(), c.run(t.Context(), "rrctl", args), exitNoDaemon)
		contains(t, "workers -i", out.String(), socket("blog"))
	}
}

func TestCompletePools(t *testing.T) {
	dsn := new(fakeDaemon).serve(t)
	_, out, _ := runRRCtl(t, "--socket", dsn, "__complete", "reset", "")
	contains(t, "completion", out, "http\n", "jobs\n")
	for _, args := range [][]string{{"workers", ""}, {"top", ""}, {"scale", ""}, {"logs", "--pool", ""}} {
		_, out, _ := runRRCtl(t, append([]string{"--socket", dsn, "__complete"}, args...)...)
		contains(t, "completion of "+args[0], out, "http\n", "jobs\n")
	}
}

func TestConfigCommand(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "app.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("version: '3'\nserver: {command: php w.php, env: {DB_PASSWORD: secret}}\nhttp: {address: ':8080'}\n")
	code, out, errOut := runRRCtl(t, "config", "check", file)
	if code != 0 || out != file+": ok\n" {
		t.Errorf("exit %d, %q, %q", code, out, errOut)
	}
	code, out, _ = runRRCtl(t, "config", "dump", file, "-o", "http.address=:9090")
	if code != 0 || !strings.Contains(out, "9090") || strings.Contains(out, "secret") || !strings.Contains(out, "DB_PASSWORD: '***'") {
		t.Errorf("exit %d, %s", code, out)
	}
	var tree map[string]any
	if _, out, _ := runRRCtl(t, "config", "dump", "--json", file); json.Unmarshal([]byte(out), &tree) != nil || tree["http"] == nil {
		t.Errorf("%s", out)
	}
	write("version: '3'\nserver: {command: php w.php}\nhttp: {adress: ':8080'}\n")
	code, out, errOut = runRRCtl(t, "config", "check", file)
	if code != 1 || out != "" {
		t.Errorf("exit %d, %q", code, out)
	}
	contains(t, "check", errOut, "line 3", "adress", "address")
	for _, command := range []string{"check", "dump"} {
		broken := filepath.Join(dir, "broken.yaml")
		if err := os.WriteFile(broken, []byte("version: '3'\nserver: {comand: php w.php}\nhttp: {adress: ':8080'}\na: ${\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, _, errOut := runRRCtl(t, "config", command, broken)
		for line := range strings.Lines(errOut) {
			if !strings.HasPrefix(line, "rrctl: ") {
				t.Errorf("%s: a line without a prefix: %q", command, line)
			}
		}
		if command == "check" && strings.Count(errOut, "\n") < 2 {
			t.Errorf("%q", errOut)
		}
	}
	var result struct {
		OK    bool
		Error string
	}
	code, out, errOut = runRRCtl(t, "--json", "config", "check", file)
	if err := json.Unmarshal([]byte(out), &result); err != nil || code != 1 || errOut != "" || result.OK || !strings.Contains(result.Error, "adress") {
		t.Errorf("exit %d, %v, %q, %q", code, err, out, errOut)
	}
	code, _, errOut = runRRCtl(t, "config", "check", "--lenient", file)
	if code != 0 || !strings.Contains(errOut, "warning: ") {
		t.Errorf("exit %d, %q", code, errOut)
	}
}

func TestNoColour(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	if colours(os.Stdout) {
		t.Error("colours with NO_COLOR")
	}
	if colours(new(bytes.Buffer)) {
		t.Error("colours without a terminal")
	}
}
