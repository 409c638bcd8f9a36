package daemon

import (
	"context"
	"errors"
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
	// next returns the pool's part of new settings and the recipe for its
	// workers.
	next func(*settings) (pool.Config, worker.Spec, error)
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
	log := d.root.With(logkey.Logger, "http")
	listeners, err := d.listen("http", "http.address", s.http.Address)
	if err == nil && len(listeners) == 0 {
		err = errors.New("http.address: unable to run http service, no method has been specified (HTTP, HTTPS, HTTP/2, FCGI); set http.address, for example 127.0.0.1:8080, or start the socket unit rr-http@.socket")
	}
	if err != nil {
		return &StartError{Phase: PhaseServe, Section: "http", Err: err}
	}
	f := &frontend{name: "http"}
	f.next = func(s *settings) (pool.Config, worker.Spec, error) {
		if s.http == nil {
			return pool.Config{}, worker.Spec{}, errors.New("the section http is gone from the configuration; stop the instance instead")
		}
		spec, err := s.spec(specOptions{plugin: "http", command: s.http.Pool.Command, rpc: d.rpc.env()})
		spec.Stderr = d.stderr("http")
		return s.http.Pool, spec, err
	}
	if err := d.startPool(serving, s, f); err != nil {
		closeAll(listeners)
		return &StartError{Phase: PhaseServe, Section: "http", Err: err}
	}
	srv, err := http.New(http.Options{
		Config:    s.http.Config,
		Listeners: listeners,
		Pool:      f.pool,
		Log:       log,
		Debug:     s.http.Pool.Debug,
	})
	if err != nil {
		closeAll(listeners)
		return &StartError{Phase: PhaseInit, Section: "http", Err: err}
	}
	f.server = srv
	f.requests = func() uint64 { return srv.Stats().Requests }
	d.run(d.life, "http", srv.Run)
	return nil
}

// startPool boots the first generation of a frontend's workers.
func (d *Daemon) startPool(serving context.Context, s *settings, f *frontend) error {
	cfg, spec, err := f.next(s)
	if err != nil {
		return err
	}
	f.pool, err = pool.New(pool.Options{
		Name:    f.name,
		Config:  cfg,
		Spec:    spec,
		Spawner: d.spawner,
		Log:     d.log,
		OnEvent: func(pool.Event) { d.assess() },
	})
	if err != nil {
		return err
	}
	if err := f.pool.Start(serving); err != nil {
		return err
	}
	d.frontends = append(d.frontends, f)
	d.run(d.life, f.name+" pool", f.pool.Run)
	return nil
}

// stderr logs what a worker writes to stderr, in the chunks in which it wrote
// them, on the channel "server" as RoadRunner does.
func (d *Daemon) stderr(name string) func(pid int, requestID string, chunk []byte) {
	return func(pid int, requestID string, chunk []byte) {
		attrs := []any{logkey.Pool, name, logkey.Worker, pid}
		if requestID != "" {
			attrs = append(attrs, logkey.RequestID, requestID)
		}
		d.log.Info(string(chunk), attrs...)
	}
}

// listen finds or opens the sockets of a frontend and remembers them for
// `rrctl status`.
func (d *Daemon) listen(name, key, dsn string) ([]net.Listener, error) {
	inherited := d.sockets.inherited.Has(name)
	listeners, err := d.sockets.stream(name, key, dsn)
	for _, l := range listeners {
		d.bound = append(d.bound, boundSocket{name: name, addr: l.Addr(), inherited: inherited})
	}
	return listeners, err
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// boundSocket is a listening socket for `rrctl status`.
type boundSocket struct {
	name      string
	addr      net.Addr
	inherited bool
}
