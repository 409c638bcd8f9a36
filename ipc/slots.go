package ipc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// Places in the control page of a segment. Each direction has an entry of a cache
// line; its seq is written last and read first. PROTOCOL.md has the whole.
const (
	requestEntry  = 64
	responseEntry = 128

	entrySeq     = 0
	entryWaits   = 4
	entryFlags   = 8
	entryStream  = 12
	entryContext = 16
	entryPart    = 20
	entryMark    = 28
)

// inPipe is the stream bit of an entry whose frame is in the pipe.
const inPipe = 0x40

const futexWake = 1

// slots is the daemon's end of the control page of a segment, for a worker that
// accepts Slots. An exchange has one entry in each direction, or goes over the pipes:
//
//	idle, piped ── Send ──► due ── the answer is in the entry ──► idle
//	     │                   │
//	     │                   └──── the entry has inPipe ────────► piped
//	     └── Send of what does not fit ─────────────────────────►
//
// A goroutine that is due waits with the runtime's poller: the worker writes a zero
// byte into its control pipe if the entry says that somebody waits. So the end of
// the worker, deadlines and Interrupt are what they are without slots, and no
// thread waits for a worker. (Measured: a locked thread for each worker costs 1.6
// times the CPU for each request; a futex in the request's own goroutine keeps one
// of the runtime's processors until its monitor takes it away, which halves the
// throughput of 64 workers that wait 20 ms.)
type slots struct {
	seg   *Segment
	seq   uint32 // of the last job
	last  uint32 // number of the last answer's entry
	state slotState
	// loose: STOP or PONG was sent, which the worker may find before the next job;
	// then that comes by the pipe too, and skips them.
	loose bool

	waitFn func(fd uintptr) bool // tryEntry
	small  [64]byte              // what it has read, n bytes
	n      int
	err    error
}

type slotState uint8

const (
	slotIdle slotState = iota
	slotDue
	slotPiped
)

// littleEndian tells whether the words of the control page are this machine's.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

func newSlots(seg *Segment) *slots {
	s := &slots{seg: seg}
	s.waitFn = s.tryEntry
	return s
}

func (s *slots) word(at int) *uint32 { return (*uint32)(unsafe.Pointer(&s.seg.mem[at])) }

// answered tells whether the worker has written an entry.
func (s *slots) answered() bool { return atomic.LoadUint32(s.word(responseEntry+entrySeq)) != s.last }

// publish makes the request entry visible and wakes the worker if it sleeps.
func (s *slots) publish(flags, stream byte, context, part int) {
	*s.word(requestEntry + entryFlags) = uint32(flags)
	*s.word(requestEntry + entryStream) = uint32(stream)
	*s.word(requestEntry + entryContext) = uint32(context)
	*s.word(requestEntry + entryPart) = uint32(part)
	s.seq++
	s.state = slotDue
	if stream == inPipe {
		s.state = slotPiped
	}
	// Sequentially consistent: either the worker sees the entry, or we see that it waits.
	atomic.StoreUint32(s.word(requestEntry+entrySeq), s.seq)
	if atomic.LoadUint32(s.word(requestEntry+entryWaits)) != 0 {
		s.wake()
	}
}

func (s *slots) wake() {
	// It does not block. Nobody sleeping is no error.
	_, _, _ = syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(s.word(requestEntry+entrySeq))), futexWake, 1, 0, 0, 0)
}

// fitsSlot tells whether p goes to the worker in the request half alone.
func (c *Channel) fitsSlot(p *Payload) bool {
	return p.File == nil && !c.slots.loose && p.Len() <= int64(c.shared.room())
}

// sendSlot sends a job, or says that it comes by the pipe; it reports which.
func (c *Channel) sendSlot(p *Payload, bits byte) (sent bool, err error) {
	if !c.shared.hold() {
		return false, c.t.ioError("send to", os.ErrClosed)
	}
	defer c.shared.release()
	if !c.fitsSlot(p) {
		c.slots.loose = false
		c.slots.publish(0, inPipe, 0, 0)
		return false, nil
	}
	n := len(p.Body) + len(p.Context)
	c.shared.prepare(n)
	half := c.shared.request(n)
	copy(half, p.Body)
	copy(half[len(p.Body):], p.Context)
	c.slots.publish(p.Codec, bits, len(p.Context), len(p.Body))
	return true, nil
}

// sendSlotStop is SendStop through the slot.
func (c *Channel) sendSlotStop() error {
	if !c.shared.hold() {
		return c.t.ioError("send to", os.ErrClosed)
	}
	defer c.shared.release()
	copy(c.shared.request(len(stopOrder)), stopOrder)
	c.slots.publish(goridge.Control|goridge.CodecJSON, 0, 0, len(stopOrder))
	return nil
}

