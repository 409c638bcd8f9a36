package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/services/lock"
	"github.com/rr-systemd/rrd/services/lock/memory"
	"github.com/rr-systemd/rrd/services/lock/redis"
)

// lockModule is on without a section, as in RoadRunner.
var lockModule = module{
	name:     "lock",
	sections: []string{"lock"},
	beside:   true,
	settings: func(*config.Tree) section { return new(lockSettings) },
	start:    startLock,
}

// lockSettings is the section lock. Locks are in the memory of this daemon, or in
// Redis.
type lockSettings struct {
	redis *redis.Config // nil: in memory
}

// lockSection is what the section is decoded into first.
type lockSection struct {
	Driver string `cfg:"driver"`
	Config any    `cfg:"config"`
}

// Decode reads the section, strictly.
func (s *lockSettings) Decode(tree *config.Tree) error {
	var c lockSection
	if err := tree.Decode("lock", &c); err != nil {
		return err
	}
	switch c.Driver {
	case "", "memory":
		if keys := tree.Keys("lock.config"); len(keys) > 0 {
			return tree.Locate(&config.Error{Key: "lock.config." + keys[0], Problem: "the driver memory has no options", Fix: "remove lock.config, or write driver: redis"})
		}
		return nil
	case "redis":
		s.redis = new(redis.Config)
		return errors.Join(tree.Decode("lock.config", s.redis), checked(tree, "lock.config", s.redis))
	}
	return tree.Locate(&config.Error{Key: "lock.driver", Value: c.Driver, Problem: "there is no such driver", Fix: "write memory or redis"})
}

// Defaults does nothing: Decode has them.
func (*lockSettings) Defaults() {}

// Validate does nothing: Decode has checked everything, with its place.
func (*lockSettings) Validate() error { return nil }

// locker is a driver.
type locker interface {
	lock.Locker
	lock.Lister
	Drain()
	Save(io.Writer) error
	Restore([]byte) error
	Close() error
}

func startLock(d *Daemon, s *settings) (*service, error) {
	log := d.root.With(logkey.Logger, "lock")
	if c := s.modules["lock"].(*lockSettings).redis; c != nil {
		locks, err := redis.New(*c, log)
		if err != nil {
			return nil, s.tree.At("lock.config", err)
		}
		return serveLocks(d, log, locks, locks.Leased, locks.Run, redisLockMetrics(locks))
	}
	locks := memory.New()
	holders := func() int { return locks.Stats().Holders }
	return serveLocks(d, log, locks, holders, nil, lockMetrics{locks.Stats})
}

// serveLocks takes over what was saved; holders counts it.
func serveLocks(d *Daemon, log *slog.Logger, locks locker, holders func() int, run func(context.Context) error, metrics prometheus.Collector) (*service, error) {
	if data := d.saved("lock"); data != nil {
		if err := locks.Restore(data); err != nil {
			// Whoever held one finds that it is gone; nobody is better off
			// without a daemon.
			log.Error("locks are lost over the restart", logkey.Error, err)
		} else if n := holders(); n > 0 {
			log.Info("locks are taken over from before the restart", "holders", n)
		}
	}
	if err := d.metrics.Register(metrics); err != nil {
		return nil, errors.Join(err, locks.Close())
	}
	lock.Register(d.rpc.server, locks, locks)
	return &service{run: run, drain: func(context.Context) { locks.Drain() }, save: locks.Save, close: locks.Close}, nil
}

// redisLockMetrics is what this daemon knows without asking: to count all locks
// takes a scan of the server.
func redisLockMetrics(locks *redis.Locks) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rrd_lock_waiting", Help: "Requests that wait for a lock."},
		func() float64 { return float64(locks.Waiting()) })
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
