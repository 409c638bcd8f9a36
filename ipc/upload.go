package ipc

import (
	"errors"
	"fmt"
	"io"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// maxUploadPart is the most of a body that one frame carries, in bytes.
const maxUploadPart = 256 << 10

// answerQuestion answers a frame with which the worker asks for a part of the body.
func (c *Channel) answerQuestion(h goridge.Header) error {
	if c.shared != nil && h.Stream&goridge.SharedBit != 0 {
		return c.answerShared(h)
	}
	return c.uploadPart(h)
}

// uploadPart answers the worker's question for the next part of the body, whose
// frame is in.b[r:r+size].
func (c *Channel) uploadPart(h goridge.Header) error {
	if h.Options != 1 || h.Length != 0 || h.Flags != 0 || c.upload == nil {
		return c.fail(&ProtocolError{Reason: "unexpected question for the body", Received: keep(c.in.b[c.r:c.w]),
			hint: "the worker asked for more of a body that it did not get in parts, or with a frame that does not say how much"})
	}
	if err := c.need(h.Size()); err != nil {
		return err
	}
	most := min(goridge.Option(c.in.b[c.r:], 0), maxUploadPart)
	c.consume(h.Size())
	if most == 0 {
		most = maxUploadPart
	}
	buf := newBuffer(int(most))
	defer buf.free()
	n, bits := c.readUpload(buf.b[:most])
	head := goridge.AppendHeader(c.head[:0], 0, bits, uint32(n), 0)
	return c.reply(head, buf.b[:n])
}

// reply writes the answer to a question. What became of a worker that is gone is told
// by the next read.
func (c *Channel) reply(head, part []byte) error {
	if err := c.t.write(head, part, nil); err != nil && !errors.Is(err, ErrWorkerGone) {
		return err
	}
	return nil
}

// readUpload waits for what comes next of the upload and returns how many bytes it
// put into p, and the stream byte that tells what they are.
func (c *Channel) readUpload(p []byte) (n int, bits byte) {
	var err error
	for n == 0 && err == nil {
		n, err = c.upload.Read(p)
	}
	if n > 0 { // an error comes again
		return n, goridge.BodyBit | goridge.StreamBit
	}
	c.upload = ended{err}
	if err == io.EOF {
		return 0, goridge.BodyBit
	}
	return 0, goridge.BodyBit | goridge.StopBit
}

// DropUpload forgets Payload.Upload: the worker that asks for more of it learns
// that the rest will not come. The caller may use the reader for something else
// then. It must not run beside Recv.
func (c *Channel) DropUpload() { c.upload = ended{errDropped} }

var errDropped = errors.New("nobody reads the body any more")

// ended is an upload that is over.
type ended struct{ err error }

func (e ended) Read([]byte) (int, error) { return 0, e.err }

// sendFile writes the body of a frame whose header has been written.
func (c *Channel) sendFile(p *Payload) error {
	buf := newBuffer(maxUploadPart)
	defer buf.free()
	for at := int64(0); at < p.FileSize; {
		part := buf.b[:min(int64(maxUploadPart), p.FileSize-at)]
		n, err := p.File.ReadAt(part, at)
		if n < len(part) {
			err = fmt.Errorf("cannot read the body for the worker: %w", err)
		} else {
			err = c.t.write(part, nil, nil)
		}
		if err != nil {
			c.t.torn = err // a part of the frame was written
			return err
		}
		at += int64(n)
	}
	return nil
}
