package ipc

import (
	"errors"
	"io"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

const (
	// readSize is the size of the buffer for the first read of a frame, in
	// bytes. A frame that fits needs one read.
	readSize = 64 << 10
	// trustSize and trustFactor bound the memory that an announced length
	// gets: at most trustSize, or trustFactor times what has arrived. So a
	// worker that announces 4 GiB and sends nothing gets 1 MiB at most, and no
	// more than a fifteenth of a large body is copied while its buffer grows.
	trustSize   = 1 << 20
	trustFactor = 16
)

// header waits for a header. It is not consumed.
func (c *Channel) header() (goridge.Header, error) {
	if c.broken != nil {
		return goridge.Header{}, c.broken
	}
	if c.slots != nil {
		if err := c.skipWakes(); err != nil {
			return goridge.Header{}, err
		}
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
		if err := c.more(); err != nil {
			return err
		}
	}
	return nil
}

// more waits for at least one more byte.
func (c *Channel) more() error {
	if c.broken != nil {
		return c.broken
	}
	got, err := c.t.read()
	if err == nil {
		c.w += got
		return nil
	}
	if err != io.EOF {
		return err
	}
	switch {
	case c.rest.left > 0:
		return c.fail(io.ErrUnexpectedEOF)
	case c.w == c.r:
		return c.fail(io.EOF)
	case c.w-c.r < goridge.HeaderSize && looksLikeText(c.in.b[c.r:c.w]):
		return c.garbage(io.ErrUnexpectedEOF)
	}
	return c.fail(io.ErrUnexpectedEOF)
}

// glance takes what has arrived, as far as there is room for it, without a wait: what
// a worker printed is told also when the deadline came before it was read.
func (c *Channel) glance() {
	if c.broken != nil {
		return
	}
	c.want = goridge.HeaderSize
	if n, err := c.t.readLast(); err == nil {
		c.w += n
	}
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
