package http

import (
	"net/http"

	"golang.org/x/net/http/httpguts"
)

// isWebSocket tells whether a request asks to become a WebSocket (RFC 6455).
func isWebSocket(r *http.Request) bool {
	upgrade, ok := r.Header["Upgrade"]
	return ok && r.ProtoMajor == 1 && r.Method == http.MethodGet &&
		httpguts.HeaderValuesContainsToken(upgrade, "websocket") &&
		httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade")
}

// refuseWebSocket says plainly what a worker, which answers requests one at a
// time, cannot do. A 426 has to name a protocol that would do (RFC 9110, 15.5.22).
func (h *handler) refuseWebSocket(e *exchange, w http.ResponseWriter) {
	header := w.Header()
	header["Upgrade"] = []string{"HTTP/1.1"}
	header["Connection"] = []string{"Upgrade"}
	e.status, e.sent = http.StatusUpgradeRequired, true
	h.writeText(e, w, e.status, "WebSocket is not served here: PHP workers answer one request at a time. Use server-sent events, or a WebSocket server such as Centrifugo.")
}
