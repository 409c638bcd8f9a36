package ipc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// Channel is the connection to one worker. It carries one exchange at a time:
// Send, then Recv until a message without Stream (or an error).
//
// A Channel is not safe for concurrent use, except Close.
//
//	        Handshake            Send                Recv: Stream
//	opened ───────────► ready ───────────► waiting ───────────────► streaming ─┐
//	                      ▲                  │  ▲                     │    ▲   │ Recv: Stream
//	                      └──────────────────┘  │                     │    └───┘
//	                       Recv: result, ERROR  └── deadline: again   │
//	                      ▲                                           │
//	                      └───────────────────────────────────────────┘ Recv: last frame, ERROR
//	any ── ProtocolError, EOF ──► broken: every further Recv returns the same error
type Channel struct {
	t transport

	in   *buffer // received bytes, nil if there are none
	r, w int     // in.b[r:w] is unread
	want int     // size that the frame being received is known to have, else 0

	streaming bool  // the last frame had the STREAM bit: the next is not the first of an answer
	broken    error // protocol error or end of file; nothing more can be received

	head [goridge.HeaderSize + goridge.OptionSize]byte
}

const (
	// readSize is the size of the buffer for the first read of a frame, in
	// bytes. A frame that fits needs one read.
	readSize = 64 << 10
	// trustSize and trustFactor bound the memory that an announced length
	// gets: at most trustSize, or trustFactor times what has arrived. So a
	// worker that announces 4 GiB and sends nothing gets 64 KiB, and a large
	// body is copied at most once in a sixteenth of its size.
	trustSize   = 1 << 20
	trustFactor = 16
	// maxHandshake bounds the answer to the pid request, in bytes.
	maxHandshake = 64 << 10
)

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

// Handshake sends the pid request and checks the worker's answer; it returns
// the process id that the worker reports. ownPID is the daemon's. The deadline
// and the cancellation of ctx end it; the error then wraps ctx.Err().
//
// The texts of the errors are RoadRunner's: "EOF", "unexpected response, header
// is missing, no CONTROL flag", "pid should be greater than 0", or
// encoding/json's. A *ProtocolError knows the likely cause (Hint).
func (c *Channel) Handshake(ctx context.Context, ownPID int) (pid int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	deadline, _ := ctx.Deadline()
	if err := c.t.setDeadline(deadline); err != nil {
		return 0, err
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		c.t.interrupt()
	})
	defer func() {
		if !stop() {
			<-interrupted
		}
		if e := c.t.clearDeadline(); err == nil {
			err = e
		}
	}()

	pid, err = c.handshake(ownPID)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// The context's timer may be a moment later than the poller's.
		cause := ctx.Err()
		if cause == nil {
			cause = context.DeadlineExceeded
		}
		if c.w > c.r && looksLikeText(c.in.b[c.r:c.w]) {
			return 0, c.garbage(cause)
		}
		return 0, fmt.Errorf("the worker did not answer the pid request: %w", cause)
	}
	return pid, err
}

func (c *Channel) handshake(ownPID int) (int, error) {
	request := strconv.AppendInt([]byte(`{"pid":`), int64(ownPID), 10)
	request = append(request, '}')
	frame := goridge.AppendFrame(nil, goridge.Control|goridge.CodecJSON, 0, request)
	// A worker that has died is reported by the read, which also shows what
	// it printed; here only other failures matter.
	if err := c.t.write(frame, nil, nil); err != nil && !errors.Is(err, ErrWorkerGone) {
		return 0, err
	}
	h, err := c.header()
	if err != nil {
		return 0, err
	}
	if h.Flags&goridge.Control == 0 {
		e := &ProtocolError{Reason: "unexpected response, header is missing, no CONTROL flag"}
		if h.Flags&goridge.Error != 0 && h.Length <= maxHandshake && c.need(h.Size()+int(h.Length)) == nil {
			e.Received = keep(c.in.b[c.r+h.Size() : c.r+h.Size()+int(h.Length)])
			e.hint = "the worker refused to start: " + printable(e.Received)
		} else {
			e.hint = "the worker answered the pid request with a result; check that the script creates its worker before it answers and that nothing else reads STDIN"
		}
		return 0, c.fail(e)
	}
	if h.Length > maxHandshake {
		return 0, c.fail(&ProtocolError{Reason: fmt.Sprintf("the answer to the pid request has %d bytes, the limit is %d", h.Length, maxHandshake)})
	}
	size := h.Size() + int(h.Length)
	if err := c.need(size); err != nil {
		return 0, err
	}
	var answer struct {
		Pid int `json:"pid"`
	}
	payload := c.in.b[c.r+h.Size() : c.r+size]
	if err := json.Unmarshal(payload, &answer); err != nil {
		return 0, c.fail(&ProtocolError{Reason: err.Error(), Received: keep(payload), Err: err,
			hint: `the worker must answer the pid request with {"pid":N}`})
	}
	if answer.Pid <= 0 {
		return 0, c.fail(&ProtocolError{Reason: "pid should be greater than 0", Received: keep(payload),
			hint: `the worker must answer the pid request with {"pid":N}`})
	}
	c.consume(size)
	return answer.Pid, nil
}

