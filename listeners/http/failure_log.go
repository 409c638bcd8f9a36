package http

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// logFailure writes the one record of a request that failed in a worker, under
// RoadRunner's message. Overload is a warning, and only a few of the requests
// that it costs get a record: they say nothing new, and there are thousands.
func (h *handler) logFailure(e *exchange, r *http.Request, err error) {
	level := levelError
	var more []slog.Attr
	switch {
	case clientGone(r, err):
		level = levelDebug
	case overloaded(err):
		level = levelWarn
		leftOut, ok := h.refused.next(time.Now())
		if !ok {
			return
		}
		if leftOut > 0 {
			more = []slog.Attr{slog.Uint64("left_out", leftOut)}
		}
	}
	attrs := append([]slog.Attr{attrStart(e.start), attrElapsed(time.Since(e.start)), attrError(err), requestID(e)}, more...)
	e.route.log.LogAttrs(r.Context(), level, "execute", attrs...)
}

// recordsPerSecond of requests that are refused under overload.
const recordsPerSecond = 3

// sampler lets a few records a second through and counts the others. The count
// comes with the next record.
type sampler struct {
	mu      sync.Mutex
	second  int64
	records int
	leftOut uint64
}

// next tells whether a record is written now, and how many were not since the
// last one.
func (s *sampler) next(now time.Time) (leftOut uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if second := now.Unix(); second != s.second {
		s.second, s.records = second, 0
	}
	if s.records == recordsPerSecond {
		s.leftOut++
		return 0, false
	}
	s.records++
	leftOut, s.leftOut = s.leftOut, 0
	return leftOut, true
}
