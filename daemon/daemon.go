// Package daemon is the composition root of rrd: it reads the configuration,
// opens the sockets, boots the pools, starts the frontends and services, and
// owns their common life: readiness, reload, drain, watchdog.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/daemon/logging"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/pool/cgroup"
	"github.com/rr-systemd/rrd/pool/isolate"
	"github.com/rr-systemd/rrd/pool/worker"
	"github.com/rr-systemd/rrd/services/tracing"
	"github.com/rr-systemd/rrd/systemd"
)

// Options of a daemon.
type Options struct {
	// Config says how the configuration is read, now and at every reload.
	Config config.Options
	// Instance is the name of the instance (RR_INSTANCE), "" without systemd.
	Instance string
	// RoadRunner makes the daemon print the start and stop lines of `rr serve`,
	// which scripts look for.
	RoadRunner bool
	// Silent leaves the RoadRunner lines out (`rr serve -s`).
	Silent bool
	// PidFile writes .pid into the working folder (`rr serve -p`).
	PidFile bool
	// Debug serves net/http/pprof on 127.0.0.1:6061 (`rr serve -d`).
	Debug bool
}

// Daemon is one instance. Run it once.
//
// The RPC server answers from early in the start until the very end, so
// everything that its methods read is either fixed before it runs or guarded.
type Daemon struct {
	opts    Options
	log     *slog.Logger // channel "server"
	root    *slog.Logger // without a channel
	logs    *logging.Control
	notify  *systemd.Notifier
	sockets *sockets
	health  *health
	status  statusText
	started time.Time
	boot    *settings // what the daemon was started with

	spawner *worker.Spawner
	cgroups *cgroup.Tree
	relay   *worker.Relay // nil: workers use pipes
	rpc     *rpcService

	metrics   *prometheus.Registry // what the metrics endpoint shows
	tracing   *tracing.Provider    // nil without the section otel
	services  []*service           // fixed before the first worker is started
	observers []func(pool.Event)   // the same

	sizing atomic.Pointer[settings] // those whose pools divide the unit's budget

	turns     turns       // of reloads and resets
	signalled atomic.Bool // a signal asked for a reload that has not begun

	life       context.Context    // of the background parts; ends after the drain
	background sync.WaitGroup     // the background parts
	stop       context.CancelFunc // begins the drain
	patience   context.Context    // bounds the drain beside the grace period
	hurry      context.CancelFunc // ends patience
	broken     sync.Once
	failed     error // why a part ended by itself, read after background

	mu        sync.Mutex
	settings  *settings   // in force
	frontends []*frontend // complete when they get here; only grows
	pools     []*workers  // the same
}

// New reads and checks the configuration and takes over what systemd hands to
// the process. Nothing is started yet.
func New(opts Options) (*Daemon, error) {
	var err error
	if opts.Config, err = opts.Config.Absolute(); err != nil {
		return nil, err
	}
	s, err := load(opts.Config)
	if err != nil {
		return nil, err
	}
	// As RoadRunner: relative paths start at the configuration's folder.
	if err := os.Chdir(s.tree.Dir()); err != nil {
		return nil, fmt.Errorf("cannot enter the working folder: %w", err)
	}
	// Both must be read before the first child is started.
	notify, err := systemd.NewNotifier()
	if err != nil {
		return nil, err
	}
	inherited, err := systemd.Inherit()
	if err != nil {
		return nil, err
	}
	root, logs, err := logging.New(logging.Options{
		Config:   s.logs,
		Journal:  systemd.ToJournal(os.Stderr),
		Instance: opts.Instance,
		Color:    logging.WantsColor(),
	})
	if err != nil {
		return nil, errors.Join(&StartError{Phase: PhaseInit, Section: "logs", Err: err}, inherited.Close())
	}
	// What libraries say through the log package becomes records of ours.
	slog.SetDefault(root.With(logkey.Logger, "server"))
	d := &Daemon{
		opts: opts, root: root, logs: logs, boot: s, settings: s, notify: notify,
		log:    root.With(logkey.Logger, "server"),
		health: newHealth(), started: time.Now(), metrics: prometheus.NewRegistry(),
	}
	d.sizing.Store(s)
	d.patience, d.hurry = context.WithCancel(context.Background())
	d.sockets = &sockets{inherited: inherited, notify: notify, log: d.log}
	return d, nil
}

// Run starts everything, serves until ctx ends or a stop signal comes, and
// drains. A stop during the start is no failure: the error is nil. It is a
// *StartError when the start failed. Nothing is left running in any case.
func (d *Daemon) Run(ctx context.Context) error {
	defer d.logs.Close()
	if d.opts.PidFile {
		remove, err := writePid()
		if err != nil {
			return err
		}
		defer remove()
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	d.stop = stop
	// What runs in the background ends after the drain.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	d.life = life
	var err error
	if d.cgroups, err = cgroup.Open(d.log); err != nil {
		return err
	}
	if err := isolate.SweepTmp(os.TempDir()); err != nil {
		d.log.Warn("temporary files of an earlier run are left", logkey.Error, err)
	}
	d.spawner = worker.NewSpawner()
	if err := d.spawner.AdoptOrphans(d.cgroups.Dir()); err != nil {
		d.log.Warn("processes that workers leave behind go to PID 1", logkey.Error, err)
	}

	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(signals)
	d.background.Go(func() { d.heed(life, signals) })

	err = d.start(serving)
	switch {
	case serving.Err() != nil: // a stop came first: what start says is its echo
		err = nil
	case err != nil:
		d.hurry()
	default:
		d.announce(serving)
		<-serving.Done()
	}
	begin := time.Now()
	drained := d.drain(err)
	end()
	d.background.Wait()
	drained = errors.Join(drained, d.closeRelay(), d.spawner.Close(), d.cgroups.Close(), d.sockets.inherited.Close())
	if err == nil {
		d.log.Info("stopped", "took", time.Since(begin).Round(time.Millisecond).String())
	}
	if err = errors.Join(err, d.failed); err != nil {
		_ = d.notify.Status(err.Error()) // what `systemctl status` shows of a failed unit
	}
	return errors.Join(err, drained)
}

// current is the configuration in force.
func (d *Daemon) current() *settings {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settings
}

// parts are the frontends that exist so far.
func (d *Daemon) parts() []*frontend {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.frontends
}

func (d *Daemon) grace() time.Duration { return d.current().endure.GracePeriod }

// allWorkers are the pools that exist so far.
func (d *Daemon) allWorkers() []*workers {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pools
}

// workers finds a pool by its name, nil if there is none.
func (d *Daemon) workers(name string) *workers {
	for _, w := range d.allWorkers() {
		if w.name == name {
			return w
		}
	}
	return nil
}

// run keeps a part of the daemon running; its unexpected end stops the daemon.
func (d *Daemon) run(name string, part func(context.Context) error) {
	d.background.Go(func() {
		if err := part(d.life); err != nil && d.life.Err() == nil {
			d.fail(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// fail stops the daemon because a part of it ended.
func (d *Daemon) fail(err error) {
	d.broken.Do(func() {
		d.log.Error("cannot go on, stopping", logkey.Error, err)
		d.failed = err
		d.stop()
	})
}
