package daemon

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/services/lock"
	"github.com/rr-systemd/rrd/services/lock/memory"
)

// lockModule is on without a section, as in RoadRunner.
var lockModule = module{
	name:     "lock",
	sections: []string{"lock"},
	builtin:  true,
	settings: func(*config.Tree) section { return new(lockSettings) },
	start:    startLock,
}

// lockSettings has no keys yet.
type lockSettings struct{}

func (*lockSettings) Defaults()       {}
func (*lockSettings) Validate() error { return nil }

func startLock(d *Daemon, _ *settings) (*service, error) {
	log := d.root.With(logkey.Logger, "lock")
	locks := memory.New()
	if data := d.saved("lock"); data != nil {
		if err := locks.Restore(data); err != nil {
			// Whoever held one finds that it is gone; nobody is better off
			// without a daemon.
			log.Error("locks are lost over the restart", logkey.Error, err)
		} else if s := locks.Stats(); s.Holders > 0 {
			log.Info("locks are taken over from before the restart", "resources", s.Resources, "holders", s.Holders)
		}
	}
	err := d.metrics.Register(lockMetrics{locks.Stats})
	if err != nil {
		return nil, err
	}
	lock.Register(d.rpc.server, locks, locks)
	return &service{drain: func(context.Context) { locks.Drain() }, save: locks.Save, close: locks.Close}, nil
}

// lockMetrics are the locks in numbers.
type lockMetrics struct{ stats func() memory.Stats }

var (
	lockResources = prometheus.NewDesc("rrd_lock_resources", "Resources that are locked.", nil, nil)
	lockHolders   = prometheus.NewDesc("rrd_lock_holders", "Locks that are held.", nil, nil)
	lockWaiting   = prometheus.NewDesc("rrd_lock_waiting", "Requests that wait for a lock.", nil, nil)
)

func (lockMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lockResources, lockHolders, lockWaiting} {
		ch <- d
	}
}

func (m lockMetrics) Collect(ch chan<- prometheus.Metric) {
	s := m.stats()
	ch <- prometheus.MustNewConstMetric(lockResources, prometheus.GaugeValue, float64(s.Resources))
	ch <- prometheus.MustNewConstMetric(lockHolders, prometheus.GaugeValue, float64(s.Holders))
	ch <- prometheus.MustNewConstMetric(lockWaiting, prometheus.GaugeValue, float64(s.Waiting))
}
