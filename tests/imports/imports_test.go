// Package imports_test holds the code to the table of ARCHITECTURE.md that says
// which package may import which: data flows listeners -> pool -> ipc, and a
// lower layer never imports an upper one.
package imports_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/rr-systemd/rrd/"

var quoted = regexp.MustCompile("`([^`]+)`")

// table reads the rows "| `package`, ... | what it holds | `import`, ... |". A
// name that ends in /* stands for all packages below it; the word "all" allows
// everything.
func table(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		var list []string
		for _, m := range quoted.FindAllStringSubmatch(cells[3], -1) {
			list = append(list, m[1])
		}
		if strings.TrimSpace(cells[3]) == "all" {
			list = []string{"*"}
		}
		for _, m := range quoted.FindAllStringSubmatch(cells[1], -1) {
			allowed[m[1]] = list
		}
	}
	if len(allowed) < 15 {
		t.Fatalf("read only %d packages from the table in ARCHITECTURE.md", len(allowed))
	}
	return allowed
}

func TestImportTable(t *testing.T) {
	allowed := table(t)
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", module+"...").Output()
	if err != nil {
		t.Fatalf("cannot list packages: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		list, ok := entry(allowed, pkg)
		if !ok {
			t.Errorf("%s is not in the table of ARCHITECTURE.md", pkg)
			continue
		}
		for _, imp := range fields[1:] {
			imp, ours := strings.CutPrefix(imp, module)
			family := strings.HasPrefix(imp, pkg+"/") || strings.HasPrefix(pkg, imp+"/")
			if ours && !family && !permits(list, imp) {
				t.Errorf("%s imports %s, which the table of ARCHITECTURE.md does not allow", pkg, imp)
			}
		}
	}
}

// entry finds the row of a package: its own, or the nearest with /*.
func entry(allowed map[string][]string, pkg string) ([]string, bool) {
	if list, ok := allowed[pkg]; ok {
		return list, true
	}
	for {
		i := strings.LastIndexByte(pkg, '/')
		if i < 0 {
			return nil, false
		}
		pkg = pkg[:i]
		if list, ok := allowed[pkg+"/*"]; ok {
			return list, true
		}
		if list, ok := allowed[pkg]; ok {
			return list, true // a package below one of the table
		}
	}
}

func permits(list []string, imp string) bool {
	for _, a := range list {
		tree, isTree := strings.CutSuffix(a, "*")
		if a == imp || isTree && strings.HasPrefix(imp, tree) {
			return true
		}
	}
	return false
}
