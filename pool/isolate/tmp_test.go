package isolate

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// What nobody holds a lock on is left over, also when a process with that pid runs.
func TestSweepTmp(t *testing.T) {
	base := t.TempDir()
	own, err := MakeTmp(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(base, tmpPrefix+"1-2345")
	other := filepath.Join(base, tmpPrefix+"x-1")
	link := filepath.Join(base, tmpPrefix+"1-2")
	for _, dir := range []string{filepath.Join(dead, "sub"), other} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	if err := SweepTmp(base); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{own.Dir(): true, dead: false, other: true, link: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if err := own.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(own.Dir()); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
}

// A daemon that sweeps while another one makes folders takes none of them.
func TestSweepTmpWhileMaking(t *testing.T) {
	base := t.TempDir()
	done := make(chan struct{})
	var sweeping sync.WaitGroup
	sweeping.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := SweepTmp(base); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 200 {
		tmp, err := MakeTmp(base, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(tmp.Dir()); err != nil {
			t.Error(err)
		}
		if err := tmp.Remove(); err != nil {
			t.Error(err)
		}
	}
	close(done)
	sweeping.Wait()
}
