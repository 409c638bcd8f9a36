package ipc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pipeSize is asked for both pipes, in bytes. It is the kernel's default limit
// for unprivileged processes (fs.pipe-max-size); a body of that size reaches
// the worker without the daemon waiting for it.
const pipeSize = 1 << 20

// transport moves bytes over the two descriptors of a channel, without
// allocation: os.File.Write takes one slice, and net.Buffers allocates, so the
// system calls are made here, with closures that exist once per transport. The
// runtime's poller does the waiting.
type transport struct {
	r, w       *os.File // the same file for a socket
	rc, wc     syscall.RawConn
	deadline   time.Time
	closed     atomic.Bool
	gone       atomic.Bool // the worker has ended
	readFn     func(fd uintptr) bool
	writeFn    func(fd uintptr) bool
	unreadFn   func(fd uintptr)
	dst        []byte // argument of readFn
	n          int    // result of readFn, unreadFn
	err        error  // result of readFn, writeFn
	beforeRead func() // sets dst, before every attempt to read
	beforeWait func() // before the reader waits for the worker
	iov        [3]unix.Iovec
	vec        []unix.Iovec // part of iov that is still to be written
	wrote      bool         // a part of iov has been written
	torn       error        // why a write ended in the middle of a frame
}

// init takes both files; it closes them if it fails.
func (t *transport) init(r, w *os.File) (err error) {
	t.r, t.w = r, w
	defer func() {
		if err != nil {
			_ = t.close()
			err = fmt.Errorf("cannot open a worker channel: %w", err)
		}
	}()
	if t.r, err = pollable(r); err != nil {
		return err
	}
	if w == r {
		t.w = t.r
	} else if t.w, err = pollable(w); err != nil {
		return err
	}
	if t.rc, err = t.r.SyscallConn(); err != nil {
		return err
	}
	if t.wc, err = t.w.SyscallConn(); err != nil {
		return err
	}
	t.readFn, t.writeFn, t.unreadFn = t.tryRead, t.tryWrite, t.tryUnread
	if w != r {
		// Best effort: beyond the user's pipe quota the kernel refuses, and
		// the smaller pipe works too.
		grow := func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) }
		_ = t.rc.Control(grow)
		_ = t.wc.Control(grow)
	}
	return nil
}

// readFrom makes r the file to read from. The one before stays the caller's.
func (t *transport) readFrom(r *os.File) (err error) {
	t.r = r
	t.rc, err = r.SyscallConn()
	return err
}

// pollable returns f, or a duplicate of it if f is in blocking mode and
// therefore not known to the runtime's poller; f is closed then. With an error
// it returns f as it was.
func pollable(f *os.File) (*os.File, error) {
	err := f.SetDeadline(time.Time{})
	if !errors.Is(err, os.ErrNoDeadline) {
		return f, err
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return f, os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return f, os.NewSyscallError("fcntl", err)
	}
	dup := os.NewFile(uintptr(fd), f.Name())
	if err := dup.SetDeadline(time.Time{}); err != nil {
		_ = dup.Close()
		return f, err // a regular file, for example
	}
	_ = f.Close()
	return dup, nil
}

func (t *transport) tryRead(fd uintptr) bool {
	t.beforeRead()
	for {
		n, errno := readFD(fd, t.dst)
		t.n, t.err = n, nil
		switch errno {
		case 0:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			t.beforeWait()
			return false
		default:
			t.err = errno
		}
		return true
	}
}

// read reads at least one byte into the slice that beforeRead has put into
// t.dst. A worker that has closed its end gives io.EOF.
func (t *transport) read() (int, error) {
	err := t.rc.Read(t.readFn)
	n := t.n
	if err == nil {
		err = t.err
	}
	t.dst = nil
	switch {
	case err == nil && n > 0:
		return n, nil
	case err == nil, errors.Is(err, unix.ECONNRESET):
		return 0, io.EOF
	case t.gone.Load() && errors.Is(err, os.ErrDeadlineExceeded):
		return t.readLast()
	}
	return 0, t.ioError("receive from", err)
}

// readLast is read without a wait: what a worker that has ended has left, or one that
// is not waited for any longer has sent.
func (t *transport) readLast() (int, error) {
	err := t.rc.Control(func(fd uintptr) { t.tryRead(fd) })
	n := t.n
	t.dst = nil
	switch {
	case err != nil:
		return 0, t.ioError("receive from", err)
	case t.err != nil || n <= 0:
		return 0, io.EOF
	}
	return n, nil
}

