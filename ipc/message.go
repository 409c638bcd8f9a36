package ipc

import (
	"errors"
	"fmt"
	"io"
)

// Message is one frame from a worker. Context and Body point into a pooled
// buffer and are valid until Release.
type Message struct {
	// Flags is byte 1 of the frame: the codec of Context as the worker's
	// package set it (goridge.CodecProto, CodecJSON, ...; older packages: 0).
	Flags byte
	// Stream is set if more messages of the same answer follow.
	Stream  bool
	Context []byte
	Body    []byte
	// Left is how many bytes of this frame's body come with the next messages,
	// which have no context. Only a payload with Parts gets frames so.
	Left int64
	// Last is set if this frame is the last one of the answer: the body that is
	// known, Body and Left, is the rest of the answer's.
	Last bool

	buf *buffer
}

// Release gives the buffer back; Context and Body become nil. It is idempotent.
func (m *Message) Release() {
	if m == nil || m.buf == nil {
		return
	}
	b := m.buf
	m.buf, m.Context, m.Body = nil, nil, nil
	b.free()
}

// Size is the memory that the message holds, in bytes.
func (m *Message) Size() int {
	if m.buf == nil {
		return len(m.Context) + len(m.Body)
	}
	return len(m.buf.b)
}

// ReadBody makes n bytes of f from at on the body of m, which holds no buffer.
func (m *Message) ReadBody(f io.ReaderAt, at int64, n int) error {
	m.buf = newBuffer(n)
	if _, err := f.ReadAt(m.buf.b[:n], at); err != nil {
		return fmt.Errorf("cannot read a spooled answer: %w", err)
	}
	m.Body = m.buf.b[:n:n]
	return nil
}

// Move takes the message out of m, which then holds none.
func (m *Message) Move() Message {
	moved := *m
	m.buf, m.Context, m.Body = nil, nil, nil
	return moved
}

// ErrWorkerStop is returned by Recv when the worker, instead of answering,
// asked to be stopped: a result with the context {"stop":true} and no body.
// The payload was not processed and may be given to another worker.
var ErrWorkerStop = errors.New("the worker asked to be stopped")

// ErrWorkerGone is returned by Send, SendStop and CancelStream when the worker
// has closed its end of the channel, as a rule because it has died.
var ErrWorkerGone = errors.New("the worker has closed its channel")

// ErrTooLarge is returned by Send for a payload that a frame cannot describe:
// context and body together are longer than 4 GiB - 1 byte.
var ErrTooLarge = errors.New("payload is larger than 4 GiB")

const stopOrder = `{"stop":true}`
