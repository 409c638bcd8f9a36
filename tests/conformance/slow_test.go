//go:build conformance

package conformance

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestSlowClients: the one worker is free for others while 400 connections of
// slowhttptest are slow.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	const section = "Slow clients: slowhttptest"
	note(section, "400 connections for 15 s in each mode, one PHP worker, default timeouts. Meanwhile others ask for a page over",
		"connections of their own, one after the other; each must be answered, none may wait 10 s.", "",
		"| mode | other requests | failed | slowest |", "|---|---|---|---|")
	for _, mode := range []struct {
		name string
		args []string
	}{
		{"slow header (slowloris)", []string{"-H", "-i", "3", "-u", "http://" + s.http + "/"}},
		{"slow body", []string{"-B", "-i", "3", "-s", "8192", "-u", "http://" + s.http + "/"}},
		{"slow read of 1 MiB from PHP", []string{"-X", "-r", "25", "-w", "512", "-y", "1024", "-n", "3", "-z", "32", "-u", "http://" + s.http + "/big"}},
		{"ranges of a static file", []string{"-R", "-t", "GET", "-a", "10", "-b", "3000", "-u", "http://" + s.http + "/file.txt"}},
	} {
		cmd := exec.Command("slowhttptest", append([]string{"-c", "400", "-r", "200", "-l", "15", "-p", "5"}, mode.args...)...)
		log := new(output)
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		var asked, failed int
		var slowest time.Duration
		for running := true; running; {
			select {
			case <-ended:
				running = false
			default:
				begin := time.Now()
				if _, err := get("http://"+s.http+"/other", nil); err != nil {
					failed++
					t.Errorf("%s: %v", mode.name, err)
				}
				asked++
				slowest = max(slowest, time.Since(begin))
			}
		}
		if asked < 10 || slowest > 10*time.Second || !strings.Contains(log.String(), "Exit status") {
			t.Errorf("%s: %d requests, the slowest took %s\n%.3000s", mode.name, asked, slowest, log)
		}
		note(section, fmt.Sprintf("| %s | %d | %d | %s |", mode.name, asked, failed, slowest.Round(time.Millisecond)))
	}
}
