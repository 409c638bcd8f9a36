package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/rr-systemd/rrd/services/lock"
)

func TestMetricsCommand(t *testing.T) {
	list, err := parseMetrics(sampleMetrics, nil)
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
