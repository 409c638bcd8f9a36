package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rr-systemd/rrd/ipc"
)

const (
	// bufferedByServer is up to where net/http buffers a body that was written
	// without a flush, and computes its length by itself.
	bufferedByServer = 2048
	// writePiece is written under one deadline.
	writePiece = 1 << 20
)

// respond writes a worker's answer. Until the first byte is out, a failure is
// answered with the internal code; after it, the connection (HTTP/1) or the
// stream (HTTP/2) is aborted, because an ordinary end would present what was
// sent as the whole.
//
// A worker that sends more than one message is read by a backlog, so that a slow
// client does not hold it.
func (h *handler) respond(e *exchange, w http.ResponseWriter, r *http.Request, stream ipc.Stream) {
	msg, err := stream.Next()
	e.noteUnread(r)
	if err != nil || !msg.Stream {
		defer stream.Close()
		h.answer(e, w, r, msg, err)
		return
	}
	first := msg.Move()
	defer first.Release()
	b := newBacklog(h, stream)
	unwatch := context.AfterFunc(r.Context(), stream.Cancel)
	defer func() {
		unwatch()
		if e.uploading && !b.over() {
			// The worker may wait for more of a body that nobody sends any more.
			_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
		}
		b.stop()
	}()
	for msg, err = &first, nil; h.answer(e, w, r, msg, err); {
		msg, err = b.next()
	}
}

// answer handles one message and reports whether the next one is wanted.
func (h *handler) answer(e *exchange, w http.ResponseWriter, r *http.Request, msg *ipc.Message, err error) bool {
	if err == io.EOF {
		h.finish(e, w, r, nil) // a stream that ended with an empty frame
		return false
	}
	if err == nil {
		err = e.answer.decode(msg)
	}
	if err != nil {
		h.fail(e, w, r, err)
		return false
	}
	if e.status == 0 && !h.begin(e, w, r, msg) {
		return false
	} else if e.sent && len(msg.Context) > 0 {
		setTrailers(w.Header(), e.answer.takeTrailers())
	}
	if !msg.Stream {
		h.finish(e, w, r, msg.Body)
		return false
	}
	if e.status == 0 || len(msg.Body) == 0 {
		return true // the status line waits for the first byte: it could still fail
	}
	return h.writePart(e, w, r, msg)
}

// begin handles a message before the final status is known. It returns false
// when the exchange is over.
func (h *handler) begin(e *exchange, w http.ResponseWriter, r *http.Request, msg *ipc.Message) bool {
	a := &e.answer
	if len(msg.Context) == 0 {
		if len(msg.Body) > 0 || !msg.Stream {
			e.status = http.StatusOK
		}
		return true
	}
	switch {
	case a.status >= 100 && a.status <= 199 && msg.Stream:
		h.extendWrite(w)
		a.sendHint(w, r, int(a.status))
		msg.Body = nil // PHP's package refuses a body here; one from elsewhere has no place
		return true
	case a.status < 200 || a.status > 599:
		h.badStatus(e, w, r)
		return false
	}
	e.status = int(a.status)
	trailers := a.takeTrailers()
	e.applied = a.addTo(w.Header(), e.applied[:0])
	setTrailers(w.Header(), trailers)
	return true
}

// badStatus answers a status that cannot be sent, an informational one as the
// last included. The code is 500 whatever internal_error_code says, and the
// worker's other fields stay, both as in RoadRunner.
func (h *handler) badStatus(e *exchange, w http.ResponseWriter, r *http.Request) {
	text := fmt.Sprintf("unknown status code from worker: %d", e.answer.status)
	h.logFailure(e, r, errors.New(text))
	e.answer.takeTrailers()
	e.applied = e.answer.addTo(w.Header(), e.applied[:0])
	e.status, e.sent = http.StatusInternalServerError, true
	h.writeText(e, w, e.status, text)
}

