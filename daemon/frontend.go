package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/listeners/http"
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/pool/worker"
)

// frontend is a server that gives its requests to pools.
type frontend struct {
	// name is RoadRunner's plugin name: http, ...
	name     string
	server   server
	requests func() uint64
	problem  func() string // why the daemon is degraded, "" if it is not; may be nil
	// check and apply are the two steps of a reload that concern the frontend
	// itself: what check finds keeps everything as it is.
	check func(*settings) error
	apply func(*settings)
}

// server is the part of a frontend that the daemon drives.
type server interface {
	Run(ctx context.Context) error
	Shutdown(ctx context.Context) error
	Close() error
}

// startHTTP opens the sockets, boots the pools and serves. Connections that come
// meanwhile wait in the backlog of the socket.
func (d *Daemon) startHTTP(serving context.Context, s *settings) error {
	open, err := d.openHTTP(s)
	if err != nil {
		return err
	}
	log := d.root.With(logkey.Logger, "http")
	main, others, err := d.httpWorkers(s)
	if err != nil {
		open.close()
		return err
	}
	env := http.Environment{Log: log, Metrics: d.metrics, Dir: s.server.Dir}
	d.traceHTTP(&env)
	middleware, err := http.NewMiddleware(s.http.Config, env)
	if err != nil {
		open.close()
		return &StartError{Phase: PhaseInit, Section: "http", Err: located(s.tree, "http", err)}
	}
	pools := make(map[string]ipc.Executor)
	for name, w := range others {
		pools[name] = w.pool
	}
	srv, err := http.New(http.Options{
		Config:     s.http.Config,
		Listeners:  open.plain,
		TLS:        open.tls,
		QUIC:       open.quic,
		FastCGI:    open.fcgi,
		Pool:       main.pool,
		Pools:      pools,
		Log:        log,
		Debug:      s.http.Pool.Debug,
		Middleware: middleware,
	})
	if err != nil {
		open.close()
		return located(s.tree, "http", err)
	}
	main.requests = func() uint64 { return srv.Stats().Requests }
	var newCertificates func()
	d.addFrontend(&frontend{
		name: "http", server: srv, requests: main.requests, problem: srv.Problem,
		check: func(s *settings) (err error) {
			if newCertificates, err = srv.PrepareCertificates(s.http.Config); err != nil {
				return located(s.tree, "http", err)
			}
			return checkRoutes(s, pools)
		},
		apply: func(s *settings) {
			srv.SetRoutes(&s.http.Config)
			newCertificates()
		},
	})
	byName := func(a, b *workers) int { return cmp.Compare(a.name, b.name) }
	all := append([]*workers{main}, slices.SortedFunc(maps.Values(others), byName)...)
	if err := d.bootWorkers(serving, s, all...); err != nil {
		return err
	}
	d.run("http", srv.Run)
	return nil
}

// httpWorkers makes the pools of the HTTP frontend: http.pool and, by the last
// part of their names, those of http.pools.
func (d *Daemon) httpWorkers(s *settings) (main *workers, others map[string]*workers, err error) {
	main, err = d.newWorkers("http", "http.pool", s, func(s *settings) (pool.Config, worker.Spec, error) {
		if s.http == nil {
			return d.goneHTTP(s, "http")
		}
		return d.planHTTP(s, "http", "http.pool", s.http.Pool)
	})
	others = make(map[string]*workers)
	for name := range s.http.Pools {
		if err != nil {
			return nil, nil, err
		}
		full, key := "http."+name, "http.pools."+name
		others[name], err = d.newWorkers(full, key, s, func(s *settings) (pool.Config, worker.Spec, error) {
			if s.http == nil || s.http.Pools[name] == nil {
				return d.goneHTTP(s, key)
			}
			return d.planHTTP(s, full, key, *s.http.Pools[name])
		})
	}
	return main, others, err
}

// planHTTP keeps the debug mode as it was at the start, because the server shows
// error texts accordingly.
func (d *Daemon) planHTTP(s *settings, name, key string, cfg pool.Config) (pool.Config, worker.Spec, error) {
	cfg.Debug = d.boot.http.Pool.Debug
	spec, err := s.specHTTP(key, cfg, d.wiring())
	if name != "http" {
		spec.Env = append(spec.Env, "RR_POOL="+name)
	}
	spec.Stderr = d.stderr(name)
	return cfg, spec, err
}

func (d *Daemon) goneHTTP(s *settings, key string) (pool.Config, worker.Spec, error) {
	return pool.Config{}, worker.Spec{}, s.tree.At(key, errors.New("the section is gone from the configuration; put it back, or restart the instance to serve without it"))
}

// checkRoutes finds a route to a pool that was not there at the start: the
// workers of a reload take the place of old ones.
func checkRoutes(s *settings, pools map[string]ipc.Executor) error {
	for i, r := range s.http.Routes {
		if r.Pool != "" && pools[r.Pool] == nil {
			key := fmt.Sprintf("http.routes[%d].pool", i)
			return &config.Error{Position: s.tree.Position(key), Key: key, Value: r.Pool,
				Problem: fmt.Sprintf("the pool %q is new", r.Pool), Fix: "restart the instance: a reload adds no pools"}
		}
	}
	return nil
}

// addFrontend makes a complete frontend known.
func (d *Daemon) addFrontend(f *frontend) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.frontends = append(slices.Clip(d.frontends), f)
}
