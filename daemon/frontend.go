package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/listeners/http"
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/pool/worker"
)

// frontend is a server with a pool of workers of its own.
type frontend struct {
	// name is RoadRunner's plugin name and the name of the pool: http, ...
	name     string
	pool     *pool.Pool
	server   server
	requests func() uint64
	// plan returns the pool's part of new settings and the recipe for its
	// workers.
	plan func(*settings) (pool.Config, worker.Spec, error)
	// settings are those that the workers have; after the start they belong to
	// the turns.
	settings *settings
}

// server is the part of a frontend that the daemon drives.
type server interface {
	Run(ctx context.Context) error
	Shutdown(ctx context.Context) error
	Close() error
}

// startHTTP opens the sockets, boots the pool and serves. Connections that come
// meanwhile wait in the backlog of the socket.
func (d *Daemon) startHTTP(serving context.Context, s *settings) error {
	listeners, err := d.sockets.stream("http", "http.address", s.http.Address)
	if err != nil {
		return s.tree.At("http.address", err)
	}
	f := &frontend{name: "http", plan: d.planHTTP}
	if err := d.newPool(f, s); err != nil {
		closeAll(listeners)
		return err
	}
	log := d.root.With(logkey.Logger, "http")
	middleware, err := http.NewMiddleware(s.http.Config, log)
	if err != nil {
		closeAll(listeners)
		return s.tree.At("http.middleware", err)
	}
	srv, err := http.New(http.Options{
		Config:     s.http.Config,
		Listeners:  listeners,
		Pool:       f.pool,
		Log:        log,
		Debug:      s.http.Pool.Debug,
		Middleware: middleware,
	})
	if err != nil {
		closeAll(listeners)
		return s.tree.At("http", err)
	}
	f.server = srv
	f.requests = func() uint64 { return srv.Stats().Requests }
	return d.serve(serving, s, f)
}

// planHTTP keeps http.pool.debug as it was at the start, because the server
// shows error texts accordingly.
func (d *Daemon) planHTTP(s *settings) (pool.Config, worker.Spec, error) {
	if s.http == nil {
		return pool.Config{}, worker.Spec{}, s.tree.At("http", errors.New("the section is gone from the configuration; put it back, or restart the instance to serve without it"))
	}
	cfg := s.http.Pool
	cfg.Debug = d.boot.http.Pool.Debug
	spec, err := s.spec("http", cfg.Command, d.wiring())
	spec.Stderr = d.stderr("http")
	return cfg, spec, err
}

// newPool makes the pool of a frontend; nothing is started yet.
func (d *Daemon) newPool(f *frontend, s *settings) error {
	cfg, spec, err := f.plan(s)
	if err != nil {
		return err
	}
	f.settings = s
	d.warnOfLimits(f.name, cfg)
	group, err := d.cgroups.Pool(f.name)
	if err != nil {
		return err
	}
	f.pool, err = pool.New(pool.Options{
		Name:    f.name,
		Config:  cfg,
		Spec:    spec,
		Spawner: d.spawner,
		Cgroup:  group,
		Budget:  d.cgroups.Budget,
		Log:     d.log,
		OnEvent: func(e pool.Event) {
			if e.Type == pool.WorkerStarted || e.Type == pool.WorkerFailed || e.Type == pool.WorkerStopped && !e.Cause.Planned() {
				d.assess()
			}
		},
	})
	return err
}

// warnOfLimits names the limits that this machine cannot enforce.
func (d *Daemon) warnOfLimits(name string, cfg pool.Config) {
	for _, m := range d.cgroups.Unsupported(cfg.Limits) {
		d.log.Warn("a limit is not enforced", logkey.Key, name+".pool.limits."+m.Key, logkey.Error, m.Why)
	}
}

// serve makes a complete frontend known, boots its workers and lets it accept.
func (d *Daemon) serve(serving context.Context, s *settings, f *frontend) error {
	d.mu.Lock()
	d.frontends = append(d.frontends, f)
	d.mu.Unlock()
	if err := f.pool.Start(serving); err != nil {
		return s.tree.At(s.commandKey(f.name), err)
	}
	d.run(f.name+" pool", f.pool.Run)
	d.run(f.name, f.server.Run)
	return nil
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

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}