// workerEnded makes reads return at once, with what is there or io.EOF, and writes with
// ErrWorkerGone.
func (t *transport) workerEnded() {
	t.gone.Store(true)
	t.interruptIfGone()
}

// interruptIfGone is called after a deadline was set: that of workerEnded stays.
func (t *transport) interruptIfGone() {
	if t.gone.Load() {
		_ = t.r.SetReadDeadline(time.Unix(1, 0))
		_ = t.w.SetWriteDeadline(time.Unix(1, 0))
	}
}

func (t *transport) tryWrite(fd uintptr) bool {
	for len(t.vec) > 0 {
		n, errno := writeFD(fd, t.vec)
		switch errno {
		case 0:
			t.advance(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			t.err = errno
			return true
		}
	}
	return true
}

// advance drops the first n bytes of t.vec.
func (t *transport) advance(n int) {
	t.wrote = true
	for n > 0 {
		v := &t.vec[0]
		length := int(v.Len)
		if n < length {
			v.Base = (*byte)(unsafe.Add(unsafe.Pointer(v.Base), n))
			v.SetLen(length - n)
			return
		}
		n -= length
		t.vec = t.vec[1:]
	}
}

// write sends the three parts as one unit, in one system call if the pipe has
// room for all: PHP's pipe relay reads the header with a single fread and
// fails when it gets less than the whole.
func (t *transport) write(a, b, c []byte) error {
	if t.torn != nil {
		return t.torn
	}
	n := 0
	for _, p := range [...][]byte{a, b, c} {
		if len(p) > 0 {
			t.iov[n].Base = unsafe.SliceData(p)
			t.iov[n].SetLen(len(p))
			n++
		}
	}
	t.vec, t.wrote, t.err = t.iov[:n], false, nil
	err := t.wc.Write(t.writeFn)
	if err == nil {
		err = t.err
	}
	t.vec, t.iov = nil, [3]unix.Iovec{} // do not keep the payload alive
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		// The signal SIGPIPE that comes with EPIPE is ignored by the Go
		// runtime for descriptors other than 1 and 2.
		err = fmt.Errorf("cannot send to the worker: %w (%w)", ErrWorkerGone, err)
	} else if t.gone.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("cannot send to the worker: %w", ErrWorkerGone)
	} else {
		err = t.ioError("send to", err)
	}
	if t.wrote {
		t.torn = err
	}
	return err
}

func (t *transport) tryUnread(fd uintptr) {
	t.n = UnreadFD(fd)
}

// unread is the number of bytes that the kernel holds for us.
func (t *transport) unread() int {
	t.n = 0
	if t.rc.Control(t.unreadFn) != nil {
		return 0
	}
	return t.n
}

// ioError names what failed. The poller's own "use of closed file" is not
// os.ErrClosed, and SyscallConn does not translate it.
func (t *transport) ioError(verb string, err error) error {
	if t.closed.Load() {
		err = os.ErrClosed
	}
	return fmt.Errorf("cannot %s the worker: %w", verb, err)
}

func (t *transport) setDeadline(at time.Time) error {
	if at.IsZero() && t.deadline.IsZero() {
		return nil
	}
	return t.forceDeadline(at)
}

func (t *transport) setReadDeadline(at time.Time) error {
	t.deadline = at
	if err := t.r.SetReadDeadline(at); err != nil {
		return t.ioError("set a deadline for", err)
	}
	t.interruptIfGone()
	return nil
}

// clearDeadline removes the deadline, also one that interrupt has set.
func (t *transport) clearDeadline() error { return t.forceDeadline(time.Time{}) }

func (t *transport) forceDeadline(at time.Time) error {
	t.deadline = at
	if err := t.r.SetDeadline(at); err != nil {
		return t.ioError("set a deadline for", err)
	}
	if t.w != t.r {
		if err := t.w.SetDeadline(at); err != nil {
			return t.ioError("set a deadline for", err)
		}
	}
	t.interruptIfGone()
	return nil
}

func (t *transport) close() error {
	if t.closed.Swap(true) {
		return nil
	}
	err := t.r.Close()
	if t.w != t.r {
		err = errors.Join(err, t.w.Close())
	}
	return err
}
