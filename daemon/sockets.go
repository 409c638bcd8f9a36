package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/systemd"
)

// sockets finds the listening sockets of the frontends. A socket is looked up
//
//  1. by name among those that a .socket unit handed over,
//  2. among those that an earlier run of this instance left in systemd's
//     descriptor store,
//  3. and only then is the configured address bound, and the new socket put
//     into the store, so that the next restart finds it open.
type sockets struct {
	inherited *systemd.Inherited
	notify    *systemd.Notifier
	log       *slog.Logger
}

// stream returns the listeners called name. dsn is the configured address,
// "" when there is none: then only inherited sockets count, and none at all is
// no error.
func (s *sockets) stream(name, key, dsn string) ([]net.Listener, error) {
	listeners, err := s.inherited.Listeners(name)
	if err != nil {
		return nil, fmt.Errorf("cannot use the inherited socket %q: %w", name, err)
	}
	if len(listeners) > 0 {
		for _, l := range listeners {
			s.log.Info("socket inherited from systemd", logkey.Socket, name, "address", l.Addr().String())
		}
		if dsn != "" {
			s.log.Debug("configured address not bound, the inherited socket is used instead", logkey.Key, key, "address", dsn)
		}
		return listeners, nil
	}
	if dsn == "" {
		return nil, nil
	}
	stored := systemd.StoreName("listen", name, dsn)
	if listeners, err = s.inherited.Listeners(stored); err != nil {
		return nil, fmt.Errorf("cannot use the stored socket %q: %w", stored, err)
	}
	if len(listeners) > 0 {
		s.log.Info("socket kept open over the restart", logkey.Socket, name, "address", dsn)
		return listeners, nil
	}
	l, err := listen(key, dsn)
	if err != nil {
		return nil, err
	}
	s.store(stored, l)
	return []net.Listener{l}, nil
}

// store hands a copy of the socket to systemd; without systemd it does nothing.
func (s *sockets) store(name string, l net.Listener) {
	conn, ok := l.(syscall.Conn)
	if !ok {
		return
	}
	if err := s.notify.Store(name, conn); err != nil {
		s.log.Warn("socket cannot be kept over a restart", logkey.Socket, name, logkey.Error, err)
	}
}

// release closes what was handed over and nobody asked for, and takes stored
// sockets of addresses that are no longer configured out of the store.
func (s *sockets) release() error {
	stored := s.inherited.Stored()
	for _, name := range s.inherited.Names() {
		if slices.Contains(stored, name) {
			if err := s.notify.Remove(name); err != nil {
				s.log.Warn("cannot take a socket out of the descriptor store", logkey.Socket, name, logkey.Error, err)
			}
			s.log.Info("socket kept over the restart is no longer configured, closing it", logkey.Socket, name)
			continue
		}
		s.log.Warn("inherited socket is not used: no frontend of that name is configured (FileDescriptorName= of the socket unit)", logkey.Socket, name)
	}
	return s.inherited.Close()
}

// listen binds host:port, tcp://host:port or unix://path.
//
// RoadRunner sets SO_REUSEPORT, so that a second server on the same port takes
// half of the requests without a word; rrd does not, and says that the port is
// taken. An empty host means IPv4, as in RoadRunner.
func listen(key, dsn string) (net.Listener, error) {
	scheme, addr, ok := strings.Cut(dsn, "://")
	if !ok {
		scheme, addr = "tcp", dsn
	}
	network := "tcp"
	switch scheme {
	case "tcp":
		if host, _, err := net.SplitHostPort(addr); err != nil {
			return nil, fmt.Errorf("%s: cannot use the address %q: %v; write host:port, for example 127.0.0.1:8080", key, dsn, err)
		} else if host == "" {
			network = "tcp4"
		}
	case "unix":
		network = "unix"
		if err := removeStale(addr); err != nil {
			return nil, fmt.Errorf("%s: cannot use the address %q: %w", key, dsn, err)
		}
	default:
		return nil, fmt.Errorf("%s: cannot use the address %q: the scheme must be tcp:// or unix://", key, dsn)
	}
	lc := net.ListenConfig{}
	l, err := lc.Listen(context.Background(), network, addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: cannot listen on %s: the address is in use by another process; stop it (ss -ltnp shows it) or choose another %s", key, dsn, key)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: cannot listen on %s: permission denied; use a port above 1023 or a socket unit of systemd", key, dsn)
	case err != nil:
		return nil, fmt.Errorf("%s: cannot listen on %s: %w", key, dsn, err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		// The path stays when this process ends: a successor that got the
		// socket from the store still listens there.
		u.SetUnlinkOnClose(false)
		if err := os.Chmod(addr, 0o660); err != nil {
			l.Close()
			return nil, fmt.Errorf("%s: cannot set the mode of %s: %w", key, addr, err)
		}
	}
	return l, nil
}

// removeStale removes a socket file that nobody listens on any more. Upstream
// unlinks whatever lies there, and so cuts off a server that still runs.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is not a socket; remove it or choose another path", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
		return fmt.Errorf("another process listens on %s; stop it or choose another path", path)
	}
	return os.Remove(path)
}
