package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/services/lock"
	"github.com/rr-systemd/rrd/services/service"
)

func TestMetricsCommand(t *testing.T) {
	list, err := parseMetrics(sampleMetrics, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "metrics", metricsTable(list).plain(false, 0))
	dsn := new(fakeDaemon).serve(t)
	code, out, errOut := runRRCtl(t, "metrics", "--raw", "--socket", dsn)
	if code != 0 || out != sampleMetrics || errOut != "" {
		t.Errorf("exit %d, %q\n%s", code, errOut, out)
	}
	code, out, _ = runRRCtl(t, "metrics", "request_total", "app_*", "--socket", dsn)
	if code != 0 || strings.Count(out, "\n") != 5 || strings.Contains(out, "duration") {
		t.Errorf("exit %d\n%s", code, out)
	}
	for _, part := range []struct {
		args   string
		golang bool
	}{{"metrics", false}, {"metrics --json", false}, {"metrics --all", true}, {"metrics --all --json", true}, {"metrics go_", true}, {"metrics *", true}} {
		code, out, _ = runRRCtl(t, append(strings.Fields(part.args), "--socket", dsn)...)
		if code != 0 || strings.Contains(out, "go_goroutines") != part.golang || strings.Contains(out, "app_plain") == (part.args == "metrics go_") {
			t.Errorf("%s: exit %d\n%s", part.args, code, out)
		}
	}
	code, out, _ = runRRCtl(t, "metrics", "--json", "--socket", dsn)
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != 6 {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
	if code, _, errOut := runRRCtl(t, "metrics", "nothing", "--socket", dsn); code != exitFailed || errOut != "rrctl: no metric matches nothing\n" {
		t.Errorf("exit %d, %q", code, errOut)
	}
	if code, _, _ := runRRCtl(t, "metrics", "--raw", "--json", "--socket", dsn); code != exitUsage {
		t.Errorf("exit %d", code)
	}
}

func TestLocksCommand(t *testing.T) {
	golden(t, "locks", locksTable(sampleLocks()).plain(false, 0))
	dsn := new(fakeDaemon).serve(t)
	code, out, errOut := runRRCtl(t, "locks", "--socket", dsn)
	if code != 0 || errOut != "" || !strings.Contains(out, "worker-1") || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d, %q\n%s", code, errOut, out)
	}
	var list []lock.Resource
	code, out, _ = runRRCtl(t, "locks", "report", "--json", "--socket", dsn)
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != 1 || list[0].Waiting != 2 {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
	for _, c := range []struct {
		args   []string
		code   int
		out    string
		errOut string
	}{
		{[]string{"report"}, 0, "report: released\n", ""},
		{[]string{"report", "--owner", "worker-1"}, 0, "report: released\n", ""},
		{[]string{"report", "--owner", "other"}, 1, "", "rrctl: other holds no lock on report\n"},
		{[]string{"nope"}, 1, "", "rrctl: no lock on nope\n"},
		{[]string{"nope", "--json"}, 1, "{\n  \"released\": false,\n  \"resource\": \"nope\"\n}\n", ""},
	} {
		code, out, errOut := runRRCtl(t, append(append([]string{"locks", "release"}, c.args...), "--socket", dsn)...)
		if code != c.code || out != c.out || errOut != c.errOut {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", c.args, code, out, errOut)
		}
	}
	_, out, _ = runRRCtl(t, "--socket", dsn, "__complete", "locks", "release", "")
	contains(t, "completion", out, "report\n")
}

func TestKVCommand(t *testing.T) {
	dsn := new(fakeDaemon).serve(t)
	run := func(args ...string) (int, string, string) {
		t.Helper()
		return runRRCtl(t, append(append([]string{"kv"}, args...), "--socket", dsn)...)
	}
	for _, c := range []struct {
		args   string
		code   int
		out    string
		errOut string
	}{
		{"", 0, "STORAGE   DRIVER\ncache     memory\nsessions  memcached\n", ""},
		{"set cache b:1 one", 0, "", ""},
		{"set cache b:2 two --ttl 1h", 0, "", ""},
		{"set cache a three", 0, "", ""},
		{"get cache b:1", 0, "one", ""},
		{"get cache none", 1, "", "rrctl: cache has no key \"none\"\n"},
		{"ls cache", 0, "a\nb:1\nb:2\n", ""},
		{"ls cache b:", 0, "b:1\nb:2\n", ""},
		{"ls cache --limit 2", 0, "a\nb:1\n", "there are more than 2: raise --limit or name a prefix\n"},
		{"ls sessions", 1, "", "rrctl: cannot list the keys of sessions (memcached): the store cannot list its keys\n"},
		{"ttl cache a", 0, "  TTL  KEY\nnever  a\n", ""},
		{"ttl cache a none", 1, "  TTL  KEY\nnever  a\n", ""},
		{"del cache a none", 0, "", ""},
		{"ls cache", 0, "b:1\nb:2\n", ""},
		{"clear cache", exitUsage, "", "rrctl: this deletes every key of cache, with redis and memcached those of others in the same database too: say --yes\n"},
		{"clear cache --yes", 0, "", ""},
		{"ls cache --json", 0, "{\n  \"keys\": []\n}\n", ""},
		{"set", exitUsage, "", "rrctl: STORAGE, KEY, VALUE are missing: write rrctl kv set STORAGE KEY VALUE (see rrctl kv set --help)\n"},
		{"get cache a b", exitUsage, "", "rrctl: \"b\" is one argument too many: write rrctl kv get STORAGE KEY (see rrctl kv get --help)\n"},
		{"get cache", exitUsage, "", "rrctl: KEY is missing: write rrctl kv get STORAGE KEY (see rrctl kv get --help)\n"},
		{"set cache a b --ttl -1s", exitUsage, "", "rrctl: --ttl -1s is negative\n"},
		{"clera cache", exitUsage, "", "rrctl: unknown command \"clera\", did you mean clear? (see rrctl kv --help)\n"},
	} {
		if code, out, errOut := run(strings.Fields(c.args)...); code != c.code || out != c.out || errOut != c.errOut {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", c.args, code, out, errOut)
		}
	}
	if code, _, errOut := run("get", "nope", "a"); code != 1 || !strings.Contains(errOut, "no such storage: nope") {
		t.Errorf("exit %d, %q", code, errOut)
	}
	if code, _, errOut := run("set", "cache", "bytes", "\xff\x1b"); code != 0 {
		t.Errorf("exit %d, %q", code, errOut)
	}
	if code, out, _ := run("get", "cache", "bytes"); code != 0 || out != "\xff\x1b" {
		t.Errorf("exit %d, %q", code, out)
	}
	if code, out, _ := run("get", "cache", "bytes", "--json"); code != 0 || !strings.Contains(out, `"base64": true`) {
		t.Errorf("exit %d, %q", code, out)
	}
	run("set", "cache", "t", "x", "--ttl", "90m")
	var ends []kvTTL
	_, out, _ := run("ttl", "cache", "t", "--json")
	if err := json.Unmarshal([]byte(out), &ends); err != nil || len(ends) != 1 || ends[0].Expires == nil || time.Until(*ends[0].Expires).Round(10*time.Minute) != 90*time.Minute {
		t.Errorf("%v\n%s", err, out)
	}
	_, out, _ = runRRCtl(t, "--socket", dsn, "__complete", "kv", "get", "")
	contains(t, "completion", out, "cache\n", "sessions\n")
	at := moment.Add(time.Hour)
	golden(t, "kv_ttl", kvTTLTable([]kvTTL{{"a\x1b", &at}, {"b", nil}}, moment).plain(false, 0))
}

func TestServiceCommand(t *testing.T) {
	d := &fakeDaemon{services: true}
	dsn := d.serve(t)
	code, out, errOut := runRRCtl(t, "service", "--socket", dsn)
	if code != exitFailed || errOut != "" { // a process has ended for good
		t.Errorf("exit %d, %q", code, errOut)
	}
	contains(t, "service", out, "starts in ", "exit status 255 (3 times)", "ended")
	golden(t, "service", servicesTable([]service.Status{
		{Service: "queue", PID: 70, Running: true, State: "running", CPUPercent: 1.5, Memory: 9e6, Command: "/usr/bin/php queue.php\x1b", LastEnd: "exit status 1"},
		{Service: "ws", PID: 71, State: "pausing", NextStart: moment.Add(12300 * time.Millisecond), Failures: 3, Failing: true, LastEnd: "exit status 255", Command: "/usr/bin/php ws.php"},
		{Service: "ws", PID: 72, State: "pausing", NextStart: moment.Add(-time.Second), Command: "/usr/bin/php ws.php"},
		{Service: "ws", PID: 73, State: "ended", Command: "/usr/bin/php ws.php"},
	}, moment).plain(false, 0))
	calm := &fakeDaemon{services: true, calm: true}
	if code, out, _ := runRRCtl(t, "service", "--socket", calm.serve(t)); code != 0 || !strings.Contains(out, "starts in ") {
		t.Errorf("one waits for its next start: exit %d\n%s", code, out)
	}
	var list []service.Status
	code, out, _ = runRRCtl(t, "service", "list", "queue", "--json", "--socket", dsn)
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != 1 || !list[0].Running || list[0].PID != 70 {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
	for _, c := range []struct {
		args   []string
		code   int
		out    string
		errOut string
	}{
		{[]string{"restart", "queue", "ws"}, 0, "queue: restarted\nws: restarted\n", ""},
		{[]string{"terminate", "nope", "ws"}, 1, "ws: terminated\n", "rrctl: cannot terminate nope: the service with NAME nope doesn't exist\n"},
		{[]string{"restart"}, exitUsage, "", "rrctl: NAME is missing: write rrctl service restart NAME... (see rrctl service restart --help)\n"},
		{[]string{"list", "nope"}, 1, "", "rrctl: the service with NAME nope doesn't exist\n"},
		{[]string{"create", "x", "sleep 1", "--env", "A"}, exitUsage, "", "rrctl: --env A: write NAME=VALUE\n"},
		{[]string{"create", "x", "sleep 1", "--stop-timeout", "1500ms"}, exitUsage, "", "rrctl: --stop-timeout 1.5s: write whole seconds\n"},
		{[]string{"create", "x", "sleep 1", "--env", "A=b=c", "--processes", "2", "--restart-after", "1m", "--exec-timeout", "1h"}, 0, "x: started\n", ""},
	} {
		code, out, errOut := runRRCtl(t, append(append([]string{"service"}, c.args...), "--socket", dsn)...)
		if code != c.code || out != c.out || errOut != c.errOut {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", c.args, code, out, errOut)
		}
	}
	want := serviceCreate{Name: "x", Command: "sleep 1", ProcessNum: 2, ExecTimeout: 3600, RestartSec: 60, RemainAfterExit: true, Env: map[string]string{"A": "b=c"}}
	if got := d.created.Load(); got == nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("created %+v", got)
	}
	_, out, _ = runRRCtl(t, "--socket", dsn, "__complete", "service", "restart", "")
	contains(t, "completion", out, "queue\n", "ws\n")
	code, _, errOut = runRRCtl(t, "service", "--socket", new(fakeDaemon).serve(t))
	if code != exitFailed || !strings.HasPrefix(errOut, "rrctl: the daemon does not know service.Processes: the section service is not in its configuration") {
		t.Errorf("exit %d, %q", code, errOut)
	}
}
