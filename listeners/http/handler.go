package http

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
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
	defer h.end(e, r) // also when the answer is aborted by a panic

	if err := h.build(e, w, r); err != nil {
		h.refuse(e, w, r, err)
		return
	}
	stream, err := e.route.exec.Exec(r.Context(), &e.payload)
	e.dropRequest()
	if err != nil {
		h.fail(e, w, r, err)
		return
	}
	defer stream.Close()
	h.respond(e, w, r, stream)
}

// end logs the request, removes its files and keeps its buffers.
func (h *handler) end(e *exchange, r *http.Request) {
	h.logRequest(e, r)
	e.reset()
	h.pool.Put(e)
}

// closeIfDraining asks a client of a stopping server to go elsewhere with its
// next request; HTTP/2 turns that into GOAWAY.
func (h *handler) closeIfDraining(header http.Header) {
	if h.draining.Load() {
		header["Connection"] = []string{"close"}
	}
}
