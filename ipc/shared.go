package ipc

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// minShared is the shortest body that goes to a worker by shared memory, in bytes.
const minShared = 4 << 10

// sharesBody tells whether the body of p goes by shared memory.
func (c *Channel) sharesBody(p *Payload) bool {
	return c.Accepts(SharedMemory) && p.Upload == nil && p.Len()-int64(len(p.Context)) >= minShared
}

// FrameSize is how many bytes Send writes into the pipe before it waits for anything,
// the header included.
func (c *Channel) FrameSize(p *Payload) int64 {
	if c.slots != nil && c.fitsSlot(p) {
		return 0
	}
	if c.sharesBody(p) {
		return goridge.HeaderSize + 3*goridge.OptionSize + int64(len(p.Context))
	}
	return goridge.HeaderSize + goridge.OptionSize + p.Len()
}

// sendShared sends a job whose body goes through the request half, part by part as
// the worker asks for it. It returns when the worker has the last part or has begun
// to answer without it.
func (c *Channel) sendShared(p *Payload) error {
	if !c.shared.hold() {
		return c.t.ioError("send to", os.ErrClosed)
	}
	defer c.shared.release()
	total := p.Len() - int64(len(p.Context))
	for at := int64(0); at < total; {
		part := int(min(total-at, int64(c.shared.room())))
		if err := c.putPart(p, at, part); err != nil {
			return err
		}
		left := uint32(total - at - int64(part))
		var err error
		if at == 0 {
			head := goridge.AppendHeader(c.head[:0], p.Codec, goridge.SharedBit, uint32(len(p.Context)), uint32(len(p.Context)), uint32(part), left)
			err = c.t.write(head, p.Context, nil)
		} else {
			err = c.sendPart(goridge.BodyBit, part, left)
		}
		if err != nil {
			return err
		}
		if at += int64(part); at == total {
			break
		}
		asked, err := c.asked()
		if err != nil {
			return err
		}
		if !asked {
			c.owed = true
			break
		}
	}
	return nil
}

// putPart puts n bytes of the body of p, from at on, into the request half. A file is
// read straight into it.
func (c *Channel) putPart(p *Payload, at int64, n int) error {
	c.shared.prepare(n)
	dst := c.shared.request(n)
	if p.File == nil {
		copy(dst, p.Body[at:])
		return nil
	}
	if got, err := p.File.ReadAt(dst, at); got < n {
		return fmt.Errorf("cannot read the body for the worker: %w", err)
	}
	return nil
}

// sendPart tells the worker of n bytes in the request half.
func (c *Channel) sendPart(bits byte, n int, left uint32) error {
	return c.reply(goridge.AppendHeader(c.head[:0], 0, bits|goridge.SharedBit, 0, 0, uint32(n), left), nil)
}

// sendNoPart tells the worker that no more of the body comes.
func (c *Channel) sendNoPart(bits byte) error {
	return c.reply(goridge.AppendHeader(c.head[:0], 0, bits, 0, 0), nil)
}

// asked waits for the worker's question for the next part; false: it sent something
// else, which is left to Recv.
func (c *Channel) asked() (bool, error) {
	h, err := c.header()
	switch {
	case err == io.EOF && c.heard:
		err = io.ErrUnexpectedEOF // it has read of the job
		fallthrough
	case err != nil:
		return false, err
	}
	c.heard = true
	if h.Stream&(goridge.BodyBit|goridge.SharedBit) != goridge.BodyBit|goridge.SharedBit {
		return false, nil
	}
	_, err = c.question(h)
	return true, err
}

// question reads a question whose header is known and returns the most bytes that the
// worker wants, 0 for any.
func (c *Channel) question(h goridge.Header) (uint32, error) {
	if h.Options != 1 || h.Length != 0 || h.Flags != 0 {
		return 0, c.fail(&ProtocolError{Reason: "unexpected question for the body", Received: keep(c.in.b[c.r:c.w]),
			hint: "the worker asked for more of a body with a frame that does not say how much"})
	}
	if err := c.need(h.Size()); err != nil {
		return 0, err
	}
	most := goridge.Option(c.in.b[c.r:], 0)
	c.consume(h.Size())
	return most, nil
}

// answerShared answers a question for a part in shared memory that comes after Send.
func (c *Channel) answerShared(h goridge.Header) error {
	most, err := c.question(h)
	if err != nil {
		return err
	}
	switch {
	case c.upload != nil:
		return c.shareUpload(most)
	case c.owed:
		return c.sendNoPart(goridge.BodyBit | goridge.StopBit)
	}
	return c.fail(&ProtocolError{Reason: "unexpected question for the body",
		hint: "the worker asked for more of a body than there is"})
}

// shareUpload reads what has arrived of an upload into the request half.
func (c *Channel) shareUpload(most uint32) error {
	if !c.shared.hold() {
		return c.t.ioError("send to", os.ErrClosed)
	}
	defer c.shared.release()
	n := min(c.shared.room(), maxUploadPart)
	if most > 0 {
		n = int(min(int64(n), int64(most)))
	}
	c.shared.prepare(n)
	n, bits := c.readUpload(c.shared.request(n))
	if n == 0 {
		return c.sendNoPart(bits)
	}
	return c.sendPart(bits, n, 0)
}

// sharedHead is what a frame says of its body in shared memory. The numbers come by
// the pipe, so they cannot change after they were checked.
type sharedHead struct {
	goridge.Header
	context, part int
	left          int64
}

