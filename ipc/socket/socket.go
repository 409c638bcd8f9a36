// Package socket reads and writes sockets without announcing each system call to
// the scheduler.
//
// The calls do not block, but a write to a local peer is often the moment in which
// the kernel runs that peer instead of us. The runtime takes such a thread for one
// that hangs: its monitor, which looks every 20 µs then, gives the processor to
// another thread, and both are woken in vain. For the short messages of HTTP that
// was a quarter of the daemon's CPU time.
package socket

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// limit is the longest buffer of a raw system call, in bytes. Longer ones go the
// usual way, because copying them takes a while.
const limit = 32 << 10

// Socket is one connection. It is safe for concurrent use, as a net.Conn is, and
// obeys the deadlines and the end of that.
type Socket struct {
	conn    net.Conn
	raw     syscall.RawConn
	in, out call
}

// New returns nil for what is no plain socket.
func New(c net.Conn) *Socket {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return nil
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	s := &Socket{conn: c, raw: raw, in: call{trap: unix.SYS_READ, op: "read"}, out: call{trap: unix.SYS_WRITE, op: "write"}}
	s.in.try, s.out.try = s.in.once, s.out.once
	return s
}

// Read implements io.Reader.
func (s *Socket) Read(p []byte) (int, error) {
	if len(p) == 0 || len(p) > limit {
		return s.conn.Read(p)
	}
	n, err := s.in.do(s.raw.Read, p, true)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write implements io.Writer.
func (s *Socket) Write(p []byte) (done int, err error) {
	if len(p) > limit {
		return s.conn.Write(p)
	}
	for done < len(p) && err == nil {
		var n int
		n, err = s.out.do(s.raw.Write, p[done:], true)
		done += n
	}
	return done, err
}

// TryWrite writes what the kernel takes at once, which may be nothing, in one
// system call. It does not wait for the peer, but for a Write at the same time.
func (s *Socket) TryWrite(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return s.out.do(s.raw.Write, p[:min(len(p), limit)], false)
}

// Control calls f with the descriptor, which is valid meanwhile.
func (s *Socket) Control(f func(fd uintptr)) error { return s.raw.Control(f) }

// call is one of the system calls, with its arguments: closures that are made once
// let it allocate nothing.
type call struct {
	trap uintptr
	op   string
	try  func(fd uintptr) bool

	mu    sync.Mutex
	waits bool // until the socket is ready
	p     []byte
	n     int
	errno syscall.Errno
}

// do makes the call whenever ready, of syscall.RawConn, says so.
func (c *call) do(ready func(func(fd uintptr) bool) error, p []byte, waits bool) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits, c.p, c.n, c.errno = waits, p, 0, 0
	err := ready(c.try)
	c.p = nil
	if e, ok := err.(*net.OpError); ok {
		e.Op = c.op // net/http looks at it
	}
	if err == nil && c.errno != 0 {
		err = &net.OpError{Op: c.op, Err: os.NewSyscallError(c.op, c.errno)}
	}
	return c.n, err
}

// once returns false if the call has to wait for the socket to be ready.
func (c *call) once(fd uintptr) bool {
	for {
		n, errno := rawIO(c.trap, fd, c.p)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return !c.waits
		case 0:
			c.n = n
		}
		c.errno = errno
		return true
	}
}
