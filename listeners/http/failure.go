package http

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/rr-systemd/rrd/ipc"
)

// refuse answers a request that does not reach a worker.
func (h *handler) refuse(e *exchange, w http.ResponseWriter, r *http.Request, err error) {
	e.route.log.LogAttrs(r.Context(), levelWarn, "request forming error", requestID(e), attrError(err))
	status, text := http.StatusInternalServerError, http.StatusText(http.StatusInternalServerError)
	var refusal *refusal
	if errors.As(err, &refusal) {
		status, text = refusal.status, refusal.text
	}
	// Early is an answer before the end of the body: unless it closes the
	// connection, net/http waits for the rest first. A stream of HTTP/2 ends
	// alone.
	late := status == http.StatusRequestTimeout
	early := r.ContentLength != 0 && !e.reader.ended && r.ProtoMajor == 1 &&
		(late || expects(r) || !e.reader.catchUp(r.ContentLength))
	if early || late {
		w.Header().Set("Connection", "close")
	}
	e.status, e.sent = status, true
	h.writeText(e, w, status, text)
	if early {
		linger(w, r)
	}
}

// fail answers a request that no worker has answered properly, or aborts the
// answer if it has begun.
func (h *handler) fail(e *exchange, w http.ResponseWriter, r *http.Request, err error) {
	var refusal *refusal
	if errors.As(err, &refusal) && !e.sent {
		h.refuse(e, w, r, err)
		return
	}
	h.logFailure(e, r, err)
	if e.sent {
		panic(http.ErrAbortHandler)
	}
	header := w.Header()
	for _, name := range e.applied {
		delete(header, name)
	}
	for name := range header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			delete(header, name)
		}
	}

	e.status, e.sent = h.cfg.internalErrorCode(), true
	switch {
	case overloaded(err):
		e.status = h.cfg.overloadCode()
		header["No-Workers"] = []string{"true"}
		if e.status == http.StatusServiceUnavailable {
			header["Retry-After"] = []string{"1"}
		}
	case errors.Is(err, ipc.ErrPoolClosed):
		e.status = http.StatusServiceUnavailable
		header["Connection"] = []string{"close"}
	case clientGone(r, err):
		e.status = statusClientGone
	case h.cfg.GatewayCodes && errors.Is(err, ipc.ErrExecTTL):
		e.status = http.StatusGatewayTimeout
	case h.cfg.GatewayCodes && (errors.Is(err, ipc.ErrWorkerFailed) || errors.Is(err, errCodec)):
		e.status = http.StatusBadGateway
	}
	if h.debug {
		header["Rr-Cause"] = []string{cause(err)}
		h.writeText(e, w, e.status, err.Error())
		return
	}
	h.writeHeader(e, w)
}

// overloaded tells whether no worker was free in time.
func overloaded(err error) bool {
	return errors.Is(err, ipc.ErrNoFreeWorkers) || errors.Is(err, ipc.ErrQueueFull)
}

// clientGone tells whether the wait for a worker ended because nobody waits for
// the answer any more.
func clientGone(r *http.Request, err error) bool {
	return (errors.Is(err, context.Canceled) || errors.Is(err, ipc.ErrCanceled)) && r.Context().Err() != nil
}

// cause says in a word or two why a request failed.
func cause(err error) string {
	var worker interface{ Why() string }
	var soft *ipc.SoftError
	switch {
	case errors.As(err, &worker):
		return worker.Why()
	case errors.As(err, &soft):
		return "application error"
	case errors.Is(err, ipc.ErrQueueFull):
		return "queue full"
	case errors.Is(err, ipc.ErrNoFreeWorkers):
		return "no free worker"
	case errors.Is(err, ipc.ErrPoolClosed):
		return "stopping"
	}
	return "bad answer"
}

// writeText answers with a line of plain text that no browser takes for HTML.
func (h *handler) writeText(e *exchange, w http.ResponseWriter, status int, text string) {
	h.closeAfter(e, w.Header())
	h.extendWrite(w)
	text += "\n"
	header := w.Header()
	header["Content-Type"] = []string{"text/plain; charset=utf-8"}
	header["X-Content-Type-Options"] = []string{"nosniff"}
	header["Content-Length"] = []string{strconv.Itoa(len(text))}
	w.WriteHeader(status)
	n, _ := io.WriteString(w, text) // a client that is gone needs no answer
	e.written += int64(n)
}
