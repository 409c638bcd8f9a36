// Package http serves HTTP/1.1 and unencrypted HTTP/2 and gives every request
// to a PHP worker, with RoadRunner's contract on both sides.
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
	"github.com/rr-systemd/rrd/ipc/logkey"
)

// Options of New.
type Options struct {
	Config    Config
	Listeners []net.Listener // the server closes them
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
	http      http.Server
	handler   *handler
	pool      ipc.Executor
	pools     map[string]ipc.Executor
	listeners []*listener
	log       *slog.Logger

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
	if len(o.Listeners) == 0 {
		return nil, ErrNoListener
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
	t := o.Config.Timeouts
	s.http = http.Server{
		Handler:           s.count(h),
		ReadHeaderTimeout: limit(t.ReadHeader),
		IdleTimeout:       limit(t.Idle),
		ConnState:         s.connState,
		ErrorLog:          slog.NewLogLogger(serverLog{o.Log.Handler()}, slog.LevelError),
		Protocols:         new(http.Protocols),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: int(o.Config.HTTP2.MaxConcurrentStreams)},
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetUnencryptedHTTP2(o.Config.HTTP2.H2C)
	for _, l := range o.Listeners {
		s.listeners = append(s.listeners, newListener(l, &s.conns))
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
	return Stats{Requests: s.requests.Load(), Active: s.active.Load(), Conns: s.conns.len()}
}

// Run serves until Shutdown or Close is over. When ctx ends it closes the
// server at once; call Shutdown first to lose nothing.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	var group errgroup.Group
	for _, l := range s.startServing() {
		group.Go(func() error {
			defer s.running.Done()
			err := s.http.Serve(l)
			if s.draining.Load() || errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
				return nil
			}
			_ = s.Close() // one dead listener: do not go on half served
			return fmt.Errorf("cannot serve on %s: %w", l.Addr(), err)
		})
	}
	err := group.Wait()
	<-s.stopped
	return err
}

// startServing returns the listeners to serve on, none when it is too late.
func (s *Server) startServing() []*listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return nil
	}
	s.running.Add(len(s.listeners))
	return s.listeners
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
	for _, l := range s.listeners {
		_ = l.Close()
	}
	// It reports listeners that are closed already, which is as it should be.
	_ = s.http.Close()
	s.stopOnce.Do(func() { close(s.stopped) })
	return nil
}

// serverLog gives net/http's own messages RoadRunner's form.
type serverLog struct{ slog.Handler }

func (l serverLog) Handle(ctx context.Context, r slog.Record) error {
	text := r.Message
	r = slog.NewRecord(r.Time, r.Level, "internal server error", r.PC)
	r.AddAttrs(slog.String("message", text), slog.String(logkey.Logger, "http"))
	return l.Handler.Handle(ctx, r)
}
