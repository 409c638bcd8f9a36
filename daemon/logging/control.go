package logging

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// Options for New.
type Options struct {
	Config Config

	// Journal: standard error is the journal's stream. Then everything without
	// an output of its own in Config goes to the journal natively.
	Journal       bool
	JournalSocket string // empty: /run/systemd/journal/socket
	Instance      string // RR_INSTANCE in the journal

	// Color allows colours on the console, see WantsColor.
	Color bool

	Stdout, Stderr io.Writer // nil: those of the process
}

// Control holds the outputs of the loggers that New made.
type Control struct {
	options Options
	routes  atomic.Pointer[routes]
	reload  sync.Mutex // one Reload or Close at a time
}

// New opens the outputs of a valid Config (Defaults are applied to a copy).
// After Close the logger drops what it is given.
func New(o Options) (*slog.Logger, *Control, error) {
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	c := &Control{options: o}
	c.options.Stdout, c.options.Stderr = &console{w: o.Stdout}, &console{w: o.Stderr}
	routes, err := c.open(o.Config)
	if err != nil {
		return nil, nil, err
	}
	c.routes.Store(routes)
	return slog.New(&handler{control: c}), c, nil
}

// Reload changes the loggers in use to a new section `logs`; levels, outputs,
// everything. Files are opened anew, so it also follows logrotate. On an error
// the old outputs stay.
func (c *Control) Reload(config Config) error {
	c.reload.Lock()
	defer c.reload.Unlock()
	if c.routes.Load().closed {
		return errors.New("cannot reload the logs: they are closed")
	}
	fresh, err := c.open(config)
	if err != nil {
		return err
	}
	c.options.Config = config
	return c.routes.Swap(fresh).close()
}

// Close closes files and the journal socket, waiting for compression of
// rotated files. It may be called again.
func (c *Control) Close() error {
	c.reload.Lock()
	defer c.reload.Unlock()
	return c.routes.Swap(&routes{root: discard, lowest: levelOff, closed: true}).close()
}

// write finds the route of an entry. A sink that a Reload closed in between
// means that there are new routes, so nothing is lost.
func (c *Control) write(e *entry) error {
	for {
		routes := c.routes.Load()
		route := routes.find(e.name)
		if e.level < route.level {
			return nil
		}
		err := route.write(e)
		if !errors.Is(err, errClosed) || c.routes.Load() == routes {
			return err
		}
	}
}

// ToJournal reports whether records of a channel go to the journal.
func (c *Control) ToJournal(channel string) bool {
	return c.routes.Load().find(channel).journal
}

// WantsColor reports whether standard output is a terminal that takes colours:
// RoadRunner decides by standard output even for lines on standard error.
func WantsColor() bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(os.Stdout.Fd()))
}

// route is where the records of a channel go.
type route struct {
	level   slog.Level
	journal bool
	write   func(*entry) error
}

var discard = &route{level: levelOff, write: func(*entry) error { return nil }}

// routes are all channels of one configuration and what they hold open.
type routes struct {
	root     *route
	channels map[string]*route
	lowest   slog.Level
	closed   bool
	closers  []io.Closer
}

// find knows that service.cron is part of service.
func (r *routes) find(channel string) *route {
	if len(r.channels) == 0 {
		return r.root
	}
	for {
		if own, ok := r.channels[channel]; ok {
			return own
		}
		dot := strings.LastIndexByte(channel, '.')
		if dot < 0 {
			return r.root
		}
		channel = channel[:dot]
	}
}

func (r *routes) close() error {
	var errs []error
	for _, closer := range r.closers {
		errs = append(errs, closer.Close())
	}
	return errors.Join(errs...)
}

// open builds routes; on an error nothing stays open.
func (c *Control) open(config Config) (*routes, error) {
	channels := make(map[string]*Channel, len(config.Channels))
	for name, channel := range config.Channels {
		if channel != nil {
			own := *channel
			channels[name] = &own
		}
	}
	config.Channels = channels
	config.Defaults()
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("cannot set up logging: %w", err)
	}
	o := &opener{options: c.options, sinks: map[string]sink{}, out: &routes{channels: map[string]*route{}}}
	if err := o.all(&config); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot set up logging: %w", err), o.out.close())
	}
	return o.out, nil
}

// reportError writes a failure of the logger itself; zap's form.
func reportError(to []sink, err error) {
	line := fmt.Appendf(nil, "%s write error: %v\n", time.Now().UTC().Format(isoTime), err)
	for _, s := range to {
		s.write(line) // there is nowhere left to report a failure of this
	}
}
