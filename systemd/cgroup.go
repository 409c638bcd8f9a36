package systemd

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
)

// ErrNoCgroup2 says that this process is in no cgroup of the unified hierarchy
// that it could see: cgroup version 1, or a container without /sys/fs/cgroup.
var ErrNoCgroup2 = errors.New("no cgroup v2")

// OwnCgroup returns the directory of the cgroup (version 2) that this process
// is in, for example /sys/fs/cgroup/system.slice/system-rr.slice/rr@app.service.
// On a hybrid hierarchy it is below the cgroup2 mount, which then usually
// has no controllers.
func OwnCgroup() (string, error) { return ProcessCgroup(os.Getpid()) }

// ProcessCgroup does the same for another process, as this one sees it.
func ProcessCgroup(pid int) (string, error) {
	membership, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", fmt.Errorf("cannot find the cgroup of process %d: %w", pid, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("cannot find the cgroup of process %d: %w", pid, err)
	}
	dir, ok := cgroupDir(string(membership), string(mounts))
	if !ok {
		return "", fmt.Errorf("cannot find the cgroup of process %d: %w", pid, ErrNoCgroup2)
	}
	return dir, nil
}

// cgroupDir joins the path in a /proc/PID/cgroup ("0::/path") with the mount
// point of cgroup2 in a mountinfo. Where only a part of the hierarchy is mounted
// (a container without cgroup namespace), the mount's root field is what the
// path has to lose. Both formats: cgroups(7), proc(5).
func cgroupDir(membership, mountinfo string) (string, bool) {
	own, ok := "", false
	for line := range strings.Lines(membership) {
		if p, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); found {
			own, ok = strings.TrimSuffix(p, " (deleted)"), true
		}
	}
	// A path that begins with /.. is outside of our cgroup namespace.
	if !ok || !path.IsAbs(own) || strings.HasPrefix(own+"/", "/../") {
		return "", false
	}
	for line := range strings.Lines(mountinfo) {
		left, right, found := strings.Cut(line, " - ")
		fields := strings.Fields(left)
		if kind, _, _ := strings.Cut(right, " "); !found || kind != "cgroup2" || len(fields) < 5 {
			continue
		}
		root, point := unescapeMount(fields[3]), unescapeMount(fields[4])
		if root == "/" {
			return path.Join(point, own), true
		}
		if own == root {
			return point, true
		}
		if rest, below := strings.CutPrefix(own, root+"/"); below {
			return path.Join(point, rest), true
		}
	}
	return "", false
}

// unescapeMount undoes the kernel's octal escapes of blanks and backslashes.
var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace
