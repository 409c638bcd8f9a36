package ipc

import "errors"

// Message is one frame from a worker. Context and Body point into a pooled
// buffer and are valid until Release.
type Message struct {
	// Flags is byte 1 of the frame: the codec of Context as the worker's
	// package set it (goridge.CodecProto, CodecJSON, ...; older packages: 0).
	Flags byte
	// Stream is set if more frames of the same answer follow.
	Stream  bool
	Context []byte
	Body    []byte

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
