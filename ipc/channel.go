package ipc

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// Channel is the connection to one worker. It carries one exchange at a time:
// Send, then Recv until a message without Stream (or an error).
//
// A Channel is not safe for concurrent use, except Close.
//
//	ready ── Send ──► waiting ── frame with STREAM ──► streaming
//	waiting, streaming ── frame without STREAM, ERROR frame ──► ready
//	any ── ProtocolError, end of file ──► broken: every further Recv returns the same error
type Channel struct {
	t transport

	in   *buffer // received bytes, nil if there are none
	r, w int     // in.b[r:w] is unread
	want int     // size that the frame being received is known to have, else 0

	started   bool  // the handshake has succeeded
	streaming bool  // the last frame had the STREAM bit: the next is not the first of an answer
	broken    error // protocol error or end of file; nothing more can be received
	accepts   Ability
	upload    io.Reader // Payload.Upload of the job in work
	parts     bool      // Payload.Parts of the job in work
	rest      frameRest
	heard     bool // the worker has sent a frame since the job in work

	slots   *slots   // nil: jobs and answers are frames in the pipes
	shared  *Segment // nil: all goes over the pipes
	owed    bool     // the worker did not ask for all parts of the job's body
	doors   *doors   // nil: there is only one way to answer
	control bool     // the worker uses its control pipe

	head [goridge.HeaderSize + 3*goridge.OptionSize]byte
}

// NewChannel makes a channel of two pipe ends: r is what the worker writes, w
// is what it reads. The channel owns both, also when an error is returned.
func NewChannel(r, w *os.File) (*Channel, error) { return newChannel(r, w) }

// NewSocketChannel makes a channel of one connected stream socket, for the
// relays tcp:// and unix://. The channel owns it, also when an error is
// returned.
func NewSocketChannel(c *os.File) (*Channel, error) { return newChannel(c, c) }

func newChannel(r, w *os.File) (*Channel, error) {
	c := new(Channel)
	c.t.beforeRead, c.t.beforeWait = c.beforeRead, c.beforeWait
	if err := c.t.init(r, w); err != nil {
		return nil, err
	}
	return c, nil
}

// Send writes one job frame: flags p.Codec, one option (the length of the
// context), context and body, in one writev. It returns when all is in the
// pipe. The worker must read the whole frame before it answers more than a
// pipe holds; if it does not, only a deadline ends Send.
//
// Errors: ErrEmptyPayload, ErrTooLarge, ErrNoUpload, ErrWorkerGone (Recv may still tell why:
// what the worker printed before it died), os.ErrDeadlineExceeded,
// os.ErrClosed. If a part of the frame was written, nothing else can be sent:
// every further Send, SendStop and CancelStream returns the same error.
func (c *Channel) Send(p *Payload) error {
	length := p.Len()
	switch {
	case length == 0:
		return ErrEmptyPayload
	case length > math.MaxUint32:
		return fmt.Errorf("cannot send %d bytes to the worker: %w", length, ErrTooLarge)
	}
	bits := byte(0)
	if p.Upload != nil {
		if !c.Accepts(AskBody) {
			return ErrNoUpload
		}
		bits = goridge.BodyBit
	}
	c.streaming, c.upload, c.parts, c.rest = false, p.Upload, p.Parts, frameRest{}
	c.heard, c.owed = false, false
	if c.slots != nil {
		if sent, err := c.sendSlot(p, bits); sent || err != nil {
			return err
		}
	}
	if c.sharesBody(p) {
		return c.sendShared(p)
	}
	head := goridge.AppendHeader(c.head[:0], p.Codec, bits, uint32(length), uint32(len(p.Context)))
	if p.File == nil {
		return c.t.write(head, p.Context, p.Body)
	}
	if err := c.t.write(head, p.Context, nil); err != nil {
		return err
	}
	return c.sendFile(p)
}

// SendStop orders the worker to stop: the control frame {"stop":true}.
func (c *Channel) SendStop() error {
	if c.slots != nil {
		return c.sendSlotStop()
	}
	var frame [goridge.HeaderSize + len(stopOrder)]byte
	return c.t.write(goridge.AppendFrame(frame[:0], goridge.Control|goridge.CodecJSON, 0, []byte(stopOrder)), nil, nil)
}

// CancelStream asks the worker to end its stream. Frames that are on their way
// still arrive; the caller receives until one without Stream. A worker that is in the
// middle of its last frame is not asked: when it has written that, it waits for a job.
func (c *Channel) CancelStream() error {
	if r := &c.rest; r.left > 0 && !r.shared && r.header.Stream&goridge.StreamBit == 0 {
		return nil
	}
	return c.sendStreamBit(goridge.StopBit)
}

func (c *Channel) sendStreamBit(bit byte) error {
	if c.slots != nil {
		c.slots.loose = true
	}
	return c.t.write(goridge.AppendHeader(c.head[:0], 0, bit, 0), nil, nil)
}

// Recv waits for one frame of the worker's answer. See RecvInto.
func (c *Channel) Recv() (*Message, error) {
	m := new(Message)
	if err := c.RecvInto(m); err != nil {
		return nil, err
	}
	return m, nil
}

