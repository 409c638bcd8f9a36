package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// The masks and expectations of the tests TestRR... are recordings of
// RoadRunner v2025.1.15.
var (
	timestamp = regexp.MustCompile(`\d{4}/\d\d/\d\d \d\d:\d\d:\d\d`)
	workerRow = regexp.MustCompile(`(?m)^│ *\d+ +│ (READY|WORKING).*$`)
	rules     = regexp.MustCompile("─+")
	spaces    = regexp.MustCompile(" +")
)

func masked(text string) string {
	text = timestamp.ReplaceAllString(text, "{TIME}")
	text = workerRow.ReplaceAllString(text, "{WORKER ROW}")
	return spaces.ReplaceAllString(rules.ReplaceAllString(text, "─"), " ")
}

const (
	workersHTTP = "Workers of [http]:\n┌─┬─┬─┬─┬─┬─┐\n│ PID │ STATUS │ EXECS │ MEMORY │ CPU % │ CREATED │\n├─┼─┼─┼─┼─┼─┤\n{WORKER ROW}\n{WORKER ROW}\n└─┴─┴─┴─┴─┴─┘\n"
	workersJobs = "Workers of [jobs]:\n┌─┬─┬─┬─┬─┬─┐\n│ PID │ STATUS │ EXECS │ MEMORY │ CPU % │ CREATED │\n├─┼─┼─┼─┼─┼─┤\n{WORKER ROW}\n└─┴─┴─┴─┴─┴─┘\n" +
		"Jobs of [jobs]:\n┌─┬─┬─┬─┬─┬─┬─┐\n│ STATUS │ PIPELINE │ DRIVER │ QUEUE │ ACTIVE │ DELAYED │ RESERVED │\n├─┼─┼─┼─┼─┼─┼─┤\n" +
		"│ READY │ p1 │ memory │ p1 │ 1 │ 2 │ 3 │\n│ PAUSED/STOPPED │ p2 │ memory │ p2 │ 0 │ 0 │ 0 │\n└─┴─┴─┴─┴─┴─┴─┘\n"
)

func TestRRClientCommands(t *testing.T) {
	dir := configFor(t, new(fakeDaemon).serve(t))
	config := filepath.Join(dir, ".rr.yaml")
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"workers", "http", "-c", config}, 0, workersHTTP, ""},
		{[]string{"workers", "nope", "-c", config}, 0, "", ""},
		{[]string{"workers", "empty", "-c", config}, 0, "", ""},
		{[]string{"workers", "jobs", "-c", config}, 0, workersJobs, ""},
		{[]string{"workers", "jobs", "http", "-w", dir}, 0, workersJobs + workersHTTP, ""},
		{[]string{"reset", "http", "-c", config}, 0, "", "{TIME} resetting plugin: [http] \n{TIME} plugin reset: [http]\n"},
		{[]string{"reset", "-s", "http", "-c", config}, 0, "", ""},
		// RoadRunner prints success and exits with 0.
		{[]string{"reset", "nope", "-c", config}, 1, "", "{TIME} resetting plugin: [nope] \ncannot reset plugin [nope]: resetter_rpc_reset:\n\tresetter_plugin_reset_by_name: no such plugin: nope\n"},
		{[]string{"workers", "-c", filepath.Join(dir, "none.yaml")}, 1, "", "open " + dir + "/none.yaml: no such file or directory\n"},
		{[]string{"workers", "-c", config, "-o", "rpc.listen=127.0.0.1:6001"}, 1, "", "invalid socket DSN (tcp://:6001, unix://file.sock)\n"},
		{[]string{"nope"}, 1, "", "unknown command \"nope\" for \"rr\"\n"},
	} {
		code, out, errOut := runRR(t, "", c.args...)
		if code != c.code || masked(out) != c.stdout {
			t.Errorf("%v: exit %d, want %d, stdout\n%swant\n%s", c.args, code, c.code, masked(out), c.stdout)
		}
		if masked(errOut) != c.stderr && !(c.args[len(c.args)-1] == "rpc.listen=127.0.0.1:6001" && strings.Contains(errOut, strings.TrimSpace(c.stderr))) {
			t.Errorf("%v: stderr %q, want %q", c.args, masked(errOut), c.stderr)
		}
	}
	// All plugins, sorted; those without workers are left out.
	_, out, _ := runRR(t, dir, "workers")
	http, jobs, service := strings.Index(out, "[http]"), strings.Index(out, "[jobs]"), strings.Index(out, "[service]")
	if http < 0 || jobs < http || service < jobs || strings.Contains(out, "[empty]") {
		t.Errorf("order of\n%s", out)
	}
	contains(t, "service", out, "COMMAND", "/usr/bin/php daemon.php")
	_, out, _ = runRR(t, dir, "workers", "panics")
	contains(t, "failed call", masked(out), "│ 0 │ failed to receive information about panics plugin: ", "│ ERROR │")
	// The same through rrctl.
	if code, out, _ := runRRCtl(t, "rr", "workers", "http", "-c", config); code != 0 || masked(out) != workersHTTP {
		t.Errorf("rrctl rr: exit %d\n%s", code, out)
	}
	if code, _, _ := runRRCtl(t, "rr", "reset", "nope", "-c", config); code != 1 {
		t.Errorf("rrctl rr: exit %d", code)
	}
}

