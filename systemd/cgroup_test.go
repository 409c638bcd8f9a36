package systemd

import (
	"errors"
	"os"
	"path"
	"strings"
	"testing"
)

const unified = "24 29 0:22 / /sys rw - sysfs sysfs rw\n35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"

func TestCgroupDir(t *testing.T) {
	for _, c := range []struct{ membership, mounts, want string }{
		{"0::/system.slice/system-rr.slice/rr@app.service\n", unified, "/sys/fs/cgroup/system.slice/system-rr.slice/rr@app.service"},
		{"0::/\n", unified, "/sys/fs/cgroup"},
		{"12:pids:/x\n1:name=systemd:/y\n0::/user.slice\n", "1 2 0:3 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/unified/user.slice"},
		{"0::/docker/abc/web\n", "1 2 0:3 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "/sys/fs/cgroup/web"},
		{"0::/docker/abc\n", "1 2 0:3 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "/sys/fs/cgroup"},
		{"0::/docker/abcd\n", "1 2 0:3 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n", ""},
		{"0::/../other\n", unified, ""},
		{"0::/..\n", unified, ""},
		{"0::/gone (deleted)\n", unified, "/sys/fs/cgroup/gone"},
		{"0::/a\n", `1 2 0:3 / /mnt/with\040blank rw - cgroup2 cgroup2 rw`, "/mnt/with blank/a"},
		{"4:memory:/a\n", unified, ""},
		{"0::/a\n", "1 2 0:3 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n", ""},
		{"", "", ""},
	} {
		if got, ok := cgroupDir(c.membership, c.mounts); got != c.want || ok != (c.want != "") {
			t.Errorf("%q in %q: %q, want %q", c.membership, c.mounts, got, c.want)
		}
	}
}

// What the function says of this process must hold on this machine.
func TestOwnCgroup(t *testing.T) {
	dir, err := OwnCgroup()
	if errors.Is(err, ErrNoCgroup2) {
		t.Log("this machine has no cgroup v2:", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	procs, err := os.ReadFile(path.Join(dir, "cgroup.procs"))
	if err != nil {
		t.Fatal(err)
	}
	if len(strings.Fields(string(procs))) == 0 {
		t.Errorf("%s has no processes", dir)
	}
	if _, err := ProcessCgroup(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzCgroupDir(f *testing.F) {
	f.Add("0::/a\n", unified)
	f.Add("0::/../b\n", "1 2 0:3 /x /y - cgroup2 c r\n")
	f.Fuzz(func(t *testing.T, membership, mounts string) {
		if dir, ok := cgroupDir(membership, mounts); ok == (dir == "") && ok {
			t.Error("success without a path")
		}
	})
}
