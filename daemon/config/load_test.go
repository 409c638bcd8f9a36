package config

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// caseOptions reads the options of a test case from its leading comments:
// `# option: -o key=value`, `# env: NAME=value`, `# lenient`, `# experimental`,
// `# dotenv: FILE`. JSON has no comments, so those have none.
func caseOptions(t *testing.T, file string) Options {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{File: file, Environ: []string{"HOME=/home/rr"}}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		directive, ok := strings.CutPrefix(lines.Text(), "# ")
		if !ok {
			break
		}
		name, value, _ := strings.Cut(directive, ": ")
		switch name {
		case "option":
			o.Overrides = append(o.Overrides, strings.TrimPrefix(value, "-o "))
		case "env":
			o.Environ = append(o.Environ, value)
		case "dotenv":
			o.Dotenv = value
		case "lenient":
			o.Lenient = true
		case "experimental":
			o.Experimental = true
		}
	}
	return o
}

// checkGolden compares with FILE.golden, or writes it with -update.
func checkGolden(t *testing.T, file, got string) {
	t.Helper()
	golden := file + ".golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs from %s\n--- got\n%s--- want\n%s", file, golden, got, want)
	}
}

func cases(t *testing.T, folder string) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.yaml", "*.json", "*.toml"} {
		found, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Fatalf("no cases in %s", folder)
	}
	return files
}

// report is the effective configuration or the errors, then the warnings.
func report(tree *Tree, result any, err error) string {
	var b strings.Builder
	if err != nil {
		fmt.Fprintln(&b, err)
	} else {
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(result); err != nil {
			fmt.Fprintln(&b, err)
		}
	}
	if tree != nil {
		for _, w := range tree.Warnings() {
			fmt.Fprintln(&b, "warning:", w.String())
		}
	}
	return b.String()
}

func TestLoad(t *testing.T) {
	for _, file := range cases(t, "testdata/load") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			tree, err := Load(caseOptions(t, file))
			var result any
			if err == nil {
				data, jsonErr := tree.JSON()
				if jsonErr != nil {
					t.Fatal(jsonErr)
				}
				result = json.RawMessage(data)
			}
			checkGolden(t, file, report(tree, result, err))
		})
	}
}
