package http

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// errTooLarge is answered with 413 and, by RoadRunner's contract, this text.
var errTooLarge = errors.New("http: request body too large")

// bodyReader reads a request's body with two guards: max_request_size, and the
// time that the client may pause.
type bodyReader struct {
	body    io.Reader
	left    int64 // bytes that may still be read
	read    int64
	overrun bool // there was more than allowed

	rw    http.ResponseWriter // sets the deadline; nil: no time limit
	pause time.Duration
	until time.Time // the deadline that is set, zero for none
}

func (b *bodyReader) Read(p []byte) (int, error) {
	b.renew()
	// One byte more than allowed shows that there is more.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	b.read += int64(n)
	if int64(n) > b.left {
		n, b.left, b.overrun = int(b.left), 0, true
		return n, errTooLarge
	}
	b.left -= int64(n)
	if err == io.EOF {
		b.done()
	}
	return n, err
}

// renew moves the read deadline ahead when less than half of the pause is left,
// so that a fast body costs one call, not one per read.
func (b *bodyReader) renew() {
	if b.rw == nil || b.pause <= 0 {
		return
	}
	if now := time.Now(); b.until.Sub(now) < b.pause/2 {
		b.until = now.Add(b.pause)
		if http.NewResponseController(b.rw).SetReadDeadline(b.until) != nil {
			b.rw = nil // a writer without deadlines
		}
	}
}

// done removes the deadline: net/http goes on reading to notice a disconnect.
// After an error it stays, because net/http reads what is left of the body.
func (b *bodyReader) done() {
	if b.rw != nil && !b.until.IsZero() {
		b.until = time.Time{}
		_ = http.NewResponseController(b.rw).SetReadDeadline(b.until)
	}
}

const (
	firstBody = 4 << 10
	// trustedBody is how much memory a Content-Length is believed before the
	// bytes arrive. Beyond it, memory grows with what was received.
	trustedBody = 1 << 20
)

// readAll appends the whole body to dst. length is the Content-Length or -1.
func (b *bodyReader) readAll(dst []byte, length int64) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = growBody(dst, length)
		}
		n, err := b.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

func growBody(dst []byte, length int64) []byte {
	size := 2 * cap(dst)
	if length >= 0 {
		// One byte more than the length, for the read that meets the end.
		size = int(min(length+1, max(trustedBody, 8*int64(len(dst)))))
	}
	grown := append(newBody(max(size, cap(dst)+firstBody)), dst...)
	freeBody(dst)
	return grown
}

// discard reads at most max bytes of a body that is refused, so that a client
// that sends before it listens sees the answer instead of a reset.
func (b *bodyReader) discard(max int64) {
	_, _ = io.CopyN(io.Discard, b, max)
}
