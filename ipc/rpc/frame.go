package rpc

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

const (
	// DefaultMaxPayload bounds a frame's payload, in bytes, where the user
	// gives no limit. The format itself allows 4 GiB.
	DefaultMaxPayload = 256 << 20
	// maxMethod bounds a method name, which error answers repeat.
	maxMethod = 4 << 10
	// headSize is the size of a header with the two options of a call.
	headSize = 20
	// chunk is how much memory a frame gets on its announcement alone; more
	// is taken as the bytes arrive.
	chunk = 64 << 10
	// maxPooled is the largest buffer that is kept for the next frame.
	maxPooled = 1 << 20
)

// Frame is one call or answer as received.
type Frame struct {
	Flags byte
	Seq   uint32
	// Method and Body are valid until Release.
	Method, Body []byte

	buf *[]byte
}

// Release gives the frame's memory back. It is idempotent.
func (f *Frame) Release() {
	if f.buf != nil {
		PutBuffer(f.buf)
		*f = Frame{}
	}
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// GetBuffer returns an empty buffer for a frame.
func GetBuffer() *[]byte {
	b := buffers.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

// PutBuffer keeps b for a later frame.
func PutBuffer(b *[]byte) {
	if cap(*b) <= maxPooled {
		buffers.Put(b)
	}
}

// Reader reads the frames of one connection. The peer is not trusted: a frame
// that is not well-formed ends the connection.
type Reader struct {
	br         *bufio.Reader
	maxPayload uint32
}

// NewReader returns a Reader that refuses payloads of more than maxPayload
// bytes; 0 means DefaultMaxPayload.
func NewReader(r io.Reader, maxPayload int) *Reader {
	if maxPayload <= 0 {
		maxPayload = DefaultMaxPayload
	}
	return &Reader{bufio.NewReader(r), uint32(min(maxPayload, math.MaxUint32))}
}

// Next reads one frame. The error is io.EOF only at the end of a frame; after
// any error the connection is of no more use, since the start of the next frame
// is unknown.
func (r *Reader) Next() (Frame, error) {
	head, err := r.br.Peek(goridge.HeaderSize)
	if err != nil {
		if err == io.EOF && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	h, err := goridge.ParseHeader(head)
	if err != nil {
		return Frame{}, fmt.Errorf("cannot read the frame's header: %w", err)
	}
	if n := h.Options; n != 2 {
		return Frame{}, fmt.Errorf("frame with %d options: an RPC frame has 2, the sequence number and the length of the method name", n)
	}
	if h.Length > r.maxPayload {
		return Frame{}, fmt.Errorf("frame of %d bytes: the limit is %d", h.Length, r.maxPayload)
	}
	head, err = r.br.Peek(headSize)
	if err != nil {
		return Frame{}, unexpected(err)
	}
	seq, methodLen := goridge.Option(head, 0), goridge.Option(head, 1)
	if methodLen > h.Length || methodLen > maxMethod {
		return Frame{}, fmt.Errorf("method name of %d bytes in a payload of %d; the longest allowed has %d", methodLen, h.Length, maxMethod)
	}
	flags := h.Flags
	_, _ = r.br.Discard(headSize) // peeked before

	buf := GetBuffer()
	if err := r.payload(buf, int(h.Length)); err != nil {
		PutBuffer(buf)
		return Frame{}, unexpected(err)
	}
	return Frame{Flags: flags, Seq: seq, Method: (*buf)[:methodLen], Body: (*buf)[methodLen:], buf: buf}, nil
}

// payload reads n bytes. A peer that announces much and sends nothing costs
// one chunk.
func (r *Reader) payload(buf *[]byte, n int) error {
	b := *buf
	for len(b) < n {
		have := len(b)
		step := min(n-have, max(chunk, have))
		if cap(b) < have+step {
			grown := make([]byte, have, have+step)
			copy(grown, b)
			b = grown
		}
		b = b[:have+step]
		*buf = b
		if _, err := io.ReadFull(r.br, b[have:]); err != nil {
			return err
		}
	}
	return nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// AppendCall starts a frame: room for the header, then the method name. The
// caller appends the body and calls Seal.
func AppendCall(dst []byte, method string) []byte {
	var head [headSize]byte
	dst = append(dst, head[:]...)
	return append(dst, method...)
}

// Seal fills in the header of a frame that AppendCall began.
func Seal(frame []byte, flags byte, seq uint32, methodLen int) error {
	n := uint64(len(frame) - headSize)
	if n > math.MaxUint32 {
		return fmt.Errorf("cannot send %d bytes: a frame holds at most 4 GiB", n)
	}
	goridge.AppendHeader(frame[:0], flags, 0, uint32(n), seq, uint32(methodLen))
	return nil
}
