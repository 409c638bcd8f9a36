package systemd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sockets are the socket units, with the names that the daemon looks for.
var sockets = map[string]string{
	"rr-http@.socket":       "http",
	"rr-https@.socket":      "https",
	"rr-h3@.socket":         "h3",
	"rr-fcgi@.socket":       "fcgi",
	"rr-rpc@.socket":        "rpc",
	"rr-grpc@.socket":       "grpc",
	"rr-status@.socket":     "status",
	"rr-metrics@.socket":    "metrics",
	"rr-fileserver@.socket": "fileserver",
	"rr-tcp@.socket":        "tcp.main",
}

// unitFolder is a copy of the units whose programs exist on this machine.
func unitFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append(unitNames(), "rr@.service") {
		text := strings.NewReplacer("/usr/bin/rrd ", "/bin/true ", "/usr/bin/rrctl ", "/bin/true ").Replace(unit(t, name))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func unitNames() []string {
	var names []string
	for name := range sockets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func unit(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// settings are the values of one key, in their order.
func settings(text, key string) []string {
	var values []string
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, key+"="); ok {
			values = append(values, strings.TrimSpace(v))
		}
	}
	return values
}

func TestUnitsVerify(t *testing.T) {
	dir := unitFolder(t)
	args := []string{"verify", "--man=no", "--recursive-errors=no", filepath.Join(dir, "rr@.service")}
	for _, name := range unitNames() {
		args = append(args, filepath.Join(dir, name))
	}
	// systemd 252 reports unknown keys but exits with 0: silence is success.
	out, err := exec.Command("systemd-analyze", args...).CombinedOutput()
	if err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// An exposure of 4.0 is the limit; 40 is how systemd-analyze writes it.
func TestServiceExposure(t *testing.T) {
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=40",
		filepath.Join(unitFolder(t), "rr@.service")).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

func TestServiceLeavesOut(t *testing.T) {
	text := unit(t, "rr@.service")
	for key, why := range map[string]string{
		"RestrictNamespaces":     "clone3 into a cgroup fails",
		"ProtectControlGroups":   "the delegated cgroups are read-only",
		"MemoryDenyWriteExecute": "the JIT and FFI of PHP fail",
		"ProcSubset":             "somaxconn cannot be read",
		"DelegateSubgroup":       "systemd 252 does not know it",
		"Sockets":                "the service must start without socket units",
	} {
		if v := settings(text, key); v != nil {
			t.Errorf("%s=%s: %s", key, v, why)
		}
	}
	for key, want := range map[string]string{
		"Type":                     "notify", // notify-reload: systemd 253
		"Delegate":                 "cpu memory pids io",
		"KillMode":                 "mixed",
		"RuntimeDirectoryPreserve": "yes", // or the RPC socket would be removed
	} {
		if v := settings(text, key); !slices.Equal(v, []string{want}) {
			t.Errorf("%s=%s, want %s", key, v, want)
		}
	}
}

func TestSocketUnits(t *testing.T) {
	found, err := filepath.Glob("*.socket")
	if err != nil || len(found) != len(sockets) {
		t.Errorf("%d socket units, %d expected: %v", len(found), len(sockets), err)
	}
	for name, fdName := range sockets {
		text := unit(t, name)
		if v := settings(text, "FileDescriptorName"); !slices.Equal(v, []string{fdName}) {
			t.Errorf("%s: FileDescriptorName=%s, want %s", name, v, fdName)
		}
		if err := CheckName(fdName); err != nil {
			t.Error(err)
		}
		if _, ok := ParseStoreName(fdName); ok {
			t.Errorf("%s looks like a stored descriptor", fdName)
		}
		if v := settings(text, "Service"); !slices.Equal(v, []string{"rr@%i.service"}) {
			t.Errorf("%s: Service=%s", name, v)
		}
		// Both: at boot, and when the service is started by hand.
		if v := settings(text, "WantedBy"); !slices.Equal(v, []string{"sockets.target", "rr@%i.service"}) {
			t.Errorf("%s: WantedBy=%s", name, v)
		}
		if v := settings(text, "ListenDatagram"); (len(v) > 0) != (fdName == "h3") {
			t.Errorf("%s: ListenDatagram=%s", name, v)
		}
	}
}
