package ipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

const (
	// printedSize bounds what a worker may print before its handshake and the pipe
	// then still holds, in bytes.
	printedSize = 1 << 20
	// printedPatience is how long a worker may take to answer after it has printed
	// something that is no frame: it may do so on its control pipe.
	printedPatience = 10 * time.Second
	// plainPipe is the kernel's usual size of a pipe.
	plainPipe = 64 << 10
)

// doors are the two pipes on which a worker may answer the pid request. It stays
// with the one that it chooses.
//
//	both open ── bytes on ctl ──────────────────────────► ctl; stdout is output
//	both open ── a frame on stdout ─────────────────────► stdout; ctl is closed
//	both open ── text on stdout, then no answer on ctl,
//	             or a pid answer behind the text ───────► stdout, with its error
//	both open ── end of file on stdout ─────────────────► stdout, with its error
//	both open ── end of file on ctl ────────────────────► stdout
type doors struct {
	mu     sync.Mutex // Close may run beside Handshake
	stdout *os.File
	ctl    *os.File
	wait   *os.File // epoll over both
	text   []byte   // what was printed before the answer came on ctl
}

// Pipes are the descriptors of a worker that has more than its standard ones.
type Pipes struct {
	Stdout  *os.File // what the worker writes to stdout
	Stdin   *os.File // what it reads from stdin
	Control *os.File // what it writes to ControlFD
	Segment *Segment // nil: none
}

// NewWorkerChannel makes a channel to a worker that was told of its further
// descriptors (Announcement). Handshake finds out whether it uses them. The channel
// owns them all, also when an error is returned.
func NewWorkerChannel(p Pipes) (*Channel, error) {
	c, err := newChannel(p.Stdout, p.Stdin)
	if err != nil {
		_ = p.Control.Close()
		p.Segment.Close()
		return nil, err
	}
	c.doors, c.shared = &doors{stdout: c.t.r, ctl: p.Control}, p.Segment
	if err := c.doors.init(); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("cannot open a worker channel: %w", err)
	}
	return c, nil
}

// Tags of the two in an epoll event.
const (
	doorControl = iota
	doorStdout
)

