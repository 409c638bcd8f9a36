package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rr-systemd/rrd/daemon"
	"github.com/rr-systemd/rrd/services/control"
)

// machineIn makes a folder that looks like a root file system.
func machineIn(t *testing.T, files map[string]string) *doctor {
	t.Helper()
	d := &doctor{root: t.TempDir(), area: "machine"}
	for name, text := range files {
		path := filepath.Join(d.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// of are the findings of one name, as severity and text.
func (d *doctor) of(name string) string {
	var list []string
	for _, f := range d.findings {
		if f.Name == name {
			list = append(list, f.Severity.String()+": "+f.Found)
			if (f.Severity == fine) != (f.Fix == "") && f.Severity != warning {
				list = append(list, "fix: "+f.Fix)
			}
		}
	}
	return strings.Join(list, "\n")
}

func TestDoctorOfMachines(t *testing.T) {
	good := map[string]string{
		"proc/sys/kernel/osrelease":                  "6.1.0-13-amd64",
		"proc/sys/net/core/somaxconn":                "4096",
		"proc/sys/vm/overcommit_memory":              "0",
		"sys/fs/cgroup/cgroup.controllers":           "cpuset cpu io memory pids",
		"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
		"run/systemd/system/x":                       "",
	}
	bad := map[string]string{
		"proc/sys/kernel/osrelease":                  "5.4.0",
		"proc/sys/net/core/somaxconn":                "128",
		"proc/sys/vm/overcommit_memory":              "2",
		"sys/fs/cgroup/cgroup.controllers":           "cpuset cpu io pids",
		"sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]",
	}
	look := func(files map[string]string) *doctor {
		d := machineIn(t, files)
		d.kernel()
		d.cgroups()
		d.backlog()
		d.overcommit()
		d.hugePages()
		return d
	}
	d := look(good)
	if d.worst() != fine || len(d.findings) != 5 {
		t.Errorf("good: %+v", d.findings)
	}
	d = look(bad)
	for name, want := range map[string]string{
		"kernel": "warning: 5.4.0", "cgroups": "warning: version 2 with cpuset cpu io pids", "backlog": "warning: net.core.somaxconn = 128",
		"overcommit": "warning: vm.overcommit_memory = 2", "huge pages": "note: transparent_hugepage = never",
	} {
		if got := d.of(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if d = look(nil); d.of("cgroups") == "" || d.of("backlog") == "" || d.worst() != warning {
		t.Errorf("nothing to read: %+v", d.findings)
	}
}

func TestDoctorOfPHP(t *testing.T) {
	facts := func() *phpFacts {
		return &phpFacts{
			Version: "8.2.1", ID: 80201, SAPI: "cli", File: "/etc/php.ini",
			Extensions: []string{"json", "sockets", "mbstring", "protobuf", "FFI", "Zend OPcache"},
			INI:        map[string]string{"ffi.enable": "preload", "opcache.enable_cli": "1", "memory_limit": "256M", "display_errors": "stderr", "max_execution_time": "0"},
		}
	}
	d := new(doctor)
	d.judge(facts())
	if d.worst() != fine {
		t.Errorf("%+v", d.findings)
	}
	for name, c := range map[string]struct {
		change func(*phpFacts)
		want   string
	}{
		"php":                {func(p *phpFacts) { p.Version, p.ID = "8.0.30", 80030 }, "error: 8.0.30 (cli)"},
		"interface":          {func(p *phpFacts) { p.SAPI = "cgi-fcgi" }, "error: the program is for cgi-fcgi"},
		"debug build":        {func(p *phpFacts) { p.Debug = true }, "warning: PHP is built with --enable-debug"},
		"sockets":            {func(p *phpFacts) { p.Extensions = p.Extensions[:1] }, "warning: not loaded"},
		"ffi":                {func(p *phpFacts) { p.INI["ffi.enable"] = "0" }, "note: loaded, but off (ffi.enable = 0)"},
		"opcache":            {func(p *phpFacts) { p.INI["opcache.enable_cli"] = "" }, "note: loaded, but off (opcache.enable_cli = )"},
		"xdebug":             {func(p *phpFacts) { p.Extensions = append(p.Extensions, "xdebug"); p.INI["xdebug.mode"] = "develop" }, "warning: loaded, xdebug.mode = develop"},
		"memory_limit":       {func(p *phpFacts) { p.INI["memory_limit"] = "-1" }, "note: memory_limit = -1"},
		"display_errors":     {func(p *phpFacts) { p.INI["display_errors"] = "1" }, "note: display_errors = 1"},
		"max_execution_time": {func(p *phpFacts) { p.INI["max_execution_time"] = "30" }, "warning: 30 s"},
	} {
		p := facts()
		c.change(p)
		d := new(doctor)
		d.judge(p)
		if got := d.of(name); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestDoctorOfProcesses(t *testing.T) {
	limits := "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 %s               files\n"
	for _, c := range []struct{ hard, group, wantFiles, wantGroup string }{
		{"524288", "0::/system.slice/system-rr.slice/rr@app.service/daemon", "ok: 1024, at most 524288", "ok: each worker has a control group"},
		{"unlimited", "4:memory:/x\n0::/daemon", "ok: 1024, at most unlimited", "ok: each worker has a control group"},
		{"4096", "0::/user.slice", "warning: 1024, at most 4096", "warning: workers share the daemon's control group"},
	} {
		d := machineIn(t, map[string]string{"proc/5/limits": fmt.Sprintf(limits, c.hard), "proc/5/cgroup": c.group})
		d.process(5)
		if got := d.of("open files"); got != c.wantFiles {
			t.Error(got)
		}
		if got := d.of("delegation"); got != c.wantGroup {
			t.Error(got)
		}
	}
}

func TestDoctorOfInstances(t *testing.T) {
	s := sampleStatus()
	s.Version = daemon.Version
	d := new(doctor)
	d.instance("app", &reached{status: s}, nil)
	if got := d.of("daemon"); got != "ok: ready" {
		t.Error(got)
	}
	if got := d.of("pool http"); got != "note: 4 workers, 2 wait" {
		t.Error(got)
	}
	s.State, s.Reason = "degraded", "http: 0 of 4 workers"
	s.Listeners = []control.Listener{{Name: "http", Network: "tcp", Address: ":80"}}
	d = new(doctor)
	d.instance("app", &reached{status: s}, nil)
	if got := d.of("daemon"); got != "error: degraded: http: 0 of 4 workers" || d.worst() != failure {
		t.Error(got)
	}
	if got := d.of("socket http"); got != "note: :80 is opened by the daemon" {
		t.Error(got)
	}
}

func TestDoctorCommand(t *testing.T) {
	findings := []finding{
		{"machine", "kernel", fine, "6.1", ""},
		{"machine", "backlog", warning, "net.core.somaxconn = 128", "sysctl net.core.somaxconn=4096"},
		{"php", "ffi", note, "not loaded", "install it"},
		{"instance", "daemon", failure, "degraded: \x1b[2J", "rrctl logs"},
	}
	golden(t, "doctor", doctorText(findings, false, false))
	golden(t, "doctor_colours", doctorText(findings, false, true))
	golden(t, "doctor_quiet", doctorText(findings, true, false))

	file := filepath.Join(t.TempDir(), "app.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	none := []string{"RR_INSTANCE="}
	write("version: '3'\nserver: {command: php w.php}\nhttp: {address: ':8080'}\n")
	var list []struct{ Area, Name, Severity, Found string }
	run := func(args ...string) int {
		t.Helper()
		code, out, errOut := process{name: "rrctl", args: append([]string{"doctor", "--json"}, args...), env: none}.run(t)
		list = nil
		if err := json.Unmarshal([]byte(out), &list); err != nil || errOut != "" {
			t.Errorf("%v, %q\n%s", err, errOut, out)
		}
		return code
	}
	worst := func(area string) string {
		order := []string{"ok", "note", "warning", "error"}
		n := -1
		for _, f := range list {
			for i, s := range order {
				if f.Area == area && f.Severity == s {
					n = max(n, i)
				}
			}
		}
		if n < 0 {
			return ""
		}
		return order[n]
	}
	if code := run(file); code == exitFailed || worst("config") != "ok" || worst("php") == "error" || worst("instance") != "" {
		t.Errorf("exit %d: %+v", code, list)
	}
	write("version: '3'\nserver: {command: php w.php}\nhttp: {adress: ':8080'}\n")
	if code := run(file); code != exitFailed || worst("config") != "error" {
		t.Errorf("exit %d: %+v", code, list)
	}
	write("version: '3'\nserver: {command: php w.php}\nhttp: {address: ':8080'}\n")
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if code := run(file); code != exitFailed {
		t.Errorf("exit %d: %+v", code, list)
	}
	if code := run("--socket", "/none.sock"); code != exitFailed || worst("instance") != "error" {
		t.Errorf("exit %d: %+v", code, list)
	}
	d := new(fakeDaemon)
	if run("--socket", d.serve(t)); worst("instance") == "" {
		t.Errorf("%+v", list)
	}
	// PHP that talks before it answers.
	env := tools(t, map[string]string{"php": `echo "Warning: cannot load x.so"; echo '{"version":"8.2.1","id":80201,"sapi":"cli","extensions":["json"],"ini":{}}'`})
	code, out, _ := process{name: "rrctl", args: []string{"doctor", "-q"}, env: env}.run(t)
	if code != exitFailed || !strings.Contains(out, "Warning: cannot load x.so") {
		t.Errorf("exit %d\n%s", code, out)
	}
}
