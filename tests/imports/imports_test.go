// Package imports_test holds the table of ARCHITECTURE.md that says which
// package may import which: data flows listeners -> pool -> ipc, and a lower
// layer never imports an upper one.
package imports_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/rr-systemd/rrd/"

// allowed maps a package (or, with a trailing /..., a tree of packages) to the
// packages of ours that its non-test code may import. The longest matching
// entry decides. A package without an entry fails the test: add it here and to
// the table in ARCHITECTURE.md.
var allowed = map[string][]string{
	"systemd":        {},
	"ipc/logkey":     {},
	"ipc/goridge":    {},
	"ipc":            {"ipc/goridge"},
	"ipc/rpc":        {"ipc/goridge"},
	"pool/cgroup":    {"systemd", "ipc/logkey"},
	"pool/worker":    {"ipc", "ipc/goridge", "pool/cgroup", "ipc/logkey"},
	"pool":           {"pool/worker", "pool/cgroup", "ipc", "ipc/goridge", "ipc/logkey"},
	"listeners/...":  {"ipc", "ipc/goridge", "ipc/logkey"},
	"services/rpc":   {"ipc", "ipc/rpc", "ipc/goridge", "ipc/logkey"},
	"services/...":   {"ipc", "ipc/rpc", "ipc/goridge", "ipc/logkey", "services/rpc"},
	"daemon/config":  {"ipc/logkey", "systemd"},
	"daemon/logging": {"ipc/logkey", "systemd", "daemon/config"},
	"daemon":         {"..."},
	"cmd/rrd":        {"daemon", "daemon/config", "daemon/logging"},
	"cmd/rrctl":      {"daemon", "daemon/config", "ipc/rpc", "services/..."},
	"bench":          {},
	"tests/...":      {"..."},
	"packaging/...":  {},
	"packaging":      {},
	"man":            {},
	"php/...":        {},
}

func TestImportTable(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", module+"...").Output()
	if err != nil {
		t.Fatalf("cannot list packages: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		list, ok := entry(pkg)
		if !ok {
			t.Errorf("%s has no entry in the import table", pkg)
			continue
		}
		for _, imp := range fields[1:] {
			imp, ours := strings.CutPrefix(imp, module)
			if ours && !permits(list, pkg, imp) {
				t.Errorf("%s imports %s, which the table does not allow", pkg, imp)
			}
		}
	}
}

func entry(pkg string) ([]string, bool) {
	if list, ok := allowed[pkg]; ok {
		return list, true
	}
	for p := pkg; ; {
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			return nil, false
		}
		p = p[:i]
		if list, ok := allowed[p+"/..."]; ok {
			return list, true
		}
	}
}

// permits also lets a package use those below itself (generated messages).
func permits(list []string, pkg, imp string) bool {
	if strings.HasPrefix(imp, pkg+"/") {
		return true
	}
	for _, a := range list {
		tree, isTree := strings.CutSuffix(a, "...")
		if a == imp || isTree && strings.HasPrefix(imp, tree) {
			return true
		}
	}
	return false
}
