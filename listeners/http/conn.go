package http

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc/socket"
)

// conn is an accepted connection that a draining server can close without
// losing a request.
//
// To close an idle connection from outside is a gamble: its next request may be
// in the socket already. So the reader decides. release makes its Read return,
// and Read asks the kernel once more: what has arrived is served, and only a
// connection without a single byte of a next request is closed.
type conn struct {
	net.Conn
	raw *socket.Socket // nil: no plain socket
	set *connSet

	state    atomic.Int32 // http.ConnState
	changes  atomic.Uint32
	begun    atomic.Bool // bytes of a next request were read
	http2    atomic.Bool // such a connection is ended by GOAWAY
	released atomic.Bool
	writes   atomic.Uint32
	records  *tlsRecords // nil without TLS

	mu       sync.Mutex // orders the two that set the deadline
	deadline time.Time  // the one that net/http wants
}

var http2Preface = []byte("PRI * HTTP/2.0")

func (c *conn) Read(p []byte) (int, error) {
	for {
		n, err := c.receive(p)
		if n == 0 && c.released.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
			switch n = c.readNow(p); {
			case n > 0:
				err = nil
			case !c.begun.Load(), c.http2.Load() && http.ConnState(c.state.Load()) == http.StateIdle:
				return 0, io.EOF // net/http closes without an answer
			case c.restoreDeadline():
				continue // in the middle of a request: go on waiting
			default:
				return 0, err // it was net/http's own deadline
			}
		}
		c.records.feed(p[:max(n, 0)])
		if n > 0 && !c.begun.Load() {
			if c.changes.Load() <= 1 && bytes.HasPrefix(p[:n], http2Preface) {
				c.http2.Store(true)
			}
			c.begun.Store(true)
		}
		return n, err
	}
}

// shaken says that the handshake of TLS is over. What was read of the first
// request already is in the hands of the TLS layer, unless a record is cut off.
func (c *conn) shaken(http2 bool) {
	c.http2.Store(http2)
	c.begun.Store(!c.records.whole())
}

// receive is a plain read.
func (c *conn) receive(p []byte) (int, error) {
	if c.raw != nil {
		return c.raw.Read(p)
	}
	return c.Conn.Read(p)
}

// readNow reads what the kernel has, deadline or not.
func (c *conn) readNow(p []byte) (n int) {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok || len(p) == 0 {
		return 0
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		n, _, _ = unix.Recvfrom(int(fd), p, unix.MSG_DONTWAIT)
	})
	return max(n, 0)
}

// release makes a waiting Read return.
func (c *conn) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.released.Store(true)
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
}

// restoreDeadline puts net/http's deadline back, false if that has passed.
func (c *conn) restoreDeadline() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		return false
	}
	return c.Conn.SetReadDeadline(c.deadline) == nil
}

// SetReadDeadline implements net.Conn. Between requests of a released
// connection the deadline stays in the past.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.released.Load() && !c.begun.Load() {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	if c.raw != nil {
		return c.raw.Write(p)
	}
	return c.Conn.Write(p)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.set.remove(c)
	return c.Conn.Close()
}

// CloseWrite lets net/http end a connection so that its last answer arrives
// although the client is still sending.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// ReadFrom keeps sendfile(2) available.
func (c *conn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// connSet holds the open connections.
type connSet struct {
	mu    sync.Mutex
	conns map[*conn]struct{}
}

func (s *connSet) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = make(map[*conn]struct{})
	}
	s.conns[c] = struct{}{}
}

func (s *connSet) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *connSet) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// all calls f with every connection.
func (s *connSet) all(f func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		f(c)
	}
}

// connState follows net/http: idle means that the next request has not begun.
func (s *Server) connState(nc net.Conn, state http.ConnState) {
	c := connOf(nc)
	if c == nil {
		return
	}
	if state == http.StateIdle {
		c.begun.Store(!c.records.whole())
	}
	c.state.Store(int32(state))
	c.changes.Add(1)
}

// listener hands out connections that are known to the set before net/http
// sees them, and can be told to accept no more.
type listener struct {
	net.Listener
	set      *connSet
	stopping atomic.Bool
}

func newListener(l net.Listener, set *connSet) *listener { return &listener{Listener: l, set: set} }

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		if l.stopping.Load() {
			return nil, net.ErrClosed
		}
		return nil, err
	}
	c := &conn{Conn: nc, raw: socket.New(nc), set: l.set}
	l.set.add(c)
	return c, nil
}

// lastAccept is how long a stopping listener still accepts: long enough for
// the connections that wait in the kernel, which would be reset if nobody else
// holds the socket.
const lastAccept = 2 * time.Millisecond

// stop makes Accept return net.ErrClosed without closing the socket under it:
// a connection accepted in this moment is still handed out. The socket may be
// shared with the service manager and go on collecting connections for a
// successor.
func (l *listener) stop() {
	l.stopping.Store(true)
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		_ = d.SetDeadline(time.Now().Add(lastAccept))
		return
	}
	_ = l.Listener.Close()
}
