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
	"sync"
	"syscall"
	"time"

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

	mu    sync.Mutex
	bound []boundSocket
}

// boundSocket is a listening socket for `rrctl status`.
type boundSocket struct {
	name      string
	addr      net.Addr
	inherited bool
}

// open are the sockets found so far.
func (s *sockets) open() []boundSocket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bound
}

// stream returns the listeners called name. dsn is the configured address,
// "" when there is none: then only inherited sockets count, and none at all is
// no error.
func (s *sockets) stream(name, key, dsn string) ([]net.Listener, error) {
	listeners, inherited, err := s.find(name, key, dsn)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range listeners {
		s.bound = append(s.bound, boundSocket{name: name, addr: l.Addr(), inherited: inherited})
	}
	return listeners, err
}

// handedOver logs a socket of a socket unit.
func (s *sockets) handedOver(name, key, dsn string, addr net.Addr) {
	s.log.Info("socket inherited from systemd", logkey.Socket, name, "address", addr.String())
	if dsn != "" {
		s.log.Debug("configured address not bound, the inherited socket is used instead", logkey.Key, key, "address", dsn)
	}
}

// store lets systemd keep a socket over a restart.
func (s *sockets) store(name, stored string, conn syscall.Conn) {
	if err := s.notify.Store(stored, conn); err != nil {
		s.log.Warn("socket cannot be kept over a restart", logkey.Socket, name, logkey.Error, err)
	}
}

func (s *sockets) find(name, key, dsn string) (listeners []net.Listener, inherited bool, err error) {
	if listeners, err = s.inherited.Listeners(name); err != nil {
		return nil, false, err
	}
	if len(listeners) > 0 {
		for _, l := range listeners {
			s.handedOver(name, key, dsn, l.Addr())
		}
		return listeners, true, nil
	}
	if dsn == "" {
		return nil, false, nil
	}
	stored := storeName(name, dsn)
	if listeners, err = s.inherited.Listeners(stored); err != nil {
		return nil, false, err
	}
	if len(listeners) > 0 {
		s.log.Info("socket kept open over the restart", logkey.Socket, name, "address", dsn)
		return listeners, true, nil
	}
	l, err := listen(dsn)
	if err != nil {
		return nil, false, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		// With a store the path has to stay when this process ends: the
		// successor gets the socket and listens there.
		u.SetUnlinkOnClose(!s.notify.Enabled())
	}
	if conn, ok := l.(syscall.Conn); ok {
		s.store(name, stored, conn)
	}
	return []net.Listener{l}, false, nil
}

// storeName is the name of a socket in the descriptor store.
func storeName(name, dsn string) string {
	scheme, addr := splitDSN(dsn)
	return systemd.StoreName("listen", name, scheme+"://"+addr)
}

// forget closes the sockets in the descriptor store that are not wanted any
// more. It comes before anything is bound: an old socket may hold an address
// that a new one needs, such as :8080 and 127.0.0.1:8080.
func (s *sockets) forget(ctx context.Context, wanted []string) error {
	removed := false
	var errs []error
	for _, name := range s.inherited.Stored() {
		if slices.Contains(wanted, name) || isState(name) {
			continue
		}
		s.log.Info("socket kept over the restart is no longer configured, closing it", logkey.Socket, name)
		for _, f := range s.inherited.Files(name) {
			errs = append(errs, f.Close())
		}
		errs = append(errs, s.notify.Remove(name))
		removed = true
	}
	if removed {
		// systemd holds its copy open until it has read the message.
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		errs = append(errs, s.notify.Barrier(ctx))
	}
	return errors.Join(errs...)
}

// close closes what was handed over and nobody asked for.
func (s *sockets) close() error {
	for _, name := range s.inherited.Names() {
		s.log.Warn("inherited socket is not used: no frontend of that name is configured (FileDescriptorName= of the socket unit)", logkey.Socket, name)
	}
	return s.inherited.Close()
}

func splitDSN(dsn string) (scheme, addr string) {
	scheme, addr, ok := strings.Cut(dsn, "://")
	if !ok {
		return "tcp", dsn
	}
	return scheme, addr
}

// listen binds host:port, tcp://host:port or unix://path. Errors do not name
// the key: the caller knows it.
//
// RoadRunner sets SO_REUSEPORT, so that a second server on the same port takes
// half of the requests without a word; rrd does not, and says that the port is
// taken. An empty host means IPv4, as in RoadRunner.
func listen(dsn string) (net.Listener, error) {
	network, addr := splitDSN(dsn)
	switch network {
	case "tcp":
		if host, _, err := net.SplitHostPort(addr); err != nil {
			return nil, fmt.Errorf("cannot use the address %q: %v; write host:port, for example 127.0.0.1:8080", dsn, err)
		} else if host == "" {
			network = "tcp4"
		}
	case "unix":
		if err := removeStale(addr); err != nil {
			return nil, fmt.Errorf("cannot use the address %q: %w", dsn, err)
		}
	default:
		return nil, fmt.Errorf("cannot use the address %q: the scheme must be tcp:// or unix://", dsn)
	}
	l, err := net.Listen(network, addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("cannot listen on %s: the address is in use by another process (ss -ltnp shows it); stop that or choose another address", dsn)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("cannot listen on %s: permission denied; use a port above 1023, a folder that may be written, or a socket unit of systemd", dsn)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s: %w", dsn, err)
	}
	if network == "unix" {
		if err := os.Chmod(addr, 0o660); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot set the mode of %s: %w", addr, err), l.Close())
		}
	}
	return l, nil
}

// removeStale removes a socket file that nobody listens on any more. RoadRunner
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
	switch {
	case err == nil:
		c.Close()
		return fmt.Errorf("another process listens on %s; stop it or choose another path", path)
	case errors.Is(err, fs.ErrNotExist):
		return nil // its owner removed it meanwhile
	case !errors.Is(err, syscall.ECONNREFUSED):
		// A full backlog (EAGAIN) is that of a server, and without permission
		// (EACCES) nobody can tell.
		return fmt.Errorf("another process may be listening on %s: %w; stop it, remove the file or choose another path", path, err)
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}