func TestRRWithoutRPCSection(t *testing.T) {
	dir := configFor(t, "")
	code, out, errOut := runRR(t, "", "workers", "-c", filepath.Join(dir, ".rr.yaml"))
	if code != 1 || out != "" || errOut != "rpc service not specified in the configuration. Tip: add\n rpc:\n\r listen: rr_rpc_address\n" {
		t.Errorf("exit %d, %q, %q", code, out, errOut)
	}
}

func TestRRRelativeSocket(t *testing.T) {
	dsn := new(fakeDaemon).serve(t)
	dir := configFor(t, "unix://link.sock")
	if err := os.Symlink(strings.TrimPrefix(dsn, "unix://"), filepath.Join(dir, "link.sock")); err != nil {
		t.Fatal(err)
	}
	// Relative to the folder of the configuration, not to the caller's.
	if code, _, errOut := runRR(t, "", "workers", "http", "-c", filepath.Join(dir, ".rr.yaml")); code != 0 {
		t.Errorf("exit %d, %q", code, errOut)
	}
}

func TestRRVersion(t *testing.T) {
	for _, flag := range []string{"--version", "-v"} {
		code, out, errOut := runRR(t, "", flag)
		if code != 0 || errOut != "" || !regexp.MustCompile(`^rr version \S+ \(build time: [^)]*\), OS: \w+, arch: \w+\n$`).MatchString(out) {
			t.Errorf("exit %d, %q, %q", code, out, errOut)
		}
	}
}

func TestRRStop(t *testing.T) {
	dir := configFor(t, "")
	code, out, errOut := runRR(t, dir, "stop")
	if code != 1 || out != "" || errOut != "open .pid: no such file or directory, to create a .pid file, you must run RR with the following options: './rr serve -p'\n" {
		t.Errorf("exit %d, %q, %q", code, out, errOut)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, ".pid"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{"", "x", "0", "1", "-5"} {
		write(bad)
		if code, _, errOut := runRR(t, dir, "stop"); code != 1 || !strings.Contains(errOut, "no process id") {
			t.Errorf("%q: exit %d, %q", bad, code, errOut)
		}
	}
	for _, args := range [][]string{{"stop"}, {"stop", "-f", "-s"}} {
		server := exec.Command("sh", "-c", `trap 'exit 7' TERM; echo; while :; do sleep 1 & wait; done`)
		server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		ready, err := server.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL) })
		_, _ = ready.Read(make([]byte, 1))
		ended := make(chan int, 1)
		go func() {
			_ = server.Wait() // reaps it before the second signal of -f
			ended <- server.ProcessState.ExitCode()
		}()
		write(fmt.Sprint(server.Process.Pid))
		code, out, errOut := runRR(t, dir, args...)
		want := fmt.Sprintf("{TIME} stopping process with PID: %d\n", server.Process.Pid)
		if len(args) > 1 {
			want = ""
		}
		if code != 0 || out != "" || masked(errOut) != want {
			t.Errorf("%v: exit %d, %q, %q", args, code, out, errOut)
		}
		if got := <-ended; got != 7 {
			t.Errorf("%v: the server ended with %d, not by SIGTERM", args, got)
		}
	}
}

// TestRRServe: rr executes the rrd beside it, else the one in PATH.
func TestRRServe(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copyFile(t, self, filepath.Join(dir, "rr"))
	script := func(folder, word string) {
		t.Helper()
		text := "#!/bin/sh\necho " + word + " \"$@\"\nexit 5\n"
		if err := os.WriteFile(filepath.Join(folder, "rrd"), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	serve := func(path string, args ...string) (int, string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(dir, "rr"), append([]string{"serve"}, args...)...)
		cmd.Env = append(os.Environ(), "RRCTL_TEST_PROCESS=1", "PATH="+path)
		out, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), strings.TrimSpace(string(out))
	}
	other := t.TempDir()
	if code, out := serve(other); code != 1 || !strings.Contains(out, "cannot find the program rrd") {
		t.Errorf("exit %d, %s", code, out)
	}
	script(other, "path")
	if code, out := serve(other, "-c", "a.yaml"); code != 5 || out != "path --roadrunner --config a.yaml" {
		t.Errorf("exit %d, %s", code, out)
	}
	script(dir, "beside")
	const want = "beside --roadrunner --config .rr.yaml -o a.b=c,d -o e=f -w /tmp --dotenv .env -p -s -d -e"
	if code, out := serve(other, "-o", "a.b=c,d", "-o=e=f", "-w", "/tmp", "--dotenv", ".env", "-p", "-s", "-d", "-e"); code != 5 || out != want {
		t.Errorf("exit %d, %s", code, out)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(dst, src); err != nil {
		t.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
}