// Send writes one job frame: flags p.Codec, one option (the length of the
// context), context and body, in one writev. It returns when all is in the
// pipe. The worker must read the whole frame before it answers more than a
// pipe holds; if it does not, only a deadline ends Send.
//
// Errors: ErrEmptyPayload, ErrTooLarge, ErrWorkerGone, os.ErrDeadlineExceeded,
// os.ErrClosed. After any but the first two the worker may have got a part of
// the frame and cannot be used any more.
func (c *Channel) Send(p *Payload) error {
	length := uint64(len(p.Context)) + uint64(len(p.Body))
	switch {
	case length == 0:
		return ErrEmptyPayload
	case length > math.MaxUint32:
		return fmt.Errorf("cannot send %d bytes to the worker: %w", length, ErrTooLarge)
	}
	c.streaming = false
	head := goridge.AppendHeader(c.head[:0], p.Codec, 0, uint32(length), uint32(len(p.Context)))
	return c.t.write(head, p.Context, p.Body)
}

// SendStop orders the worker to stop: the control frame {"stop":true}.
func (c *Channel) SendStop() error {
	var frame [goridge.HeaderSize + len(stopOrder)]byte
	return c.t.write(goridge.AppendFrame(frame[:0], goridge.Control|goridge.CodecJSON, 0, []byte(stopOrder)), nil, nil)
}

// CancelStream asks the worker to end its stream. Frames that are on their way
// still arrive; the caller receives until one without Stream.
func (c *Channel) CancelStream() error { return c.sendStreamBit(goridge.StopBit) }

