//go:build conformance

package conformance

import (
	"encoding/xml"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
)

// ofGo are the cases that Go's own HTTP/2 server fails, and why that is left so.
var ofGo = map[string]string{
	"3.5/2":     "after a wrong preface the connection is closed, but Go answers it as HTTP/1.1 first; h2spec expects silence",
	"4.2/3":     "a HEADERS frame that h2spec takes for too long is answered",
	"6.5.3/1":   "where h2spec sends a setting twice, the connection is closed instead of acknowledging it",
	"8.1.2.2/1": "fields such as Connection are ignored, not refused",
	"8.1.2.2/2": "a TE field other than trailers is ignored, not refused",
}

type junit struct {
	Suites []struct {
		Package string `xml:"package,attr"`
		Cases   []struct {
			Class   string    `xml:"classname,attr"`
			Failure *struct{} `xml:"failure"`
			Error   *struct{} `xml:"error"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// TestH2spec: nothing fails but what fails in Go's own server.
func TestH2spec(t *testing.T) {
	s := newSite(t, "")
	const section = "HTTP/2: h2spec"
	note(section, "| over | cases | passed | failed |", "|---|---|---|---|")
	seen := map[string]bool{}
	for _, over := range []struct {
		name, addr string
		args       []string
	}{{"TLS", s.tls, []string{"-t", "-k"}}, {"TCP, prior knowledge", s.http, nil}} {
		host, port, _ := net.SplitHostPort(over.addr)
		out := command(t, s.dir, "", "h2spec", append([]string{"-S", "-h", host, "-p", port, "-j", "h2spec.xml"}, over.args...)...)
		b, err := os.ReadFile(s.path("h2spec.xml"))
		if err != nil {
			t.Fatal(err, out)
		}
		var result junit
		if err := xml.Unmarshal(b, &result); err != nil {
			t.Fatal(err)
		}
		var total int
		var failed []string
		for _, suite := range result.Suites {
			for i, c := range suite.Cases {
				total++
				if c.Failure == nil && c.Error == nil && c.Skipped == nil {
					continue
				}
				id := fmt.Sprintf("%s/%d", suite.Package[strings.LastIndexByte(suite.Package, '/')+1:], i+1)
				if failed, seen[id] = append(failed, id), true; ofGo[id] == "" {
					t.Errorf("%s: %s fails", over.name, id)
				}
			}
		}
		if total < 140 {
			t.Errorf("%s: only %d cases were run\n%s", over.name, total, out)
		}
		note(section, fmt.Sprintf("| %s | %d | %d | %s |", over.name, total, total-len(failed), strings.Join(failed, ", ")))
		_ = os.Remove(s.path("h2spec.xml"))
	}
	note(section, "", "All that fail are those of Go's own server:", "")
	for _, id := range slices.Sorted(func(yield func(string) bool) {
		for id := range seen {
			if !yield(id) {
				return
			}
		}
	}) {
		note(section, fmt.Sprintf("- %s: %s", id, ofGo[id]))
	}
}
