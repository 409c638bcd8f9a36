package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The options reach the workers of the real daemon, through its own program.
func TestIsolation(t *testing.T) {
	a := newSite(t, plain+`
    isolation:
      private_tmp: true
      seccomp: {profile: php}
      landlock: {read: [`+filepath.Join(bin, "php")+`]}
  uploads: {dir: uploads}
`)
	if err := os.Mkdir(filepath.Join(a.dir, "uploads"), 0o755); err != nil {
		t.Fatal(err)
	}
	a.serve()
	status := a.get("/status")
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	for path, want := range map[string]string{"new": "refused", "worker.php": "refused", "uploads/new": "written"} {
		if got := a.get("/write?" + path); got != want {
			t.Errorf("%s is %s, want it %s", path, got, want)
		}
	}
	tmp := a.get("/tmp")
	if !strings.HasPrefix(filepath.Base(tmp), "rrd-worker-") {
		t.Errorf("temporary files go to %s", tmp)
	}
	a.stop()
	if _, err := os.Stat(tmp); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", tmp, err)
	}
}

// A wrong option is found before anything is started.
func TestIsolationMistake(t *testing.T) {
	a := newSite(t, plain+"    isolation: {landlock: {write: [/no/such/folder]}}\n")
	a.start()
	if code := a.wait(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	out := a.output.String()
	for _, want := range []string{"app.yaml: line 11: http.pool.isolation.landlock.write", `"/no/such/folder" does not exist`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
