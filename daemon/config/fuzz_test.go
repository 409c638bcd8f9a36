package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"", "$", "$A", "${A}", "${A", "${}", "${A:-b}", "${A}:${B:-c}", "$$", "$1", "a:-b", "${:-x}", "${*}", "${A:-b:-c}", "${A:-$B}", "\xff${\xff}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := Expand(s, func(name string) string {
			if name == "A" {
				return "value of $A"
			}
			return ""
		})
		if !ok && got != "" {
			t.Errorf("a lost value is %q", got)
		}
		if !strings.Contains(s, "$") && got != s {
			t.Errorf("%q without a reference became %q", s, got)
		}
	})
}

func FuzzOverride(f *testing.F) {
	for _, s := range []string{"", "=", "a=b", "a=", "=b", `"a="b"`, "a='b\\'c'", "a=`", "a.b.c=d", "a..b=c", ".=x", " \t=\n", "a=\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := parseOverride(s)
		if err != nil {
			if err.Error() == "" {
				t.Error("empty error text")
			}
			return
		}
		root := newTable(Position{})
		root.set("a", &node{kind: list, items: []*node{newString("x", Position{})}})
		o.apply(root)
		if n := root.find(o.key); n == nil || n.value != o.value {
			t.Errorf("%q: key %q is not there after applying it", s, o.key)
		}
	})
}

// FuzzLoad reads any file in both formats, decodes it, and reads its own JSON
// back: nothing may panic or take long, and the second tree must be the same.
func FuzzLoad(f *testing.F) {
	for _, folder := range []string{"testdata/load", "testdata/decode", "testdata/load/inc"} {
		entries, err := os.ReadDir(folder)
		if err != nil {
			f.Fatal(err)
		}
		for _, entry := range entries {
			ext := filepath.Ext(entry.Name())
			if ext != ".yaml" && ext != ".json" {
				continue
			}
			data, err := os.ReadFile(filepath.Join(folder, entry.Name()))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data, ext == ".json")
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, isJSON bool) {
		started := time.Now()
		ext := ".yaml"
		if isJSON {
			ext = ".json"
		}
		file := filepath.Join(t.TempDir(), "app"+ext)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		tree, err := Load(Options{File: file, Environ: []string{"A=a"}, Overrides: []string{"version=3"}})
		if took := time.Since(started); took > 10*time.Second {
			t.Fatalf("loading %d bytes took %s", len(data), took)
		}
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("empty error text")
			}
			return
		}
		var app application
		if err := tree.Decode("", &app); err != nil && err.Error() == "" {
			t.Error("empty error text")
		}
		text, err := tree.JSON()
		if err != nil {
			t.Fatalf("no JSON: %v", err)
		}
		if _, err := tree.DumpYAML(); err != nil {
			t.Errorf("no YAML: %v", err)
		}
		if !json.Valid(text) {
			t.Fatalf("invalid JSON %s", text)
		}
		for _, w := range tree.Warnings() {
			if w.String() == "" {
				t.Error("empty warning")
			}
		}
		if changed := Diff(tree, tree); len(changed) > 0 {
			t.Errorf("a tree differs from itself in %q", changed)
		}
	})
}