func (c *Channel) sendStreamBit(bit byte) error {
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
// os.ErrDeadlineExceeded (RecvInto may be called again, nothing is lost),
// os.ErrClosed. A PING on a frame that is not the first of an answer is
// answered with PONG.
func (c *Channel) RecvInto(m *Message) error {
	h, err := c.header()
	if err != nil {
		return err
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
	if err := c.need(int(size)); err != nil {
		return err
	}

	wasStreaming := c.streaming
	c.streaming = false
	if h.Flags&goridge.Error != 0 {
		text := string(c.in.b[c.r+h.Size() : c.r+int(size)])
		c.consume(int(size))
		return &SoftError{Text: text}
	}
	m.Flags = h.Flags
	m.Stream = h.Stream&goridge.StreamBit != 0
	c.take(m, h.Size(), int(size), int(contextLen))
	if !wasStreaming && len(m.Body) == 0 && string(m.Context) == stopOrder {
		m.Release()
		return ErrWorkerStop
	}
	c.streaming = m.Stream
	if wasStreaming && h.Stream&goridge.PingBit != 0 {
		// A worker that has died meanwhile is reported by the next Recv;
		// this frame came in whole.
		if err := c.sendStreamBit(goridge.PongBit); err != nil && !errors.Is(err, ErrWorkerGone) {
			m.Release()
			return err
		}
	}
	return nil
}

// SetDeadline sets the time after which Send and Recv give up with
// os.ErrDeadlineExceeded. The zero time means never.
func (c *Channel) SetDeadline(t time.Time) error { return c.t.setDeadline(t) }

// Pending reports whether there are unread bytes. Between two exchanges they
// belong to no request (an answer too many, or text that PHP printed), and the
// worker must be replaced: else the next request would get them.
func (c *Channel) Pending() bool { return c.w > c.r || c.t.unread() > 0 }

// Close closes the descriptors; a Send or Recv in another goroutine returns
// with os.ErrClosed. It is idempotent.
func (c *Channel) Close() error { return c.t.close() }

// header waits for a header. It is not consumed.
func (c *Channel) header() (goridge.Header, error) {
	if c.broken != nil {
		return goridge.Header{}, c.broken
	}
	if err := c.need(goridge.HeaderSize); err != nil {
		return goridge.Header{}, err
	}
	h, err := goridge.ParseHeader(c.in.b[c.r:c.w])
	switch {
	case err == nil:
		return h, nil
	case errors.Is(err, goridge.ErrHeaderLength):
		return h, c.fail(&ProtocolError{Reason: err.Error(), Received: keep(c.in.b[c.r:c.w]), Err: err})
	}
	return h, c.garbage(err)
}

// need waits until n bytes of the current frame are there: in.b[r:r+n].
func (c *Channel) need(n int) error {
	if c.broken != nil {
		return c.broken
	}
	c.want = n
	for c.w-c.r < n {
		got, err := c.t.read()
		if err == nil {
			c.w += got
			continue
		}
		if err == io.EOF {
			if c.w == c.r {
				return c.fail(io.EOF)
			}
			if c.w-c.r < goridge.HeaderSize && looksLikeText(c.in.b[c.r:c.w]) {
				return c.garbage(io.ErrUnexpectedEOF)
			}
			return c.fail(io.ErrUnexpectedEOF)
		}
		return err
	}
	return nil
}

// beforeRead chooses where the next bytes go: it is called before every attempt
// to read, because a waiting channel gives an empty buffer back.
func (c *Channel) beforeRead() {
	have := c.w - c.r
	switch {
	case c.in == nil:
		c.in = newBuffer(readSize)
		c.r, c.w = 0, 0
	case have == 0:
		c.r, c.w = 0, 0
	}
	if size := min(c.want, max(trustSize, trustFactor*have)); size > len(c.in.b) {
		grown := newBuffer(size)
		copy(grown.b, c.in.b[c.r:c.w])
		c.in.free()
		c.in, c.r, c.w = grown, 0, have
	} else if c.want > len(c.in.b)-c.r {
		copy(c.in.b, c.in.b[c.r:c.w])
		c.r, c.w = 0, have
	}
	end := len(c.in.b)
	if c.want > readSize {
		// Not beyond this frame, so that the message can keep the buffer.
		end = min(end, c.r+c.want)
	}
	c.t.dst = c.in.b[c.w:end]
}

// beforeWait gives the buffer back if nothing is in it.
func (c *Channel) beforeWait() {
	if c.w == c.r {
		c.drop()
	}
}

// drop gives the receive buffer back with all that is in it.
func (c *Channel) drop() {
	c.in.free()
	c.in, c.r, c.w = nil, 0, 0
}

// consume marks the first n unread bytes as read.
func (c *Channel) consume(n int) {
	if c.r += n; c.r == c.w {
		c.drop()
	}
}

// take moves the frame in.b[r:r+size] into m. The message keeps the buffer if
// nothing else is in it. If the worker has already sent more, the frame is
// copied out: copying the rest instead would be quadratic for a burst of small
// frames.
func (c *Channel) take(m *Message, head, size, contextLen int) {
	var payload []byte
	if c.r+size == c.w {
		m.buf, payload = c.in, c.in.b[c.r+head:c.w:c.w]
		c.in, c.r, c.w = nil, 0, 0
	} else {
		m.buf = newBuffer(size - head)
		payload = m.buf.b[: size-head : size-head]
		copy(payload, c.in.b[c.r+head:])
		c.consume(size)
	}
	m.Context = payload[:contextLen:contextLen]
	m.Body = payload[contextLen:]
}

// fail makes err the result of this and of every further Recv.
func (c *Channel) fail(err error) error {
	c.broken = err
	c.drop()
	return err
}
