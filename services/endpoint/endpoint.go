// Package endpoint serves the small HTTP pages beside the application: metrics
// and status.
package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// lastAnswers is how long answers that are under way may take when the daemon
// ends. Everything of the application has ended before, so nothing waits for
// more.
const lastAnswers = 2 * time.Second

// Options of a server.
type Options struct {
	Listeners []net.Listener // not empty; the server closes them
	Handler   http.Handler
	Log       *slog.Logger
	// Timeout bounds how long a client may take to send its request, and to read
	// the answer. 0 means a minute.
	Timeout time.Duration
}

// Server serves the pages.
type Server struct {
	http      *http.Server
	listeners []net.Listener
}

// New makes a server; nothing is accepted yet.
func New(o Options) *Server {
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	return &Server{
		listeners: o.Listeners,
		http: &http.Server{
			Handler:           o.Handler,
			ReadHeaderTimeout: min(o.Timeout, 10*time.Second),
			ReadTimeout:       o.Timeout,
			WriteTimeout:      o.Timeout,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
		},
	}
}

// Run answers until ctx ends; then it finishes what is under way.
func (s *Server) Run(ctx context.Context) error {
	var serving errgroup.Group
	for _, l := range s.listeners {
		serving.Go(func() error {
			err := s.http.Serve(l)
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			_ = s.http.Close() // the other listeners end too
			return fmt.Errorf("cannot accept connections on %s: %w", l.Addr(), err)
		})
	}
	failed := make(chan error, 1)
	go func() { failed <- serving.Wait() }() // ends with the listeners
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
	defer cancel()
	if s.http.Shutdown(last) != nil {
		_ = s.http.Close()
	}
	return <-failed
}

// Close closes the listeners of a server that was not run, and cuts the answers
// of one that was.
func (s *Server) Close() error {
	errs := []error{s.http.Close()}
	for _, l := range s.listeners {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
