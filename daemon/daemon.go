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
	"sync"
	"time"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/daemon/logging"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool/worker"
	"github.com/rr-systemd/rrd/systemd"
)

// Options of a daemon.
type Options struct {
	// Config says how the configuration is read, now and at every reload.
	Config config.Options
	// Instance is the name of the instance (RR_INSTANCE), "" without systemd.
	Instance string
	// RoadRunner makes the daemon print the start, stop and error lines of
	// `rr serve`, which scripts look for.
	RoadRunner bool
	// Silent leaves the RoadRunner lines out (`rr serve -s`).
	Silent bool
	// PidFile writes .pid into the working folder (`rr serve -p`).
	PidFile bool
	// Debug serves net/http/pprof on 127.0.0.1:6061 (`rr serve -d`).
	Debug bool
}

// Daemon is one instance. Run it once.
type Daemon struct {
	opts    Options
	log     *slog.Logger
	root    *slog.Logger // without a channel
	logs    *logging.Control
	notify  *systemd.Notifier
	sockets *sockets
	spawner *worker.Spawner
	health  *health
	started time.Time
	bound   []boundSocket
	life    context.Context // ends after the drain

	frontends []*frontend
	rpc       *rpcService
	reloads   reloads

	mu       sync.Mutex
	settings *settings

	background sync.WaitGroup
	// patience bounds the drain beside the grace period; hurry ends it.
	patience context.Context
	hurry    context.CancelFunc
	// stop begins the drain; failed holds why, when it was not asked for.
	stop   context.CancelFunc
	failed error
	once   sync.Once
}

// New reads and checks the configuration and takes over what systemd hands to
// the process. Nothing is started yet.
func New(opts Options) (*Daemon, error) {
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
	d := &Daemon{
		opts: opts, root: root, logs: logs, settings: s, notify: notify,
		log:    root.With(logkey.Logger, "server"),
		health: newHealth(), started: time.Now(),
		stop: func() {},
	}
	d.patience, d.hurry = context.WithCancel(context.Background())
	d.sockets = &sockets{inherited: inherited, notify: notify, log: d.log}
	return d, nil
}

// load reads the file and decodes every section.
func load(o config.Options) (*settings, error) {
	tree, err := config.Load(o)
	if err != nil {
		section := "config"
		if errors.Is(err, config.ErrNoVersion) {
			section = ""
		}
		return nil, &StartError{Phase: PhaseConfig, Section: section, Err: err}
	}
	return decode(tree)
}

// Run starts everything, serves until ctx ends or a stop signal comes, and
// drains. The error is a *StartError when the start failed; then nothing is
// left running.
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

	// life outlives serving: what runs in the background ends after the drain.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	d.background.Go(func() { d.signals(life, stop) })
	err := d.start(serving, life)
	if err == nil {
		d.announce()
		<-serving.Done()
	} else if d.opts.RoadRunner {
		// What is printed at the end is RoadRunner's text, which names no key.
		d.log.Error("cannot start", logkey.Error, err)
	}
	err = errors.Join(err, d.drain())
	end()
	d.background.Wait()
	return errors.Join(err, d.failed, d.spawner.Close())
}

// current is the configuration in force.
func (d *Daemon) current() *settings {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settings
}

func (d *Daemon) grace() time.Duration { return d.current().endure.GracePeriod }

// run keeps a part of the daemon running; its unexpected end stops the daemon.
func (d *Daemon) run(life context.Context, name string, part func(context.Context) error) {
	d.background.Go(func() {
		if err := part(life); err != nil && life.Err() == nil {
			d.fail(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// fail stops the daemon because a part of it ended.
func (d *Daemon) fail(err error) {
	d.once.Do(func() {
		d.log.Error("cannot go on, stopping", logkey.Error, err)
		d.failed = err
		d.stop()
	})
}
