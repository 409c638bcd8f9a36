package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/services/endpoint"
	"github.com/rr-systemd/rrd/services/status"
)

// statusModule serves the health checks. They are answered from early in the
// start until the process ends.
var statusModule = module{
	name:     "status",
	sections: []string{"status"},
	settings: func(t *config.Tree) section {
		if !t.Has("status") {
			return nil
		}
		return new(status.Config)
	},
	socket: func(s section) (string, string) { return "status", s.(*status.Config).Address },
	start:  startStatus,
}

func startStatus(d *Daemon, s *settings) (*service, error) {
	c := s.modules["status"].(*status.Config)
	listeners, err := d.sockets.stream("status", "status.address", c.Address)
	if err == nil && len(listeners) == 0 {
		err = errors.New("the address is missing; write for example address: 127.0.0.1:2114, or start the socket unit rr-status@.socket")
	}
	if err != nil {
		return nil, s.tree.At("status.address", err)
	}
	status.Register(d.rpc.server, statusView{d})
	page := endpoint.New(endpoint.Options{
		Listeners: listeners,
		Handler:   status.Pages(*c, statusView{d}),
		Log:       d.root.With(logkey.Logger, "status"),
		Timeout:   time.Duration(c.Timeout),
	})
	return &service{run: page.Run}, nil
}

// statusView is the daemon as health checks see it.
type statusView struct{ d *Daemon }

func (v statusView) State() status.State {
	state, reason, since := v.d.health.get()
	return status.State{Name: state.String(), Reason: reason, Since: since}
}

// healthPlugins are the plugins whose health RoadRunner tells.
var healthPlugins = []string{"http", "jobs", "grpc", "centrifuge", "temporal"}

// Plugins takes all pools of a plugin together.
func (v statusView) Plugins() []status.Plugin {
	var list []status.Plugin
	for _, w := range v.d.allWorkers() {
		name, _, _ := strings.Cut(w.name, ".")
		if !slices.Contains(healthPlugins, name) {
			continue
		}
		i := slices.IndexFunc(list, func(p status.Plugin) bool { return p.Name == name })
		if i < 0 {
			i, list = len(list), append(list, status.Plugin{Name: name})
		}
		s := w.pool.Stats()
		list[i].Ready += s.Ready
		list[i].Working += s.Working + s.Draining
	}
	return list
}

// Jobs are the pipelines, as informer.Jobs has them.
func (v statusView) Jobs(ctx context.Context) ([]status.Job, bool) {
	if v.d.workers("jobs") == nil {
		return nil, false
	}
	var list []status.Job
	for _, j := range (roadRunnerView{v.d}).Jobs(ctx, "jobs") {
		list = append(list, status.Job{
			Pipeline: j.Pipeline, Priority: j.Priority, Ready: j.Ready, Queue: j.Queue, Active: j.Active,
			Delayed: j.Delayed, Reserved: j.Reserved, Driver: j.Driver, Error: j.ErrorMessage,
		})
	}
	return list, true
}
