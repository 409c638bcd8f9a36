package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestMain lets the test binary play rr and rrctl: what the command line does
// to its process (chdir, exec, the terminal) is tested in processes of their own.
func TestMain(m *testing.M) {
	if os.Getenv("RRCTL_TEST_PROCESS") != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

type process struct {
	name string // rr or rrctl
	args []string
	dir  string
	env  []string
}

func (p process) command(t *testing.T) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Args = append([]string{p.name}, p.args...)
	cmd.Dir = p.dir
	if cmd.Dir == "" {
		cmd.Dir = t.TempDir()
	}
	cmd.Env = append(append(os.Environ(), "RRCTL_TEST_PROCESS=1", "GORACE=atexit_sleep_ms=0"), p.env...)
	return cmd
}

func (p process) run(t *testing.T) (code int, stdout, stderr string) {
	t.Helper()
	cmd := p.command(t)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

func runRR(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return process{name: "rr", args: args, dir: dir}.run(t)
}

func runRRCtl(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return process{name: "rrctl", args: args}.run(t)
}

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%swant\n%s", name, got, want)
	}
}

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s: %q is missing in\n%s", what, p, text)
		}
	}
}
