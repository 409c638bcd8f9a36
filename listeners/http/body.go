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
	overrun bool  // there was more than allowed
	ended   bool  // nothing is left
	failure error // why the rest cannot be read, unless overrun tells it

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
	switch {
	case err == io.EOF:
		b.ended = true
		b.done()
	case err != nil:
		b.failure = err
	}
	return n, err
}

// broken tells why the client's body is no good, nil while it is.
func (b *bodyReader) broken() error {
	if b.overrun {
		return errTooLarge
	}
	return b.failure
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

// readAll appends the whole body to dst as long as it fits into most bytes and
// into the budget (nil: without one); else it returns errSpool with what has been read. length is the
// Content-Length or -1. What the budget gave is in e.reserved.
func (e *exchange) readAll(dst []byte, length, most int64, budget *budget) ([]byte, error) {
	b := &e.reader
	if length > most {
		return dst, errSpool
	}
	for {
		if len(dst) == cap(dst) {
			size := growth(dst, length)
			switch {
			case int64(len(dst)) >= most:
				return dst, errSpool
			case budget != nil && size > keptBuffer && !e.reserve(int64(size), budget):
				return dst, errSpool
			}
			dst = growBody(dst, size)
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

// errSpool says that a body has to go to disk.
var errSpool = errors.New("the body does not fit into the memory for it")

// reserve raises what the exchange has of the budget to n bytes.
func (e *exchange) reserve(n int64, b *budget) bool {
	if n <= e.reserved || b.take(n-e.reserved) {
		e.reserved = max(n, e.reserved)
		return true
	}
	return false
}

// growth is the size of the next buffer for a body.
func growth(dst []byte, length int64) int {
	size := 2 * cap(dst)
	if length >= 0 {
		// One byte more than the length, for the read that meets the end.
		size = int(min(length+1, max(trustedBody, 8*int64(len(dst)))))
	}
	return max(size, cap(dst)+firstBody)
}

func growBody(dst []byte, size int) []byte {
	grown := append(newBody(size), dst...)
	freeBody(dst)
	return grown
}

// skip reads what is left of a body that nobody wants. net/http would do it
// before the first byte of the answer, without a time limit and with a worker
// held meanwhile.
func (b *bodyReader) skip() error {
	_, err := io.Copy(io.Discard, b)
	return err
}

const (
	// What is read of a body that is refused: no more than this in all, and
	// before the answer only if the client does not pause.
	refusedSize  = 1<<20 + 256<<10
	refusedTime  = time.Second
	refusedPause = 100 * time.Millisecond
)

// catchUp reads the rest of a body that is refused, whose Content-Length is
// length (or -1), if it is small and arrives without a pause: then the
// connection can be kept.
func (b *bodyReader) catchUp(length int64) bool {
	if length-b.read > refusedSize || b.rw == nil {
		return false
	}
	c := http.NewResponseController(b.rw)
	end := time.Now().Add(refusedTime)
	buf := make([]byte, firstBody)
	for left := refusedSize; left > 0; {
		now := time.Now()
		if now.After(end) || c.SetReadDeadline(now.Add(refusedPause)) != nil {
			return false
		}
		n, err := b.body.Read(buf)
		left -= n
		b.read += int64(n)
		if err == io.EOF {
			b.ended = true
			return c.SetReadDeadline(time.Time{}) == nil
		}
		if err != nil {
			return false
		}
	}
	return false
}

// linger sends an answer that came before the end of the request's body, and
// then reads on a little: a client that sends before it listens sees the answer
// instead of a reset. The connection is closed afterwards. One that asked with
// "Expect: 100-continue" listens.
func linger(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	if c.Flush() != nil || expects(r) || c.SetReadDeadline(time.Now().Add(refusedTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, r.Body, refusedSize)
}

// expects tells whether the client sends its body only when it is told to, which
// net/http does at the first read.
func expects(r *http.Request) bool { return r.Header.Get("Expect") != "" }