// finish writes the last part of the body: the only one, as a rule.
func (h *handler) finish(e *exchange, w http.ResponseWriter, r *http.Request, body []byte) {
	if e.status == 0 {
		e.status = http.StatusOK // hints only, then nothing
	}
	if e.sent {
		if len(body) > 0 {
			h.writePart(e, w, r, &ipc.Message{Body: body})
		}
		return
	}
	if !bodyAllowed(e.status) {
		body = nil
	}
	h.measure(e, w, r, int64(len(body)))
	h.writeHeader(e, w)
	if !h.write(e, w, r, body) {
		return
	}
	// RoadRunner flushes every body. It shows where net/http would add a
	// Content-Length: HTTP/1.0 gets a body that ends with the connection, and
	// HEAD no length.
	if len(body) > 0 && (r.Method == http.MethodHead || !r.ProtoAtLeast(1, 1)) {
		_ = http.NewResponseController(w).Flush()
	}
}

// measure sets the Content-Length of a body that is known as a whole, which
// saves the chunked framing. A shorter one from the worker (characters counted
// instead of bytes) is corrected. A longer one stays: the client sees that the
// rest is missing.
func (h *handler) measure(e *exchange, w http.ResponseWriter, r *http.Request, length int64) {
	header := w.Header()
	if r.Method == http.MethodHead || len(header["Transfer-Encoding"]) > 0 || !bodyAllowed(e.status) {
		return
	}
	if given := header["Content-Length"]; len(given) > 0 {
		n, err := strconv.ParseInt(given[0], 10, 64)
		if err != nil || n < 0 || n >= length {
			return
		}
		e.route.log.LogAttrs(r.Context(), levelWarn, "the worker's Content-Length is too short, corrected",
			requestID(e), attrInt("content_length", n), attrInt("length", length))
		header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
		return
	}
	if length >= bufferedByServer && r.ProtoAtLeast(1, 1) && !hasTrailers(header) {
		header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
}

func hasTrailers(h http.Header) bool {
	if len(h["Trailer"]) > 0 {
		return true
	}
	for name := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// writePart writes and flushes a part of a stream. It returns false when
// nothing more is to be written.
//
// Of a long frame only the last part is flushed.
func (h *handler) writePart(e *exchange, w http.ResponseWriter, r *http.Request, msg *ipc.Message) bool {
	allowed := bodyAllowed(e.status)
	if !e.sent {
		if msg.Last {
			h.measure(e, w, r, int64(len(msg.Body))+msg.Left)
		}
		h.writeHeader(e, w)
	}
	if allowed && !h.write(e, w, r, msg.Body) {
		return false
	}
	if allowed && msg.Left > 0 && r.Method != http.MethodHead {
		return true
	}
	if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		h.writeFailed(e, r, err)
		return false
	}
	// Nobody would see the rest; to close the stream stops the worker.
	return allowed && r.Method != http.MethodHead
}

func (h *handler) writeHeader(e *exchange, w http.ResponseWriter) {
	h.closeAfter(e, w.Header())
	h.extendWrite(w)
	w.WriteHeader(e.status)
	e.sent = true
}

// write writes body in pieces, each under a deadline of its own, so that a slow
// client is not cut off while it reads.
func (h *handler) write(e *exchange, w http.ResponseWriter, r *http.Request, body []byte) bool {
	for len(body) > 0 {
		piece := body[:min(len(body), writePiece)]
		if e.written > 0 {
			h.extendWrite(w)
		}
		n, err := w.Write(piece)
		e.written += int64(n)
		if err != nil {
			h.writeFailed(e, r, err)
			return false
		}
		body = body[len(piece):]
	}
	return true
}

func (h *handler) extendWrite(w http.ResponseWriter) {
	if d := h.cfg.Timeouts.Write; d > 0 {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
	}
}

// writeFailed handles a write that failed: as a rule the client is gone. A body
// longer than the Content-Length that the worker announced is the worker's
// fault, and must not look complete.
func (h *handler) writeFailed(e *exchange, r *http.Request, err error) {
	level := levelDebug
	if errors.Is(err, http.ErrContentLength) {
		level = levelError
	}
	e.route.log.LogAttrs(r.Context(), level, "write response (chunk) error", requestID(e), attrError(err))
	if errors.Is(err, http.ErrContentLength) {
		panic(http.ErrAbortHandler)
	}
}

// bodyAllowed tells whether a final status has a body at all.
func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}
