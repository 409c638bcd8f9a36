// Package http serves HTTP/1.1, HTTP/2, HTTP/3 and FastCGI, plain and over TLS,
// and gives every request to a PHP worker, with RoadRunner's contract on both
// sides.
package http

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/rr-systemd/rrd/ipc"
)

// Options of New.
type Options struct {
	Config    Config
	Listeners []net.Listener   // without TLS; the server closes all of its sockets
	TLS       []net.Listener   // http.ssl
	QUIC      []net.PacketConn // http.http3
	FastCGI   []net.Listener   // http.fcgi
	Pool      ipc.Executor
	Pools     map[string]ipc.Executor // those of http.pools, for http.routes
	Log       *slog.Logger            // nil: slog's default
	// Debug puts error texts into answers (pool.debug).
	Debug bool
	// Middleware in the order of the configuration: the last one is the
	// outermost, it sees a request first and its answer last.
	Middleware []Middleware
}

// Stats counts requests, those that a middleware answers included.
type Stats struct {
	Requests uint64 // begun since the start
	Active   int64  // being answered now
	Conns    int    // open connections
}

// Server is an HTTP server in front of a pool.
//
//	New ── Run ──► serving ── Shutdown ──► draining ──► stopped
//	  └──────────────┴────────── Close ───────┴───────────┘
type Server struct {
	transports
	handler *handler
	pool    ipc.Executor
	pools   map[string]ipc.Executor
	log     *slog.Logger

	conns    connSet
	draining atomic.Bool
	requests atomic.Uint64
	active   atomic.Int64

	mu       sync.Mutex     // orders the start of Run and draining
	running  sync.WaitGroup // Serve calls
	stopOnce sync.Once
	stopped  chan struct{} // closed when Shutdown or Close is over
}

// ErrNoListener is returned by New, in RoadRunner's words.
var ErrNoListener = errors.New("unable to run http service, no method has been specified (http, https, http/2 or FastCGI): set http.address")

// New validates and takes over the listeners; nothing is accepted before Run.
func New(o Options) (*Server, error) {
	o.Config.Defaults()
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if len(o.Listeners)+len(o.TLS)+len(o.FastCGI) == 0 {
		return nil, ErrNoListener // HTTP/3 alone does not count: clients find it through TLS
	}
	if o.Pool == nil {
		return nil, errors.New("http: Options.Pool is missing")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := o.Config.CheckPools(slices.Collect(maps.Keys(o.Pools))); err != nil {
		return nil, err
	}
	s := &Server{log: o.Log, stopped: make(chan struct{}), pool: o.Pool, pools: o.Pools}

	s.handler = newHandler(&o, &s.draining)
	var h http.Handler = s.handler
	for _, m := range o.Middleware {
		h = m(h)
	}
	if err := s.open(&o, s.count(h)); err != nil {
		return nil, err
	}
	return s, nil
}

// SetRoutes replaces the routes by those of c, which is valid and names no pools
// but those of New. Requests that have begun keep theirs. Of c only the routes
// and max_request_size are taken.
func (s *Server) SetRoutes(c *Config) { s.handler.router.Store(newRouter(c, s.pool, s.pools, s.log)) }

// count is the outermost handler.
func (s *Server) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		s.active.Add(1)
		defer s.active.Add(-1)
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// Stats returns the current counts.
func (s *Server) Stats() Stats {
	return Stats{Requests: s.requests.Load(), Active: s.active.Load(), Conns: s.conns.len() + s.h3.len()}
}

// Run serves until Shutdown or Close is over. When ctx ends it closes the
// server at once; call Shutdown first to lose nothing.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	background, end := context.WithCancel(ctx)
	defer end()
	var parts, group errgroup.Group
	for _, part := range s.background() {
		parts.Go(func() error { return part(background) })
	}
	for _, l := range s.startServing() {
		group.Go(func() error {
			defer s.running.Done()
			err := l.serve()
			if s.draining.Load() || errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
				return nil
			}
			_ = s.Close() // one dead listener: do not go on half served
			return fmt.Errorf("cannot serve on %s: %w", l.addr, err)
		})
	}
	err := group.Wait()
	<-s.stopped
	end()
	return errors.Join(err, parts.Wait())
}

// startServing returns what to serve on, nothing when it is too late.
func (s *Server) startServing() []serving {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return nil
	}
	list := s.servings()
	s.running.Add(len(list))
	return list
}

func (s *Server) stopServing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining.Store(true)
}

// Close stops at once: open connections are closed, running requests lose
// their client. It is idempotent and does not wait for handlers.
func (s *Server) Close() error {
	s.stopServing()
	s.closeTransports()
	s.stopOnce.Do(func() { close(s.stopped) })
	return nil
}
