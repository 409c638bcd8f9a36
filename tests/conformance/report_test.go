//go:build conformance

package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

// report is what came of the suites, by the title of a section.
var report struct {
	sync.Mutex
	sections map[string][]string
}

// note adds lines of Markdown to a section.
func note(section string, lines ...string) {
	report.Lock()
	defer report.Unlock()
	if report.sections == nil {
		report.sections = map[string][]string{}
	}
	report.sections[section] = append(report.sections[section], lines...)
}

// order of the sections; a run of fewer tests, or one that fails, writes nothing.
var order = []string{"HTTP/2: h2spec", "HTTP/1.1: smuggled and malformed requests", "Slow clients: slowhttptest", "HTTP/3", "TLS: openssl s_client"}

func writeReport() error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Conformance\n\n<!-- Written by `make conformance`. -->\n\nWhat suites find in `rrd` with real PHP workers: %s.\n`make conformance` runs them anew and writes this page.\n", versions())
	for _, section := range order {
		lines := report.sections[section]
		if len(lines) == 0 {
			return nil
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", section, strings.Join(lines, "\n"))
	}
	return os.WriteFile("../../docs/conformance.md", []byte(b.String()), 0o644)
}

func versions() string {
	var list []string
	for _, p := range []string{"nginx-light", "haproxy", "slowhttptest", "ngtcp2-client", "openssl"} {
		out, err := exec.Command("dpkg-query", "-W", "-f", "${Package} ${Version}", p).Output()
		if err == nil {
			list = append(list, string(out))
		}
	}
	slices.Sort(list)
	return "h2spec 2.2.1, " + strings.Join(list, ", ")
}
