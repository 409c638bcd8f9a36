package http

import (
	"maps"
	"net/http"
)

// sendHint sends an informational response (1xx) with the fields of the answer
// and nothing else: they do not stay for the final response, and the fields
// that middleware has set for that are not sent early. 101 would hand the
// connection over and is dropped, as are hints to HTTP/1.0, which has none.
func (a *answer) sendHint(w http.ResponseWriter, r *http.Request, status int) {
	if status == http.StatusSwitchingProtocols || !r.ProtoAtLeast(1, 1) {
		return
	}
	h := w.Header()
	final := maps.Clone(h)
	clear(h)
	a.takeTrailers()
	a.addTo(h, nil)
	w.WriteHeader(status)
	clear(h)
	maps.Copy(h, final)
}
