// Package fileserver serves files of folders on an address of its own, without
// PHP: RoadRunner's plugin of that name, which is fiber there.
package fileserver

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rr-systemd/rrd/listeners/files"
)

// What a client may take for its request. RoadRunner has the same 10 seconds
// for a whole answer too, which cuts large files; here a pause is bounded.
const (
	readTime = 10 * time.Second
	idleTime = 2 * time.Minute
)

// Options of New.
type Options struct {
	Config    Config
	Listeners []net.Listener // not empty; the server closes them
	Log       *slog.Logger   // nil: slog's default
}

// Server serves the files.
//
//	New ── Run ──► serving ── Shutdown ──► draining ──► stopped
//	  └──────────────┴────────── Close ───────┴───────────┘
type Server struct {
	http      http.Server
	listeners []net.Listener
	folders   []*folder
	requests  atomic.Uint64

	stopOnce sync.Once
	stopped  chan struct{} // closed when Shutdown or Close is over
}

// New checks the folders and takes over the listeners; nothing is accepted
// before Run.
func New(o Options) (*Server, error) {
	o.Config.Defaults()
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if len(o.Listeners) == 0 {
		return nil, errors.New("fileserver.address: nothing to listen on: write host:port or unix://path")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Server{listeners: o.Listeners, stopped: make(chan struct{})}
	var tags *files.Tags
	if o.Config.CalculateETag {
		tags = files.NewTags(files.FiberPolynomial)
	}
	for i, c := range o.Config.Serve {
		f := newFolder(c, tags, o.Config.Weak, o.Log)
		if err := f.root.Check(); err != nil {
			return nil, fmt.Errorf("fileserver.serve[%d].root: %w", i, err)
		}
		s.folders = append(s.folders, f)
	}
	s.http = http.Server{
		Handler:           s,
		ReadHeaderTimeout: readTime,
		ReadTimeout:       readTime,
		IdleTimeout:       idleTime,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Requests counts those since the start.
func (s *Server) Requests() uint64 { return s.requests.Load() }

// ServeHTTP implements http.Handler. Texts are RoadRunner's.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		answer(w, http.StatusMethodNotAllowed, "Method Not Allowed")
		return
	}
	p := path.Clean("/" + r.URL.Path)
	slash := p != "/" && strings.HasSuffix(r.URL.Path, "/")
	for _, f := range s.folders {
		if f.serve(w, r, p, slash || p == "/") {
			return
		}
	}
	answer(w, http.StatusNotFound, "Cannot "+r.Method+" "+html.EscapeString(r.URL.EscapedPath()))
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // a client that is gone needs no answer
}

// Run serves until Shutdown or Close is over. When ctx ends it closes the
// server at once.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	var group errgroup.Group
	for _, l := range s.listeners {
		group.Go(func() error {
			err := s.http.Serve(l)
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			_ = s.Close()
			return fmt.Errorf("cannot serve on %s: %w", l.Addr(), err)
		})
	}
	err := group.Wait()
	<-s.stopped
	return err
}

// Shutdown stops accepting and finishes what is under way. When ctx ends first,
// its error is returned and the rest stays open; call Close.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	s.closeListeners()
	if err == nil {
		s.stopOnce.Do(func() { close(s.stopped) })
	}
	return err
}

// Close stops at once. It is idempotent.
func (s *Server) Close() error {
	_ = s.http.Close() // it reports listeners that are closed already
	s.closeListeners()
	s.stopOnce.Do(func() { close(s.stopped) })
	return nil
}

// closeListeners closes those that Serve has not got yet.
func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		_ = l.Close()
	}
}
