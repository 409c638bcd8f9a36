package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rr-systemd/rrd/daemon"
	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/control"
)

// reached is what came of asking the daemon.
type reached struct {
	status control.Status
	err    error
}

// reach asks the instance; nil means that there is none to ask.
func (c *cli) reach(ctx context.Context) *reached {
	dsn, err := c.dsn()
	if err != nil {
		return nil
	}
	client, err := dial(ctx, dsn, c.timeout)
	if err != nil {
		return &reached{err: err}
	}
	defer client.Close()
	r := new(reached)
	r.err = client.Call(ctx, "rrd.Status", rpc.JSON, &control.Done{}, &r.status)
	return r
}

// configOf is the file of an instance, "" if nobody knows.
func configOf(instance string, r *reached) string {
	if r != nil && r.err == nil && r.status.Config != "" {
		return r.status.Config
	}
	if instance != "" {
		return filepath.Join("/etc/rr", instance+".yaml")
	}
	return ""
}

// config checks a file and returns it, nil if it is not there or broken.
func (d *doctor) config(file string) *config.Tree {
	if file == "" {
		return nil
	}
	d.area = "config"
	tree, err := config.Load(config.Options{File: file})
	if err == nil {
		err = daemon.CheckConfig(tree)
	}
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			d.add("file", failure, strings.TrimSpace(line), "correct it; rrctl config check "+file+" shows whether it is right")
		}
	} else {
		d.add("file", fine, file, "")
	}
	if tree == nil {
		return nil
	}
	for _, w := range tree.Warnings() {
		d.add("file", warning, w.String(), "")
	}
	for _, f := range tree.Files() {
		st, err := os.Stat(f)
		if err != nil {
			continue
		}
		mode := st.Mode().Perm()
		d.check("permissions", mode&0o022 == 0, failure, fmt.Sprintf("%s has mode %04o", f, mode),
			"chmod go-w "+f+": whoever can write it runs programs as the server's user")
	}
	return tree
}

// instance looks at a daemon that runs, or should.
func (d *doctor) instance(name string, r *reached, c *cli) {
	d.area = "instance"
	for _, group := range []string{"rr", "rr-admin"} {
		if _, err := user.LookupGroup(group); err != nil && name != "" {
			d.add("group "+group, note, "not there", "systemd-sysusers: members of rr may use the sockets, those of rr-admin may control the instance")
		}
	}
	if r == nil || r.err != nil {
		text := "no instance runs"
		if r != nil {
			text = r.err.Error()
		}
		d.add("daemon", failure, text, "systemctl status rr@"+orName(name)+" tells why it does not run")
		return
	}
	s := &r.status
	level := fine
	fix := ""
	if !s.Ready() {
		level, fix = failure, "rrctl logs -p warning shows why"
	}
	found := s.State
	if s.Reason != "" {
		found += ": " + s.Reason
	}
	d.add("daemon", level, found, fix)
	d.check("version", s.Version == daemon.Version, note, "the daemon is "+s.Version+", rrctl "+daemon.Version,
		"systemctl restart rr@"+orName(name)+" runs the new version; no request is lost")
	d.sockets(s, name)
	d.process(s.PID)
	for _, p := range s.Pools {
		d.check("pool "+p.Name, p.Queue == 0, note, fmt.Sprintf("%d workers, %d wait", p.Workers, p.Queue),
			"more workers, or faster ones: rrctl top shows what they do")
	}
}

func orName(name string) string {
	if name == "" {
		return "NAME"
	}
	return name
}

func (d *doctor) sockets(s *control.Status, name string) {
	for _, l := range s.Listeners {
		if l.Network == "tcp" && !l.Inherited && name != "" {
			d.add("socket "+l.Name, note, l.Address+" is opened by the daemon",
				"systemctl enable --now rr-"+l.Name+"@"+name+".socket: then systemd holds it, open before the application is ready and after a crash")
		}
		if l.Network == "unix" && filepath.IsAbs(l.Address) {
			if st, err := os.Stat(l.Address); err == nil && l.Name == "rpc" {
				mode := st.Mode().Perm()
				d.check("socket rpc", mode&0o002 == 0, warning, fmt.Sprintf("%s has mode %04o", l.Address, mode),
					"chmod o-rwx "+l.Address+" (SocketMode=0660): every user of the machine may open it")
			}
		}
	}
}

// process looks at what the kernel lets the daemon do.
func (d *doctor) process(pid int) {
	if limits, ok := d.read(fmt.Sprintf("proc/%d/limits", pid)); ok {
		soft, hard := limit(limits, "Max open files")
		n, err := strconv.ParseUint(hard, 10, 64)
		d.check("open files", hard == "unlimited" || err == nil && n >= 8192, warning, fmt.Sprintf("%s, at most %s", soft, hard),
			"LimitNOFILE=1024:524288 in the unit: each connection takes one")
	}
	groups, ok := d.read(fmt.Sprintf("proc/%d/cgroup", pid))
	if !ok {
		return
	}
	delegated := slices.ContainsFunc(strings.Split(groups, "\n"), func(line string) bool {
		return strings.HasPrefix(line, "0::") && strings.HasSuffix(line, "/daemon")
	})
	d.check("delegation", delegated, warning, delegation(delegated),
		"Delegate=cpu memory pids io in the unit, on a machine with cgroup version 2: without, limits of workers are not enforced and an out-of-memory kill takes the whole server")
}

func delegation(yes bool) string {
	if yes {
		return "each worker has a control group"
	}
	return "workers share the daemon's control group"
}
