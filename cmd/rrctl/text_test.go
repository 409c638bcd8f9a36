package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rr-systemd/rrd/services/informer"
)

func TestTexts(t *testing.T) {
	status := sampleStatus()
	golden(t, "status", statusText(&status, moment, false))
	golden(t, "status_colours", statusText(&status, moment, true))
	status.State, status.Reason, status.Instance = "degraded", "http: 0 of 4 workers are ready", ""
	golden(t, "status_degraded", statusText(&status, moment, false))
	golden(t, "workers", workersTable(sampleWorkers(), moment).plain(false, 0))
	golden(t, "workers_100", workersTable(sampleWorkers(), moment).plain(false, 100))
	golden(t, "workers_colours", workersTable(sampleWorkers(), moment).plain(true, 0))
	golden(t, "reload", reloadText(sampleReload(), false))
	d := new(fakeDaemon)
	golden(t, "rr_workers", poolTable(d.Workers("http"), moment).box(false, boxWidth))
	golden(t, "rr_workers_colours", poolTable(d.Workers("http"), moment).box(true, boxWidth))
	golden(t, "rr_service", processTable(d.Workers("service")).box(false, boxWidth))
	golden(t, "rr_jobs", jobsTable(d.Jobs(t.Context(), "jobs")).box(false, boxWidth))
}

// TestNoControlCharacters: what an application says about itself cannot write
// to the terminal.
func TestNoControlCharacters(t *testing.T) {
	hostile := "\x1b]0;title\x07\x1b[2J\r\n\u009b31m\u202e"
	w := sampleWorkers()
	w[0].Request, w[0].State, w[0].Transport, w[0].LastCause = w[1].Request, hostile, hostile, hostile
	s := sampleStatus()
	s.Instance, s.Reason, s.Config, s.Listeners[0].Name, s.Pools[0].Name = hostile, hostile, hostile, hostile, hostile
	r := sampleReload()
	r.Pools[1].Error, r.NeedsRestart = hostile, []string{hostile}
	for name, text := range map[string]string{
		"workers": workersTable(w, moment).plain(false, 0),
		"status":  statusText(&s, moment, false),
		"reload":  reloadText(r, false),
		"rr":      processTable([]*informer.Worker{{Command: hostile}}).box(false, boxWidth),
	} {
		if strings.ContainsAny(text, "\x1b\x07\r\u009b\u202e") {
			t.Errorf("%s: %q", name, text)
		}
	}
}

func TestTableWidth(t *testing.T) {
	tab := workersTable(sampleWorkers(), moment)
	for limit := 1; limit < 200; limit++ {
		lines := strings.Split(strings.TrimSuffix(tab.box(false, limit), "\n"), "\n")
		for _, l := range lines {
			n := utf8.RuneCountInString(l)
			if n != utf8.RuneCountInString(lines[0]) {
				t.Fatalf("limit %d: ragged line %q", limit, l)
			}
			if n > max(limit, 4*len(tab.columns)+1) {
				t.Fatalf("limit %d: line of %d columns", limit, n)
			}
		}
		for l := range strings.Lines(tab.plain(false, limit)) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > max(limit, 3*len(tab.columns)-2) {
				t.Fatalf("limit %d: line of %d columns: %q", limit, n, l)
			}
		}
	}
}

func TestScreen(t *testing.T) {
	if got := screen("a\nb\n", 10); got != cursorHome+"a"+clearLine+"\r\nb"+clearLine+clearBelow {
		t.Errorf("%q", got)
	}
	got := screen("1\n2\n3\n4\n5\n", 3)
	if !strings.Contains(got, "2"+clearLine+"\r\n… 3 more") || strings.Contains(got, "3"+clearLine) {
		t.Errorf("%q", got)
	}
}