// RecvInto is Recv into a Message of the caller's, so that nothing is
// allocated. What m held before is overwritten, not released.
//
// Errors: *SoftError for an ERROR frame (the worker stays in service),
// ErrWorkerStop, *ProtocolError, io.EOF if the worker closed the channel
// between frames and io.ErrUnexpectedEOF if within one,
// os.ErrDeadlineExceeded (RecvInto may be called again, no byte is lost),
// os.ErrClosed. A PING on a frame that is not the first of an answer is
// answered with PONG.
func (c *Channel) RecvInto(m *Message) error {
	switch {
	case c.rest.left > 0 && c.rest.shared:
		return c.nextShared(m)
	case c.rest.left > 0:
		return c.nextPart(m)
	}
	if c.slots != nil {
		if entry, err := c.awaitSlot(); err != nil {
			return err
		} else if entry {
			if ok, err := c.recvSlot(m); ok || err != nil {
				return err
			}
		}
	}
	h, err := c.header()
	for err == nil && h.Stream&goridge.BodyBit != 0 {
		c.heard = true
		if err = c.answerQuestion(h); err == nil {
			h, err = c.header()
		}
	}
	if err != nil {
		return err
	}
	c.heard = true
	if c.shared != nil && h.Stream&goridge.SharedBit != 0 {
		return c.recvShared(m, h)
	}
	if h.Flags&goridge.Error == 0 {
		switch {
		case h.Flags&goridge.Control != 0:
			return c.fail(&ProtocolError{Reason: "unexpected CONTROL flag on a result", Received: keep(c.in.b[c.r:c.w]),
				hint: "the worker answered a job with a control frame; its worker package does not fit"})
		case h.Options != 1:
			return c.fail(&ProtocolError{Reason: "options length should be equal 1 (body offset)", Received: keep(c.in.b[c.r:c.w]),
				hint: fmt.Sprintf("the result has %d options; its worker package does not fit", h.Options)})
		}
	}
	size := int64(h.Size()) + int64(h.Length)
	if size > math.MaxInt {
		return c.fail(&ProtocolError{Reason: fmt.Sprintf("a frame of %d bytes does not fit this machine's memory", size)})
	}
	contextLen := uint32(0)
	if h.Flags&goridge.Error == 0 {
		// Before the payload is awaited: a wrong length would wait in vain.
		if err := c.need(h.Size()); err != nil {
			return err
		}
		if contextLen = goridge.Option(c.in.b[c.r:], 0); contextLen > h.Length {
			return c.fail(&ProtocolError{
				Reason:   fmt.Sprintf("bad payload: the context has %d bytes, the whole payload %d", contextLen, h.Length),
				Received: keep(c.in.b[c.r:c.w])})
		}
	}
	if c.parts && size > wholeSize && h.Flags&goridge.Error == 0 {
		return c.firstPart(m, h, size, int(contextLen))
	}
	if err := c.need(int(size)); err != nil {
		return err
	}

	if h.Flags&goridge.Error != 0 {
		c.streaming = false
		text := string(c.in.b[c.r+h.Size() : c.r+int(size)])
		c.consume(int(size))
		return &SoftError{Text: text}
	}
	m.Flags, m.Left = h.Flags, 0
	m.Stream = h.Stream&goridge.StreamBit != 0
	m.Last = !m.Stream
	c.take(m, h.Size(), int(size), int(contextLen))
	return c.delivered(m, c.streaming && h.Stream&goridge.PingBit != 0)
}

// delivered settles what a message that is there in full means for the exchange.
func (c *Channel) delivered(m *Message, ping bool) error {
	first := !c.streaming
	c.streaming = m.Stream
	if first && len(m.Body) == 0 && m.Left == 0 && string(m.Context) == stopOrder {
		c.streaming = false
		m.Release()
		return ErrWorkerStop
	}
	if ping {
		return c.pong(m)
	}
	return nil
}

// pong answers PING. A worker that has died meanwhile is reported by the next
// Recv; this frame came in whole.
func (c *Channel) pong(m *Message) error {
	if err := c.sendStreamBit(goridge.PongBit); err != nil && !errors.Is(err, ErrWorkerGone) {
		m.Release()
		return c.fail(err)
	}
	return nil
}

// SetDeadline sets the time after which Send and Recv give up with
// os.ErrDeadlineExceeded. The zero time means never.
func (c *Channel) SetDeadline(t time.Time) error { return c.t.setDeadline(t) }

// SetReadDeadline is SetDeadline for Recv alone.
func (c *Channel) SetReadDeadline(t time.Time) error { return c.t.setReadDeadline(t) }

// Interrupt makes a Recv of another goroutine, and every later one, end with
// os.ErrDeadlineExceeded until Resume.
func (c *Channel) Interrupt() { _ = c.t.r.SetReadDeadline(time.Unix(1, 0)) }

// Resume removes every deadline. No Interrupt may be under way.
func (c *Channel) Resume() { _ = c.t.clearDeadline() }

// WorkerEnded tells the channel that the process has ended. What has arrived can still
// be received, then comes io.EOF at once, and Send fails with ErrWorkerGone, also if a
// child of the worker holds its descriptors. It may be called by any goroutine, but not before Handshake returned.
func (c *Channel) WorkerEnded() { c.t.workerEnded() }

// Heard reports whether the worker has sent a frame since the last Send: then it has
// read the job, at least in part.
func (c *Channel) Heard() bool { return c.heard }

// Pending reports whether there are unread bytes. Between two exchanges they
// belong to no request (an answer too many, or text that PHP printed), and the
// worker must be replaced: else the next request would get them.
func (c *Channel) Pending() bool {
	if c.slots != nil {
		return c.slotPending()
	}
	return c.w > c.r || c.t.unread() > 0
}

// Close closes the descriptors and the segment; a Send or Recv in another goroutine
// returns with os.ErrClosed. It is idempotent.
func (c *Channel) Close() error {
	if c.doors != nil {
		c.doors.mu.Lock()
		defer c.doors.mu.Unlock()
	}
	err := c.t.close()
	c.wakeSlot()
	c.shared.Close()
	if c.doors != nil {
		c.doors.close()
	}
	return err
}