// awaitSlot waits for the entry of the answer, if it is due; false: there is none,
// look into the pipe.
func (c *Channel) awaitSlot() (entry bool, err error) {
	s := c.slots
	if s.state != slotDue {
		return false, nil
	}
	if c.broken != nil {
		return false, c.broken
	}
	if !c.shared.hold() {
		return false, c.t.ioError("receive from", os.ErrClosed)
	}
	defer c.shared.release()
	if !s.answered() {
		waits := s.word(responseEntry + entryWaits)
		atomic.StoreUint32(waits, 1)
		err := c.t.rc.Read(s.waitFn)
		if err == nil {
			err = s.err
		}
		atomic.StoreUint32(waits, 0)
		switch {
		case s.answered(): // also by a worker that has ended since
		case err == nil:
			c.keepUnread(s.small[:s.n])
			s.state = slotPiped
			return false, nil
		case err == io.EOF, c.t.gone.Load() && errors.Is(err, os.ErrDeadlineExceeded):
			return false, c.fail(io.EOF)
		default:
			return false, c.t.ioError("receive from", err)
		}
	}
	if seq := atomic.LoadUint32(s.word(responseEntry + entrySeq)); seq != s.seq {
		return false, c.badSlot("has number %#x, expected %#x", seq, s.seq)
	}
	s.last = s.seq
	return true, nil
}

// tryEntry is called by the poller before it waits and whenever something has come
// on the control pipe. Bytes that are no wake-up are left in small.
func (s *slots) tryEntry(fd uintptr) bool {
	for !s.answered() {
		n, errno := readFD(fd, s.small[:])
		switch {
		case errno == unix.EINTR, errno == 0 && n > 0 && zeros(s.small[:n]):
			continue
		case errno == unix.EAGAIN:
			return false
		case errno != 0:
			s.err = errno
		case n == 0:
			s.err = io.EOF
		default:
			s.n, s.err = n, nil
		}
		return true
	}
	s.n, s.err = 0, nil
	return true
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// recvSlot delivers the answer from the entry and the response half. Every word is read once, and what lies in the half is copied before anything
// looks at it: the worker may write at any time. ok is false if the frame is in the
// pipe.
func (c *Channel) recvSlot(m *Message) (ok bool, err error) {
	s := c.slots
	if !c.shared.hold() {
		return false, c.t.ioError("receive from", os.ErrClosed)
	}
	defer c.shared.release()
	flags := atomic.LoadUint32(s.word(responseEntry + entryFlags))
	stream := atomic.LoadUint32(s.word(responseEntry + entryStream))
	context := atomic.LoadUint32(s.word(responseEntry + entryContext))
	part := atomic.LoadUint32(s.word(responseEntry + entryPart))
	c.heard = true
	switch {
	case stream == inPipe:
		s.state = slotPiped
		return false, nil
	case flags > math.MaxUint8 || flags&uint32(goridge.Control) != 0 || stream != 0:
		return false, c.badSlot("has flags %#x and stream bits %#x", flags, stream)
	case uint64(context)+uint64(part) > uint64(c.shared.room()):
		return false, c.badSlot("has a context of %d bytes and a body of %d, a half holds %d", context, part, c.shared.room())
	}
	n := int(context) + int(part)
	if byte(flags)&goridge.Error != 0 {
		text := string(c.shared.response(n))
		s.state, c.streaming = slotIdle, false
		return true, &SoftError{Text: text}
	}
	buf := newBuffer(n)
	copy(buf.b, c.shared.response(n))
	m.buf, m.Body, m.Context = buf, buf.b[:part:part], buf.b[part:n:n]
	m.Flags, m.Left, m.Stream, m.Last = byte(flags), 0, false, true
	s.state = slotIdle
	return true, c.delivered(m, false)
}

func (c *Channel) badSlot(format string, args ...any) error {
	return c.fail(&ProtocolError{Reason: "bad answer in the slot: it " + fmt.Sprintf(format, args...),
		hint: "the worker package or its extension rr.so is damaged or does not fit this version"})
}

// keepUnread puts bytes that were read aside from the buffer into it.
func (c *Channel) keepUnread(b []byte) {
	c.want = len(b)
	c.beforeRead()
	c.w += copy(c.t.dst, b)
	c.t.dst = nil
}

// skipWakes waits for the first byte of a frame and drops those of wake-ups before it.
func (c *Channel) skipWakes() error {
	for {
		if err := c.need(1); err != nil {
			return err
		}
		for c.r < c.w && c.in.b[c.r] == 0 {
			c.r++
		}
		if c.r < c.w {
			return nil
		}
		c.drop()
	}
}

// Taken tells whether the worker has begun to read the last job; known is false where
// only the pipe could tell.
func (c *Channel) Taken() (taken, known bool) {
	if c.slots == nil || !c.shared.hold() {
		return false, false
	}
	defer c.shared.release()
	return atomic.LoadUint32(c.slots.word(requestEntry+entryMark)) == c.slots.seq, true
}

// slotPending is Pending for a worker with slots. In the pipe there may be a wake-up
// that came too late, so it counts only after an exchange that used it.
func (c *Channel) slotPending() bool {
	if c.w > c.r || c.slots.state == slotPiped && c.t.unread() > 0 {
		return true
	}
	if !c.shared.hold() {
		return false
	}
	defer c.shared.release()
	return c.slots.answered() || atomic.LoadUint32(c.slots.word(responseEntry+entryMark)) != 0
}

// wakeSlot ends the sleep of a worker that waits for a job, so that it looks at its
// pipe.
func (c *Channel) wakeSlot() {
	if c.slots != nil && c.shared.hold() {
		c.slots.wake()
		c.shared.release()
	}
}