func (d *doors) init() (err error) {
	if d.ctl, err = pollable(d.ctl); err != nil {
		return err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err = unix.SetNonblock(ep, true); err != nil { // os.NewFile gives it to the poller then
		_ = unix.Close(ep)
		return os.NewSyscallError("fcntl", err)
	}
	d.wait = os.NewFile(uintptr(ep), "doors")
	if err = d.watch(unix.EPOLL_CTL_ADD, doorControl); err != nil {
		return err
	}
	return d.watch(unix.EPOLL_CTL_ADD, doorStdout)
}

// watch adds one of the two to what next waits for, or removes it.
func (d *doors) watch(op, door int) error {
	f := d.ctl
	if door == doorStdout {
		f = d.stdout
	}
	return onFD(d.wait, func(ep uintptr) error {
		return onFD(f, func(fd uintptr) error {
			return os.NewSyscallError("epoll_ctl", unix.EpollCtl(int(ep), op, int(fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(door)}))
		})
	})
}

// onFD calls do with the descriptor of f.
func onFD(f *os.File, do func(fd uintptr) error) error {
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := rc.Control(func(fd uintptr) { failed = do(fd) }); err != nil {
		return err
	}
	return failed
}

// next waits until one of the two can be read or is at its end, and returns what
// holds for each: EPOLLIN, EPOLLHUP.
func (d *doors) next() (ctl, stdout uint32, err error) {
	rc, err := d.wait.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var events [2]unix.EpollEvent
	n := 0
	err = rc.Read(func(fd uintptr) bool {
		for {
			var failed error
			if n, failed = unix.EpollWait(int(fd), events[:], 0); failed != unix.EINTR {
				return n != 0
			}
		}
	})
	if err != nil {
		return 0, 0, err
	}
	for _, e := range events[:max(n, 0)] {
		if e.Fd == doorControl {
			ctl = e.Events
		} else {
			stdout = e.Events
		}
	}
	return ctl, stdout, nil
}

// choose waits until it is known where the worker answers, and makes the channel
// read from there. What is wrong with a worker that does not answer is told by the
// read that follows.
func (c *Channel) choose(ctx context.Context) error {
	d := c.doors
	printed := false
	for scanned := 0; ; {
		ctl, stdout, err := d.next()
		switch {
		case err != nil: // as a rule the deadline
			return c.useStdout()
		case ctl&unix.EPOLLIN != 0:
			return c.useControl()
		case ctl != 0: // closed
			return c.useStdout()
		}
		if stdout == 0 {
			continue
		}
		c.want = max(goridge.HeaderSize, min(2*(c.w-c.r), printedSize))
		n, err := c.t.read()
		c.w += n
		if err != nil && err != io.EOF {
			return c.useStdout()
		}
		got := c.w - c.r
		if got >= goridge.HeaderSize {
			if scanned = unanswered(c.in.b[c.r:c.w], scanned); scanned < 0 {
				return c.useStdout()
			}
			if !printed {
				printed = true
				limit := time.Now().Add(printedPatience)
				if at, ok := ctx.Deadline(); ok && at.Before(limit) {
					limit = at
				}
				if d.wait.SetReadDeadline(limit) != nil || ctx.Err() != nil {
					return c.useStdout()
				}
			}
		}
		if err == io.EOF || got >= printedSize {
			if err := d.watch(unix.EPOLL_CTL_DEL, doorStdout); err != nil {
				return err
			}
		}
	}
}

// unanswered looks for a frame at the beginning of what came on stdout, or for a pid
// answer anywhere in it, and returns -1 if there is one, else where to look on when
// more has come.
func unanswered(b []byte, from int) int {
	if from == 0 {
		if _, err := goridge.ParseHeader(b); err == nil || errors.Is(err, goridge.ErrHeaderLength) {
			return -1
		}
	}
	for ; len(b)-from >= goridge.HeaderSize; from++ {
		if b[from]>>4 != goridge.Version || b[from+1]&goridge.Control == 0 {
			continue
		}
		if _, err := goridge.ParseHeader(b[from:]); err == nil {
			return -1
		}
	}
	return from
}

// useStdout stays with stdout, as a worker does that knows nothing else.
func (c *Channel) useStdout() error {
	d := c.doors
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stdout = nil
	_ = d.ctl.Close()
	_ = d.wait.Close()
	c.shared.Close()
	return nil
}

// useControl makes the channel read from the control pipe. What came on stdout is
// for Stdout.
func (c *Channel) useControl() error {
	d := c.doors
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.t.closed.Load() {
		return os.ErrClosed
	}
	if c.w > c.r {
		d.text = bytes.Clone(c.in.b[c.r:c.w])
	}
	c.drop()
	resize(d.stdout, plainPipe) // the kernel counts the sizes of a user's pipes
	resize(d.ctl, pipeSize)
	_ = d.wait.Close()
	c.control = true
	return c.t.readFrom(d.ctl)
}

func resize(f *os.File, size int) {
	_ = onFD(f, func(fd uintptr) error {
		_, err := unix.FcntlInt(fd, unix.F_SETPIPE_SZ, size)
		return err
	})
}

// Stdout is for the time after Handshake. If the worker does not use its stdout for
// frames, it returns the file to read from, which is the caller's from then on, and
// what came before the handshake; else nil.
func (c *Channel) Stdout() (f *os.File, text []byte) {
	if c.doors == nil || !c.control {
		return nil, nil
	}
	d := c.doors
	d.mu.Lock()
	defer d.mu.Unlock()
	f, text = d.stdout, d.text
	d.stdout, d.text = nil, nil
	if f != nil {
		_ = f.SetDeadline(time.Time{})
	}
	return f, text
}

// setDeadline is for all that the handshake may wait for.
func (d *doors) setDeadline(at time.Time) error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(d.ctl.SetDeadline(at), d.wait.SetReadDeadline(at))
}

// close closes what was not handed out.
func (d *doors) close() {
	for _, f := range []*os.File{d.stdout, d.ctl, d.wait} {
		if f != nil {
			_ = f.Close()
		}
	}
}
