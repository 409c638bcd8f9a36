package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/pool/worker"
)

// workers is a pool with its part of the configuration. A frontend has one that
// bears its name, and may have more: http, http.slow, ...
type workers struct {
	name string
	key  string // its section: http.pool, http.pools.slow
	pool *pool.Pool
	// plan returns the pool's part of new settings and the recipe for its
	// workers.
	plan func(*settings) (pool.Config, worker.Spec, error)
	// requests counts what the frontend got for this pool; nil: what the pool ran.
	requests func() uint64
	// settings are those that the workers have; after the start they belong to
	// the turns.
	settings *settings
}

// served is how many requests this pool is there for have come so far.
func (w *workers) served() uint64 {
	if w.requests == nil {
		return w.pool.Stats().Execs
	}
	return w.requests()
}

// newWorkers makes a pool; nothing is started yet.
func (d *Daemon) newWorkers(name, key string, s *settings, plan func(*settings) (pool.Config, worker.Spec, error)) (*workers, error) {
	cfg, spec, err := plan(s)
	if err != nil {
		return nil, err
	}
	d.warnOfLimits(key, cfg)
	d.warnOfIsolation(key, cfg.Isolation)
	group, err := d.cgroups.Pool(name)
	if err != nil {
		return nil, err
	}
	w := &workers{name: name, key: key, plan: plan, settings: s}
	w.pool, err = pool.New(pool.Options{
		Name:    name,
		Config:  cfg,
		Spec:    spec,
		Spawner: d.spawner,
		Cgroup:  group,
		Budget:  d.budget,
		Log:     d.log,
		OnEvent: d.onEvent,
	})
	return w, err
}

// onEvent hands on what a pool tells.
func (d *Daemon) onEvent(e pool.Event) {
	if e.Type == pool.WorkerStarted || e.Type == pool.WorkerFailed || e.Type == pool.WorkerStopped && !e.Cause.Planned() {
		d.assess()
	}
	for _, observe := range d.observers {
		observe(e)
	}
}

// bootWorkers makes pools known and starts all workers of all of them.
func (d *Daemon) bootWorkers(serving context.Context, s *settings, list ...*workers) error {
	d.mu.Lock()
	d.pools = append(slices.Clip(d.pools), list...)
	d.mu.Unlock()
	errs := make([]error, len(list))
	var booting sync.WaitGroup
	for i, w := range list {
		booting.Go(func() {
			if err := w.pool.Start(serving); err != nil {
				errs[i] = s.tree.At(s.commandKey(w.key), err)
				return
			}
			d.run(w.name+" pool", w.pool.Run)
		})
	}
	booting.Wait()
	return errors.Join(errs...)
}

// warnOfLimits names the limits that this machine cannot enforce.
func (d *Daemon) warnOfLimits(key string, cfg pool.Config) {
	for _, m := range d.cgroups.Unsupported(cfg.Limits) {
		d.log.Warn("a limit is not enforced", logkey.Key, key+".limits."+m.Key, logkey.Error, m.Why)
	}
}

// stderr logs what workers write to stderr, on the channel "server" and in the
// chunks in which they wrote it, as RoadRunner does. The journal gets a record a
// line, because there a person reads and filters lines.
func (d *Daemon) stderr(name string) func(worker.Output) {
	return func(o worker.Output) {
		attrs := []slog.Attr{
			slog.String(logkey.Pool, name), slog.Int(logkey.Worker, o.PID), slog.Uint64(logkey.Generation, o.Generation),
		}
		if o.RequestID != "" {
			attrs = append(attrs, slog.String(logkey.RequestID, o.RequestID))
		}
		if !d.logs.ToJournal("server") {
			d.log.LogAttrs(d.life, slog.LevelInfo, string(o.Chunk), attrs...)
			return
		}
		for line := range bytes.Lines(o.Chunk) {
			if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
				d.log.LogAttrs(d.life, slog.LevelInfo, string(line), attrs...)
			}
		}
	}
}
