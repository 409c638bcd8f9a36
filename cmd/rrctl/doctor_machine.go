package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// Versions below which something is missing.
const (
	systemdWanted = 252   // Debian 12; older ones are not tested
	kernelWanted  = 5_007 // 5.7: clone3 into a cgroup
)

func (d *doctor) machine(ctx context.Context) {
	d.area = "machine"
	d.systemd(ctx)
	d.kernel()
	d.cgroups()
	d.backlog()
	d.overcommit()
	d.hugePages()
	d.clock()
	d.disk()
}

var firstNumber = regexp.MustCompile(`\d+`)

func (d *doctor) systemd(ctx context.Context) {
	out, err := exec.CommandContext(ctx, "systemctl", "--version").Output()
	version, _ := strconv.Atoi(firstNumber.FindString(string(out)))
	booted := unix.Access(filepath.Join(d.root, "run/systemd/system"), unix.F_OK) == nil
	switch {
	case err != nil || !booted:
		d.add("systemd", note, "this machine does not run it",
			"rrd works without, but sockets close at a restart, nothing restarts it, and limits of workers are not enforced")
	default:
		d.check("systemd", version >= systemdWanted, warning, fmt.Sprint("version ", version),
			fmt.Sprintf("upgrade: versions before %d are not tested", systemdWanted))
	}
}

var kernelVersion = regexp.MustCompile(`^(\d+)\.(\d+)`)

func (d *doctor) kernel() {
	release, _ := d.read("proc/sys/kernel/osrelease")
	m := kernelVersion.FindStringSubmatch(release)
	if m == nil {
		return
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	d.check("kernel", major*1000+minor >= kernelWanted, warning, release, "upgrade: before 5.7 a worker runs for a moment outside of its control group")
}

func (d *doctor) cgroups() {
	controllers, ok := d.read("sys/fs/cgroup/cgroup.controllers")
	if !ok {
		d.add("cgroups", warning, "version 1, or no cgroup2 at /sys/fs/cgroup",
			"boot with systemd.unified_cgroup_hierarchy=1: without version 2 the limits of workers are not enforced")
		return
	}
	var missing []string
	for _, c := range []string{"memory", "pids", "cpu"} {
		if !slices.Contains(strings.Fields(controllers), c) {
			missing = append(missing, c)
		}
	}
	d.check("cgroups", len(missing) == 0, warning, "version 2 with "+controllers,
		"the kernel does not offer "+strings.Join(missing, ", ")+": see cgroup_disable= of its command line; those limits of workers are not enforced")
}

// backlog is how many connections the kernel keeps until rrd accepts them; a
// restart needs them.
func (d *doctor) backlog() {
	text, ok := d.read("proc/sys/net/core/somaxconn")
	n, err := strconv.Atoi(text)
	if !ok || err != nil {
		d.add("backlog", note, "net.core.somaxconn cannot be read", "allow it: else sockets get a backlog of 128 (ProcSubset= of the unit)")
		return
	}
	d.check("backlog", n >= 1024, warning, fmt.Sprint("net.core.somaxconn = ", n),
		"sysctl net.core.somaxconn=4096: connections that come during a restart or a burst wait there, and are refused beyond")
}

func (d *doctor) overcommit() {
	mode, ok := d.read("proc/sys/vm/overcommit_memory")
	if ok {
		d.check("overcommit", mode != "2", warning, "vm.overcommit_memory = "+mode,
			"sysctl vm.overcommit_memory=0: with 2 workers count with all they might use, and starting one can fail although memory is free")
	}
}

var chosenWord = regexp.MustCompile(`\[(\w+)\]`)

func (d *doctor) hugePages() {
	text, ok := d.read("sys/kernel/mm/transparent_hugepage/enabled")
	m := chosenWord.FindStringSubmatch(text)
	if !ok || m == nil {
		return
	}
	d.check("huge pages", m[1] != "never", note, "transparent_hugepage = "+m[1],
		"echo madvise >/sys/kernel/mm/transparent_hugepage/enabled: PHP copies bodies of some MiB up to three times faster")
}

func (d *doctor) clock() {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return // a container that may not ask
	}
	const unsynchronized = 5 // TIME_ERROR
	d.check("clock", state != unsynchronized && t.Status&unix.STA_UNSYNC == 0, note, clockText(t.Status&unix.STA_UNSYNC == 0),
		"start systemd-timesyncd or chrony, unless the host keeps the clock: TTLs, certificates and log times rely on it")
}

func clockText(synchronized bool) string {
	if synchronized {
		return "synchronised"
	}
	return "not synchronised"
}

// disk: uploads and spooled bodies go to the temporary folder.
func (d *doctor) disk() {
	var fs unix.Statfs_t
	if unix.Statfs("/tmp", &fs) != nil {
		return
	}
	free := fs.Bavail * uint64(fs.Bsize)
	d.check("disk", free >= 512<<20, warning, humanize.IBytes(free)+" free in /tmp", "make room: uploads go there")
}

// limit reads one line of /proc/PID/limits: soft and hard.
func limit(text, name string) (soft, hard string) {
	for line := range bytes.Lines([]byte(text)) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			if f := strings.Fields(string(rest)); len(f) >= 2 {
				return f[0], f[1]
			}
		}
	}
	return "", ""
}
