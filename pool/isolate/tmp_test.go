package isolate

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

func TestSweepTmp(t *testing.T) {
	base := t.TempDir()
	own, err := MakeTmp(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(base, tmpPrefix+strconv.Itoa(ended.Process.Pid)+"-1")
	other := filepath.Join(base, tmpPrefix+"x-1")
	for _, dir := range []string{filepath.Join(dead, "sub"), other} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := SweepTmp(base); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{own: true, dead: false, other: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
