package ipc

import "github.com/rr-systemd/rrd/ipc/goridge"

const (
	// wholeSize is the longest frame that is always one message, in bytes.
	wholeSize = 256 << 10
	// partSize is the most that one message holds of a longer one.
	partSize = 128 << 10
)

// frameRest is what is still to come of a frame that is received in parts.
type frameRest struct {
	left    int64 // bytes of its body
	header  goridge.Header
	pong    bool    // a PONG is due at its end
	shared  bool    // it comes by shared memory
	buf     *buffer // holds the first have bytes of a message that is delivered whole; nil: it is delivered in parts
	have    int
	context int // length of the context in buf
}

// firstPart delivers the context of a long frame and what has arrived of its
// body.
func (c *Channel) firstPart(m *Message, h goridge.Header, size int64, contextLen int) error {
	head := h.Size() + contextLen
	if err := c.need(head); err != nil {
		return err
	}
	c.rest = frameRest{left: size - int64(head), header: h, pong: c.streaming && h.Stream&goridge.PingBit != 0}
	have := int(min(int64(c.w-c.r), size))
	c.take(m, h.Size(), have, contextLen)
	return c.partTaken(m)
}

// nextPart delivers what arrives next.
func (c *Channel) nextPart(m *Message) error {
	if c.w == c.r {
		c.want = int(min(c.rest.left, partSize))
		if err := c.more(); err != nil {
			return err
		}
	}
	c.take(m, 0, int(min(int64(c.w-c.r), c.rest.left)), 0)
	return c.partTaken(m)
}

func (c *Channel) partTaken(m *Message) error {
	r := &c.rest
	r.left -= int64(len(m.Body))
	last := r.header.Stream&goridge.StreamBit == 0
	m.Flags, m.Left, m.Last = r.header.Flags, r.left, last
	m.Stream = !last || r.left > 0
	c.streaming = m.Stream
	if r.left == 0 && r.pong {
		return c.pong(m)
	}
	return nil
}
