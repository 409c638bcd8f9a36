package daemon

import (
	"bytes"
	"errors"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/services/endpoint"
	"github.com/rr-systemd/rrd/services/metrics"
)

// metricsModule serves the page for Prometheus and the metrics of applications.
// Its page stays until the process ends, so that the last scrape sees the drain.
var metricsModule = module{
	name:     "metrics",
	sections: []string{"metrics"},
	settings: func(t *config.Tree) section {
		if !t.Has("metrics") {
			return nil
		}
		return new(metrics.Config)
	},
	socket: func(s section) (string, string) { return "metrics", s.(*metrics.Config).Address },
	start:  startMetrics,
}

func startMetrics(d *Daemon, s *settings) (*service, error) {
	c := s.modules["metrics"].(*metrics.Config)
	log := d.root.With(logkey.Logger, "metrics")
	listeners, err := d.sockets.stream("metrics", "metrics.address", c.Address)
	if err != nil {
		return nil, s.tree.At("metrics.address", err)
	}
	page := endpoint.New(endpoint.Options{Listeners: listeners, Handler: metrics.Page(d.metrics, log), Log: log})
	app, err := d.newMetrics(c, s)
	if err != nil {
		return nil, errors.Join(err, page.Close())
	}
	if err := app.Restore(bytes.NewReader(d.saved("metrics"))); err != nil {
		log.Error("metrics of applications begin anew", logkey.Error, err)
	}
	app.Register(d.rpc.server)
	return &service{run: page.Run, save: app.Save}, nil
}

// newMetrics fills the registry.
func (d *Daemon) newMetrics(c *metrics.Config, s *settings) (*metrics.Service, error) {
	build := metrics.Build{Version: Version, RoadRunner: RoadRunnerVersion}
	events, err := metrics.NewDaemon(d.metrics, build, func() metrics.State {
		state, _, since := d.health.get()
		return metrics.State{Name: state.String(), Since: since}
	})
	if err == nil {
		err = d.metrics.Register(metrics.NewPools(d.poolMetrics))
	}
	if err != nil {
		return nil, err
	}
	d.observers = append(d.observers, countEvents(events))
	app, err := metrics.New(*c, d.metrics, d.root.With(logkey.Logger, "metrics"))
	return app, s.tree.Locate(err)
}

func countEvents(m *metrics.Events) func(pool.Event) {
	return func(e pool.Event) {
		switch e.Type {
		case pool.WorkerStopped:
			m.Exits.WithLabelValues(e.Pool, e.Cause.String()).Inc()
		case pool.WorkerFailed:
			m.StartFailures.WithLabelValues(e.Pool).Inc()
		case pool.Reloaded:
			m.Reloads.WithLabelValues(e.Pool, "ok").Inc()
		case pool.ReloadFailed:
			m.Reloads.WithLabelValues(e.Pool, "failed").Inc()
		}
	}
}
