// Package fastcgi serves an http.Handler behind a web server that speaks
// FastCGI (specification 1.0, role responder).
//
// net/http/fcgi was the alternative. It ends the process when a handler panics,
// cannot drain (Serve leaves its connections to themselves), has no time limits,
// and bounds neither parameters nor what it reads after an answer.
package fastcgi

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server serves FastCGI connections. Its fields are those of http.Server with
// the same names; set them before Serve.
type Server struct {
	Handler http.Handler
	// ReadHeaderTimeout bounds the time to the end of the parameters, from the
	// accept or the begin of the request; 0 means no limit.
	ReadHeaderTimeout time.Duration
	// IdleTimeout bounds the wait for the next request; 0 means no limit.
	IdleTimeout time.Duration
	// MaxParamBytes bounds a request's parameters; 0 means 1 MiB. What is larger
	// is answered with 431.
	MaxParamBytes int
	// ConnState is told when a connection is new, active, idle and closed.
	ConnState func(net.Conn, http.ConnState)
	Log       *slog.Logger // nil: slog's default

	mu     sync.Mutex
	conns  map[*conn]struct{}
	closed bool
}

const defaultMaxParams = 1 << 20

// Serve accepts until the listener fails, whose error it returns, or until
// Close, when it returns http.ErrServerClosed. Connections go on after it.
func (s *Server) Serve(l net.Listener) error {
	var pause time.Duration
	for {
		nc, err := l.Accept()
		if err != nil {
			if s.isClosed() {
				return http.ErrServerClosed
			}
			// Out of descriptors, as a rule: net/http tries again too.
			if !temporary(err) {
				return err
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log().Error("cannot accept, trying again", "error", err, "pause", pause)
			time.Sleep(pause)
			continue
		}
		pause = 0
		c := &conn{srv: s, nc: nc}
		if !s.add(c) {
			_ = nc.Close()
			return http.ErrServerClosed
		}
		s.setState(c, http.StateNew)
		go c.serve() // ends when its connection is closed, at the latest in Close
	}
}

func temporary(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && t.Temporary()
}

// Close closes all connections; requests that run lose their web server. It does
// not close listeners, nor wait for handlers.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	var list []*conn
	for c := range s.conns {
		list = append(list, c)
	}
	s.mu.Unlock()
	for _, c := range list {
		_ = c.nc.Close()
	}
	return nil
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[*conn]struct{})
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *Server) setState(c *conn, state http.ConnState) {
	if s.ConnState != nil {
		s.ConnState(c.nc, state)
	}
}

func (s *Server) log() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}

func (s *Server) maxParams() int {
	if s.MaxParamBytes > 0 {
		return s.MaxParamBytes
	}
	return defaultMaxParams
}

// handle runs the handler. It returns false when the answer was aborted and
// must not look complete.
func (s *Server) handle(w *response, r *http.Request) (whole bool) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			s.log().Error("panic in a handler", "error", fmt.Sprint(p))
		}
	}()
	s.Handler.ServeHTTP(w, r)
	return true
}

// deadline is d from now, none for 0.
func deadline(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}
