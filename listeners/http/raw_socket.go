package http

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// rawLimit is the longest buffer of a raw system call, in bytes.
const rawLimit = 32 << 10

// rawSocket reads and writes a socket without announcing each system call to the
// scheduler. The calls do not block, but a write to a local peer is often the moment
// in which the kernel runs that peer instead of us. The runtime takes such a thread
// for one that hangs: its monitor, which looks every 20 µs then, gives the
// processor to another thread, and both are woken in vain. For the short messages
// of HTTP that was a quarter of the daemon's CPU time. Long buffers go the usual
// way, because copying them takes a while.
type rawSocket struct {
	raw     syscall.RawConn
	in, out rawCall
}

// newRawSocket returns nil for what is no plain socket.
func newRawSocket(c net.Conn) *rawSocket {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return nil
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	s := &rawSocket{raw: raw, in: rawCall{trap: unix.SYS_READ, op: "read"}, out: rawCall{trap: unix.SYS_WRITE, op: "write"}}
	s.in.try, s.out.try = s.in.call, s.out.call
	return s
}

// Read implements io.Reader.
func (s *rawSocket) Read(p []byte) (int, error) {
	n, err := s.in.do(s.raw.Read, p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write implements io.Writer.
func (s *rawSocket) Write(p []byte) (done int, err error) {
	for done < len(p) && err == nil {
		var n int
		n, err = s.out.do(s.raw.Write, p[done:])
		done += n
	}
	return done, err
}

// rawCall is one of the two calls, with its arguments: closures that are made once
// let it allocate nothing.
type rawCall struct {
	trap uintptr
	op   string
	try  func(fd uintptr) bool

	mu    sync.Mutex
	p     []byte
	n     int
	errno syscall.Errno
}

// do makes the call whenever wait, of syscall.RawConn, says so.
func (c *rawCall) do(wait func(func(fd uintptr) bool) error, p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p, c.n, c.errno = p, 0, 0
	err := wait(c.try)
	c.p = nil
	if e, ok := err.(*net.OpError); ok {
		e.Op = c.op // net/http looks at it
	}
	if err == nil && c.errno != 0 {
		err = &net.OpError{Op: c.op, Err: os.NewSyscallError(c.op, c.errno)}
	}
	return c.n, err
}

// call returns false if the socket is not ready.
func (c *rawCall) call(fd uintptr) bool {
	for {
		n, errno := rawIO(c.trap, fd, c.p)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case 0:
			c.n = n
		}
		c.errno = errno
		return true
	}
}
