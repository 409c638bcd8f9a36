package http

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/rr-systemd/rrd/ipc"
)

// refuse answers a request that does not reach a worker.
func (h *handler) refuse(e *exchange, w http.ResponseWriter, r *http.Request, err error) {
	h.log.LogAttrs(r.Context(), levelWarn, "request forming error", requestID(e), attrError(err))
	status, text := http.StatusInternalServerError, http.StatusText(http.StatusInternalServerError)
	var refusal *refusal
	if errors.As(err, &refusal) {
		status, text = refusal.status, refusal.text
	}
	if status == http.StatusRequestTimeout {
		w.Header().Set("Connection", "close")
	}
	e.status, e.sent = status, true
	h.writeText(e, w, status, text)
}

// fail answers a request that no worker has answered properly, or aborts the
// answer if it has begun.
func (h *handler) fail(e *exchange, w http.ResponseWriter, r *http.Request, err error) {
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
	case errors.Is(err, ipc.ErrNoFreeWorkers), errors.Is(err, ipc.ErrQueueFull):
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
	}
	if h.debug {
		h.writeText(e, w, e.status, err.Error())
		return
	}
	h.writeHeader(e, w)
}

// clientGone tells whether the wait for a worker ended because nobody waits for
// the answer any more.
func clientGone(r *http.Request, err error) bool {
	return errors.Is(err, context.Canceled) && r.Context().Err() != nil
}

// writeText answers with a line of plain text that no browser takes for HTML.
func (h *handler) writeText(e *exchange, w http.ResponseWriter, status int, text string) {
	h.closeIfDraining(w.Header())
	h.extendWrite(w)
	http.Error(w, text, status)
	e.written += int64(len(text)) + 1
}
