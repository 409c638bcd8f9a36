package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/pool/cgroup"
	"github.com/rr-systemd/rrd/pool/worker"
	"github.com/rr-systemd/rrd/services/informer"
	svc "github.com/rr-systemd/rrd/services/service"
)

// serviceModule is the section service: programs beside the workers.
var serviceModule = module{
	name:     "service",
	sections: []string{"service"},
	settings: func(t *config.Tree) section {
		if !t.Has("service") {
			return nil
		}
		return &serviceSettings{tree: t}
	},
	start: startPrograms,
}

// serviceSettings gives the mistakes of the section their lines.
type serviceSettings struct {
	svc.Config `cfg:",squash"`
	tree       *config.Tree
}

func (s *serviceSettings) Validate() error { return located(s.tree, "service", s.Config.Validate()) }

// check finds programs and users that are not there.
func (s *serviceSettings) check() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.Services)) {
		key := "service." + name
		_, err := findProgram(key+".command", worker.Argv(s.Services[name].Command), "")
		errs = append(errs, s.tree.Locate(err))
		_, err = credential(key, s.Services[name].User, "")
		errs = append(errs, s.tree.Locate(err))
	}
	return errors.Join(errs...)
}

func startPrograms(d *Daemon, s *settings) (*service, error) {
	own := s.modules["service"].(*serviceSettings)
	if err := own.check(); err != nil {
		return nil, err
	}
	group, err := d.cgroups.Pool("service")
	if err != nil {
		return nil, err
	}
	m := svc.New(svc.Options{
		Spawner: &programs{daemon: d, environ: s.tree.Environ(), group: group},
		Log:     d.root,
		Changed: func() {
			// The services are complete when the start is over.
			if state, _, _ := d.health.get(); state != Starting {
				d.assess()
			}
		},
	})
	if err := m.Start(own.Config); err != nil {
		m.Close(d.patience)
		return nil, s.tree.At("service", err)
	}
	svc.Register(d.rpc.server, m)
	return &service{
		problem: m.Problem,
		plugin:  programsView{m},
		drain:   m.Close,
		check: func(next *settings) error {
			if own, ok := next.modules["service"].(*serviceSettings); ok {
				return own.check()
			}
			return nil
		},
		reload: func(next *settings) error {
			own, ok := next.modules["service"].(*serviceSettings)
			if !ok {
				return m.Apply(svc.Config{}) // the section is gone
			}
			return m.Apply(own.Config)
		},
	}, nil
}

// programs starts programs as pool/worker starts workers: with a control group
// for each, and dying with the daemon.
type programs struct {
	daemon  *Daemon
	environ []string
	group   *cgroup.Pool
	last    atomic.Uint64 // number of a leaf
}

// Spawn implements service.Spawner. Errors have the texts of os/exec, as those of
// RoadRunner have.
func (p *programs) Spawn(q svc.Program) (svc.Process, error) {
	if err := executable(q.Argv[0]); err != nil {
		return nil, err
	}
	cred, err := credential("service", q.User, "")
	if err != nil {
		return nil, err
	}
	environ := p.environ
	if address := p.daemon.rpc.address; address != "" {
		environ = append([]string{"RR_RPC=" + address}, environ...)
	}
	leaf, err := p.group.Leaf(p.last.Add(1), cgroup.Limits{})
	if err != nil {
		return nil, err
	}
	proc, err := p.daemon.spawner.Program(&worker.Spec{
		Argv: q.Argv, Env: config.ProcessEnv(environ, q.Env), Credential: cred, Leaf: leaf,
		Stderr: func(o worker.Output) { q.Output(o.PID, o.Chunk) },
	})
	if err != nil {
		return nil, err
	}
	return program{proc}, nil
}

// executable tells whether a program can be found, in the words of os/exec.
func executable(name string) error {
	if name == "" {
		return errors.New("exec: no command")
	}
	_, err := exec.LookPath(name)
	var path *fs.PathError
	switch {
	case err == nil:
		return nil
	case strings.Contains(name, "/") && errors.As(err, &path):
		return &fs.PathError{Op: "fork/exec", Path: name, Err: path.Err}
	case strings.Contains(name, "/"):
		return fmt.Errorf("fork/exec %s: %w", name, errors.Unwrap(err))
	}
	return err
}

// program is a worker.Process as the service package sees it.
type program struct{ *worker.Process }

func (p program) Exit() string {
	exit, oom := p.Process.Exit(), p.OOM()
	switch {
	case exit.Known && exit.Code == 0:
		return ""
	case oom.Incidents > 0:
		return exit.String() + ", " + oom.String()
	}
	return exit.String()
}

func (p program) Signal(sig syscall.Signal) {
	if sig == syscall.SIGKILL {
		p.Kill()
		return
	}
	p.Process.Signal(sig)
}

func (p program) Usage() (memory uint64, cpu time.Duration, ok bool) {
	select {
	case <-p.Done():
		return 0, 0, false
	default:
	}
	memory, cpu, ok = pool.Resident(p.PID())
	if u, counted := p.Leaf().Usage(); counted {
		cpu = u.CPU
		if u.Working > 0 {
			memory = u.Working
		}
	}
	return memory, cpu, ok && memory > 0 // one that is dead and not reaped has none
}

// programsView is what RoadRunner's informer and resetter see.
type programsView struct{ m *svc.Manager }

func (v programsView) Workers() []*informer.Worker {
	list := []*informer.Worker{}
	for _, s := range v.m.Processes() {
		if s.Running {
			list = append(list, &informer.Worker{
				Pid: int64(s.PID), Status: 1, Created: s.Started.UnixNano(),
				MemoryUsage: s.Memory, CPUPercent: s.CPUPercent, Command: s.Command,
			})
		}
	}
	return list
}

func (v programsView) Reset() error { return v.m.RestartAll() }
