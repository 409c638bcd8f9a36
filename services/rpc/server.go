// Package rpc is the daemon's RPC server: the table of methods, who calls them,
// and the connections. The other services register their methods with it.
package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// Options of a Server.
type Options struct {
	// Listeners are unix and TCP sockets. The server owns them from New on.
	Listeners []net.Listener
	Log       *slog.Logger
	// Authority decides who may call what.
	Authority Authority
	// MaxPayload bounds the payload of one frame in bytes; 0 means
	// ipc/rpc.DefaultMaxPayload.
	MaxPayload int
	// MaxCalls bounds the calls of one connection that run at a time; the
	// connection is not read further until one ends. 0 means 1024.
	MaxCalls int
}

// Server answers RPC calls. Register methods, then Run it once.
//
//	New ──► serving ──Shutdown──► draining ──last call done──► closed
//	  │         └──────────────Close, ctx──────────┴──────────────▲
//	  └──────────────────────────Close────────────────────────────┘
type Server struct {
	opts     Options
	log      *slog.Logger
	methods  map[string]*method
	services map[string]bool

	ctx    context.Context // of all calls
	cancel context.CancelFunc

	mu     sync.Mutex
	state  state
	conns  map[*conn]struct{}
	active sync.WaitGroup // Run and the connections
}

type state uint8

const (
	serving state = iota
	draining
	closed
)

// to moves forward; the states have one order, shown at Server.
func (s *state) to(next state) bool {
	if next <= *s {
		return false
	}
	*s = next
	return true
}

// New returns a server without methods.
func New(opts Options) *Server {
	if opts.MaxCalls <= 0 {
		opts.MaxCalls = 1024
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Authority.uid = os.Geteuid()
	s := &Server{
		opts:     opts,
		log:      opts.Log,
		methods:  make(map[string]*method),
		services: make(map[string]bool),
		conns:    make(map[*conn]struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Run accepts connections until Shutdown or Close, which make it return nil
// once every connection has ended, or until ctx is done, which closes the
// server. Any other end of a listener closes the server and is returned.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	failed := make(chan error, len(s.opts.Listeners))
	var accepting sync.WaitGroup
	for _, l := range s.opts.Listeners {
		accepting.Go(func() {
			if err := s.accept(l); err != nil {
				failed <- err
				_ = s.Close()
			}
		})
	}
	accepting.Wait()
	if len(s.opts.Listeners) == 0 {
		<-s.ctx.Done()
	}
	s.active.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// accept serves one listener until it is closed.
func (s *Server) accept(l net.Listener) error {
	var pause time.Duration
	for {
		c, err := l.Accept()
		if err != nil {
			if s.stopping() {
				return nil
			}
			var temporary interface{ Temporary() bool }
			if errors.Is(err, net.ErrClosed) || !errors.As(err, &temporary) || !temporary.Temporary() {
				return err
			}
			// Out of descriptors or memory: the listener is sound and
			// others will free some.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.Warn("cannot accept an RPC connection", logkey.Error, err, "retry_in", pause)
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
			}
			continue
		}
		pause = 0
		s.serve(c)
	}
}

func (s *Server) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state != serving
}

// serve starts a connection, unless the server is stopping.
func (s *Server) serve(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serving {
		_ = nc.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.active.Go(func() {
		c.run()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	})
}

// Shutdown stops accepting connections and calls, lets the running calls finish
// and answer, and closes the connections. When ctx ends first, it closes the
// server and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if s.state.to(draining) {
		s.closeListeners()
		for c := range s.conns {
			c.drain()
		}
	}
	s.mu.Unlock()

	idle := make(chan struct{})
	go func() {
		defer close(idle)
		s.active.Wait()
	}()
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = s.Close()
	<-idle
	return err
}

// Close ends everything at once: listeners, connections, the contexts of
// running calls. It returns when the connections have ended; a method that
// ignores its context is waited for, so a method must not call Close or
// Shutdown itself. It is idempotent.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.state.to(closed) {
		s.closeListeners()
		s.cancel()
		for c := range s.conns {
			_ = c.Close()
		}
	}
	s.mu.Unlock()
	s.active.Wait()
	return nil
}

func (s *Server) closeListeners() {
	for _, l := range s.opts.Listeners {
		_ = l.Close()
	}
}
