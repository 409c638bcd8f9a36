package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tools makes programs that stand in for those of the system, and returns the
// PATH that finds them first.
func tools(t *testing.T, scripts map[string]string) []string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "RR_INSTANCE="}
}

func TestScaleCommand(t *testing.T) {
	d := new(fakeDaemon)
	dsn := d.serve(t)
	for _, c := range []struct {
		args   []string
		code   int
		out    string
		errOut string
	}{
		{[]string{"http", "5"}, 0, "http: 5 workers, 4 before\n", ""},
		{[]string{"http", "5"}, 0, "http: 5 workers, as before\n", ""},
		{[]string{"http", "1"}, 0, "http: 1 worker, 5 before\n", ""},
		{[]string{"http", "9"}, 1, "http: 6 workers, 1 before\n", "rrctl: worker exited with code 255\n"},
		{[]string{"http", "0"}, exitUsage, "", "rrctl: \"0\" is no number of workers: write 1 or more\n"},
		{[]string{"http", "+1"}, exitUsage, "", "rrctl: \"+1\": write how many workers there are to be, not how many more or fewer\n"},
		{[]string{"http", "501"}, exitUsage, "", "rrctl: a pool has at most 500 workers\n"}, // before any is started
		{[]string{"http", "many"}, exitUsage, "", "rrctl: \"many\" is no number of workers: write 1 or more\n"},
		{[]string{"nope", "2"}, 1, "", "rrctl: there is no pool \"nope\"; there is: http, jobs\n"},
		{[]string{"jobs", "2"}, 1, "jobs: 0 workers, as before\n", "rrctl: pool jobs stays at 0 workers: a reload came between (try again), or it is in debug mode, where each request has a worker of its own\n"},
	} {
		code, out, errOut := runRRCtl(t, append(append([]string{"scale"}, c.args...), "--socket", dsn)...)
		if code != c.code || out != c.out || errOut != c.errOut {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", c.args, code, out, errOut)
		}
	}
	var r scaled
	code, out, errOut := runRRCtl(t, "scale", "http", "4", "--json", "--socket", dsn)
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || errOut != "" || r.After != 4 || r.Before == 4 {
		t.Errorf("exit %d, %v, %+v, %q", code, err, r, errOut)
	}
	code, out, errOut = runRRCtl(t, "scale", "http", "9", "--json", "--socket", dsn)
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 1 || errOut != "" || r.After != 6 || r.Error == "" {
		t.Errorf("exit %d, %v, %+v, %q", code, err, r, errOut)
	}
}

func TestLogsCommand(t *testing.T) {
	env := tools(t, map[string]string{"journalctl": `for a; do echo "<$a>"; done; exit 7`})
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "<--unit=rr@app.service> <--output=short-iso> <--lines=1000>"},
		{[]string{"-f"}, "<--unit=rr@app.service> <--output=short-iso> <--follow>"},
		{[]string{"-f", "-n", "5", "--json"}, "<--unit=rr@app.service> <--output=json> <--lines=5> <--follow>"},
		{[]string{"--request", "ab-1", "--pool", "http", "--pool", "jobs", "--worker", "77", "--channel", "app", "--since", "10 min ago", "-U", "now", "-p", "warning", "-g", "a|b"},
			"<--unit=rr@app.service> <--output=short-iso> <--lines=1000> <--since=10 min ago> <--until=now> <--priority=warning> <--grep=a|b> " +
				"<RR_REQUEST_ID=ab-1> <RR_POOL=http> <RR_POOL=jobs> <RR_WORKER=77> <RR_LOGGER=app>"},
	} {
		code, out, errOut := process{name: "rrctl", args: append([]string{"-i", "app", "logs"}, c.args...), env: env}.run(t)
		if got := strings.Join(strings.Fields(strings.ReplaceAll(out, "\n", " ")), " "); code != 7 || errOut != "" || got != c.want {
			t.Errorf("%v: exit %d, %q\ngot  %s\nwant %s", c.args, code, errOut, got, c.want)
		}
	}
	if code, _, errOut := (process{name: "rrctl", args: []string{"--socket", "/x.sock", "logs"}, env: env}).run(t); code != exitUsage {
		t.Errorf("exit %d, %q", code, errOut)
	}
	if code, _, errOut := (process{name: "rrctl", args: []string{"-i", "app", "logs"}, env: []string{"PATH=/none"}}).run(t); code != exitFailed || !strings.Contains(errOut, "this needs systemd") {
		t.Errorf("exit %d, %q", code, errOut)
	}
}

// showOutput is what systemctl show prints of a service and three sockets.
const showOutput = `Id=rr-http@app.socket
ActiveState=active
SubState=running
UnitFileState=enabled
StateChangeTimestamp=@1767319200
Listen=[::]:8080 (Stream)

MainPID=4711
NRestarts=2
Result=success
MemoryCurrent=123456789
StatusText=http 4/4 idle, queue 0, 12.3k req
Id=rr@app.service
ActiveState=active
SubState=running
UnitFileState=enabled
StateChangeTimestamp=@1767319300

Id=rr-rpc@app.socket
ActiveState=failed
SubState=failed
UnitFileState=disabled
StateChangeTimestamp=
Result=resources
Listen=/run/rr/app/rpc.sock (Stream)

Id=rr-grpc@app.socket
ActiveState=inactive
SubState=dead
UnitFileState=disabled
MemoryCurrent=[not set]
`

func TestUnits(t *testing.T) {
	units := parseUnits(showOutput)
	now := time.Unix(1767319300, 0).Add(3 * time.Hour)
	golden(t, "units", unitsTable(units, now).plain(false, 0))
	golden(t, "units_colours", unitsTable(units, now).plain(true, 0))

	show := func(text string) []string {
		return tools(t, map[string]string{"systemctl": "cat <<'EOF'\n" + text + "EOF\necho \"$@\" >&2"})
	}
	code, out, _ := process{name: "rrctl", args: []string{"--instance=app", "units"}, env: show(showOutput)}.run(t)
	if code != exitFailed || !strings.Contains(out, "rr@app.service") || strings.Contains(out, "grpc") {
		t.Errorf("exit %d\n%s", code, out)
	}
	sound := strings.ReplaceAll(showOutput, "failed", "active")
	code, out, _ = process{name: "rrctl", args: []string{"units", "--json"}, env: show(sound)}.run(t)
	var list []unit
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != 3 || list[0].PID != 4711 || list[0].Memory != 123456789 {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
	code, _, errOut := process{name: "rrctl", args: []string{"units"}, env: show("")}.run(t)
	if code != exitNoDaemon || !strings.Contains(errOut, "no instance") {
		t.Errorf("exit %d, %q", code, errOut)
	}
	env := tools(t, map[string]string{"systemctl": "echo not booted >&2; exit 1"})
	if code, _, errOut := (process{name: "rrctl", args: []string{"units"}, env: env}).run(t); code != exitFailed || errOut != "rrctl: cannot ask systemd: not booted\n" {
		t.Errorf("exit %d, %q", code, errOut)
	}
}
