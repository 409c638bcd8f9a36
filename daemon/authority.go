package daemon

import (
	"bytes"
	"errors"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/systemd"
)

// adminGroup is the group whose members are admins of every instance.
const adminGroup = "rr-admin"

// authority says who the RPC server's peers are.
func (d *Daemon) authority() rpc.Authority {
	a := rpc.Authority{IsWorker: d.isWorker, Restricted: d.boot.rpc != nil && d.boot.rpc.Restricted()}
	g, err := user.LookupGroup(adminGroup)
	if err == nil {
		var id uint64
		if id, err = strconv.ParseUint(g.Gid, 10, 32); err == nil {
			a.AdminGroup = uint32(id)
		}
	}
	if unknown := user.UnknownGroupError(""); err != nil && !errors.As(err, &unknown) {
		d.log.Warn("members of the group "+adminGroup+" are no admins", logkey.Error, err)
	}
	return a
}

// isWorker tells whether a process is a worker or was started by one, or by a
// program of the service section: it is in the control group of the workers, or
// descends from the daemon. Nothing else is started by the daemon, and what its
// descendants leave behind becomes its child (see worker.AdoptOrphans), so a
// process cannot leave the family by a double fork.
//
// The processes that systemd starts for the unit, such as that of ExecReload=,
// descend from systemd and are in the group of the unit or in its .control.
func (d *Daemon) isWorker(pid int, uid uint32) bool {
	if self := os.Geteuid(); self != 0 && int(uid) != self {
		// Only root starts workers as somebody else. Their processes may be
		// hidden from us (ProtectProc=).
		return false
	}
	if pid == os.Getpid() {
		return false
	}
	if leaves := d.cgroups.Dir(); leaves != "" {
		group, err := systemd.ProcessCgroup(pid)
		if err != nil || strings.HasPrefix(group+"/", leaves+"/") {
			return true
		}
	}
	line, err := ancestors(pid)
	return err != nil || slices.Contains(line, os.Getpid())
}

// errMoving says that the family of a process changed all the time.
var errMoving = errors.New("parents keep ending")

// ancestors lists the parent of a process, its parent and so on. When a parent
// ends meanwhile its pid may be somebody else's, so only what is read twice in
// the same way counts.
func ancestors(pid int) ([]int, error) {
	var before []int
	for range 10 {
		var line []int
		p, err := parent(pid)
		if err != nil {
			return nil, err
		}
		for p > 0 && !slices.Contains(line, p) {
			line = append(line, p)
			if p == 1 { // may be hidden from us (ProtectProc=), and has no parent
				break
			}
			if p, err = parent(p); err != nil {
				break
			}
		}
		if err == nil && before != nil && slices.Equal(line, before) {
			return line, nil
		}
		before = line
		if err != nil {
			before = nil
		}
	}
	return nil, errMoving
}

// parent is the fourth field of /proc/PID/stat; 0 for the first process and for
// one whose parent is outside of the pid namespace.
func parent(pid int) (int, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0, errMoving
	}
	return strconv.Atoi(string(fields[1]))
}
