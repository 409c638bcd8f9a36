package http

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rr-systemd/rrd/ipc"
)

// handler is the innermost handler: it gives every request to a worker and
// writes the worker's answer.
type handler struct {
	cfg      Config
	router   atomic.Pointer[router]
	log      *slog.Logger
	debug    bool
	proto    bool // codec of the request context
	uploads  uploadRules
	budget   *budget // of bodies in memory
	ids      *requestIDs
	pool     sync.Pool // *exchange
	draining *atomic.Bool
	refused  sampler // records of overload
}

func newHandler(o *Options, draining *atomic.Bool) *handler {
	h := &handler{
		cfg: o.Config, log: o.Log, debug: o.Debug,
		proto:    o.Config.Codec == CodecProto,
		uploads:  newUploadRules(o.Config.Uploads),
		budget:   newBudget(o.Config.Buffers.Memory),
		ids:      newRequestIDs(),
		draining: draining,
	}
	h.router.Store(newRouter(&o.Config, o.Pool, o.Pools, o.Log))
	h.pool.New = func() any { return new(exchange) }
	return h
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := h.pool.Get().(*exchange)
	e.start = time.Now()
	e.id = h.ids.of(r)
	e.route = h.router.Load().of(r)
	e.span = beginSpan(r, e.id)
	defer h.end(e, r) // also when the answer is aborted by a panic

	if isWebSocket(r) {
		h.refuseWebSocket(e, w)
		return
	}
	if err := h.build(e, w, r); err != nil {
		h.refuse(e, w, r, err)
		return
	}
	if e.uploading && r.ProtoMajor == 1 {
		watched, stop := watchClient(r)
		defer stop()
		r = watched
	}
	stream, err := h.run(e, w, r)
	e.dropRequest(h.budget)
	switch {
	case e.uploading && e.reader.broken() != nil:
		if err == nil {
			stream.Close()
		}
		h.refuse(e, w, r, badBody(e.reader.broken(), rawBody))
	case err != nil:
		e.noteUnread(r)
		h.fail(e, w, r, err)
	default:
		h.respond(e, w, r, stream)
	}
}

// run gives the payload to a worker, and once to another one when that is
// allowed and does no harm: nothing of an answer is there yet.
func (h *handler) run(e *exchange, w http.ResponseWriter, r *http.Request) (ipc.Stream, error) {
	if e.uploading && r.ProtoMajor == 1 {
		// Else net/http reads the body to its end before the first byte of the answer.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	stream, err := e.exec(r)
	switch {
	case err == nil:
		return stream, nil
	case errors.Is(err, ipc.ErrNoUpload): // its workers were replaced by others this moment
		e.wholeOnly = true
		if err := h.build(e, w, r); err != nil {
			return nil, err
		}
	case e.route.retry && idempotent(r.Method) && !e.uploading && errors.Is(err, ipc.ErrWorkerFailed) && r.Context().Err() == nil:
		e.route.log.LogAttrs(r.Context(), levelWarn, "the worker failed, another one gets the request", requestID(e), attrError(err))
	default:
		return nil, err
	}
	return e.exec(r)
}

// exec gives the payload to the pool.
func (e *exchange) exec(r *http.Request) (ipc.Stream, error) {
	if e.span != nil {
		return e.span.exec(r.Context(), e.route.exec, &e.payload)
	}
	return e.route.exec.Exec(r.Context(), &e.payload)
}

// idempotent tells whether a request may be carried out twice (RFC 9110, 9.2.2).
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// end logs the request, removes its files and keeps its buffers.
func (h *handler) end(e *exchange, r *http.Request) {
	h.logRequest(e, r)
	e.dropRequest(h.budget)
	if e.span != nil {
		e.span.end()
	}
	e.reset()
	h.pool.Put(e)
}

// closeAfter ends the connection with this answer if the server stops, so that the
// client goes elsewhere with its next request (HTTP/2 turns that into GOAWAY), or
// if the body has not been read to its end.
func (h *handler) closeAfter(e *exchange, header http.Header) {
	if h.draining.Load() || e.unread {
		header["Connection"] = []string{"close"}
	}
}