// sharedHead reads and checks header, options and context of a frame: all that
// comes by the pipe.
func (c *Channel) sharedHead(h goridge.Header) (s sharedHead, err error) {
	if h.Flags&(goridge.Error|goridge.Control) != 0 || h.Options != 3 {
		return s, c.badPart("the frame has flags %#02x and %d options", h.Flags, h.Options)
	}
	if err := c.need(h.Size()); err != nil {
		return s, err
	}
	context, part, left := goridge.Option(c.in.b[c.r:], 0), goridge.Option(c.in.b[c.r:], 1), goridge.Option(c.in.b[c.r:], 2)
	switch total := uint64(context) + uint64(part) + uint64(left); {
	case context != h.Length:
		return s, c.badPart("the context has %d bytes, the payload %d", context, h.Length)
	case uint64(part) > uint64(c.shared.room()):
		return s, c.badPart("the part has %d bytes, a half holds %d", part, c.shared.room())
	case left > 0 && part == 0:
		return s, c.badPart("the part is empty, and %d bytes are to follow", left)
	case total > math.MaxUint32 || total > math.MaxInt-goridge.MaxHeaderSize:
		return s, c.badPart("context and body have %d bytes", total)
	}
	if err := c.need(h.Size() + int(context)); err != nil {
		return s, err
	}
	return sharedHead{h, int(context), int(part), int64(left)}, nil
}

func (c *Channel) badPart(format string, args ...any) error {
	return c.fail(&ProtocolError{Reason: "bad payload in shared memory: " + fmt.Sprintf(format, args...), Received: keep(c.in.b[c.r:c.w]),
		hint: "the worker package is damaged or does not fit this version"})
}

// recvShared delivers a frame whose body lies in the response half.
func (c *Channel) recvShared(m *Message, h goridge.Header) error {
	s, err := c.sharedHead(h)
	if err != nil {
		return err
	}
	whole := int64(s.context) + int64(s.part) + s.left
	inParts := s.left > 0 && c.parts && whole > wholeSize
	size := s.context + s.part
	if !inParts { // what is announced is believed as long as it is small
		size = int(min(whole, max(trustSize, trustFactor*int64(size))))
	}
	buf := newBuffer(size)
	copy(buf.b, c.in.b[c.r+s.Size():][:s.context])
	c.consume(s.Size() + s.context)
	have := s.context + s.part
	if err := c.getPart(buf.b[s.context:have], s); err != nil {
		buf.free()
		return err
	}
	c.rest = frameRest{left: s.left, header: h, shared: true, context: s.context}
	if s.left > 0 && !inParts {
		c.rest.buf, c.rest.have = buf, have
		return c.nextShared(m)
	}
	c.sharedMessage(m, buf, have)
	return c.delivered(m, false)
}

// nextShared delivers what follows the first part of a body: the next part, or all
// of it with what is there already.
func (c *Channel) nextShared(m *Message) error {
	r := &c.rest
	if r.buf == nil {
		s, err := c.nextHead()
		if err != nil {
			return err
		}
		c.consume(s.Size())
		buf := newBuffer(s.part)
		if err := c.getPart(buf.b[:s.part], s); err != nil {
			buf.free()
			return err
		}
		r.left, r.context = s.left, 0
		c.sharedMessage(m, buf, s.part)
		c.streaming = m.Stream
		return nil
	}
	for r.left > 0 {
		s, err := c.nextHead()
		if err != nil {
			return err
		}
		if r.have+s.part > len(r.buf.b) {
			grown := newBuffer(int(min(int64(r.have)+r.left, max(trustSize, trustFactor*int64(r.have+s.part)))))
			copy(grown.b, r.buf.b[:r.have])
			r.buf.free()
			r.buf = grown
		}
		c.consume(s.Size())
		if err := c.getPart(r.buf.b[r.have:r.have+s.part], s); err != nil {
			return err
		}
		r.have += s.part
		r.left = s.left
	}
	buf := r.buf
	r.buf = nil
	c.sharedMessage(m, buf, r.have)
	return c.delivered(m, false)
}

// sharedMessage makes m of the first n bytes of buf.
func (c *Channel) sharedMessage(m *Message, buf *buffer, n int) {
	r := &c.rest
	m.buf, m.Context, m.Body = buf, buf.b[:r.context:r.context], buf.b[r.context:n:n]
	m.Flags, m.Left = r.header.Flags, r.left
	m.Last = r.header.Stream&goridge.StreamBit == 0
	m.Stream = !m.Last || r.left > 0
}

// nextHead waits for the frame that goes on with a body that is not at its end. Nothing else may come between.
func (c *Channel) nextHead() (sharedHead, error) {
	left := c.rest.left
	h, err := c.header()
	switch {
	case err != nil:
		return sharedHead{}, err
	case h.Stream&(goridge.SharedBit|goridge.BodyBit) != goridge.SharedBit:
		return sharedHead{}, c.badPart("a frame without shared memory comes before the last %d bytes of a body", left)
	}
	s, err := c.sharedHead(h)
	switch {
	case err != nil:
		return s, err
	case s.context > 0:
		return s, c.badPart("a further part has a context of %d bytes", s.context)
	case int64(s.part)+s.left != left:
		return s, c.badPart("%d bytes of the body were to follow, and the next part announces %d", left, int64(s.part)+s.left)
	}
	return s, nil
}

// getPart copies a part out of the response half: what the worker does to it later
// changes nothing. Then the worker learns, if it asked, that the half is free.
func (c *Channel) getPart(dst []byte, s sharedHead) error {
	if s.part > 0 {
		if !c.shared.hold() {
			return c.t.ioError("receive from", os.ErrClosed)
		}
		copy(dst, c.shared.response(s.part))
		c.shared.release()
	}
	if s.Stream&goridge.PingBit == 0 {
		return nil
	}
	if err := c.sendStreamBit(goridge.PongBit); err != nil && !errors.Is(err, ErrWorkerGone) {
		return c.fail(err)
	}
	return nil
}
