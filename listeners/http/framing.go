package http

import "net/http"

// guardFraming does what RFC 9112 demands of a server and net/http leaves out.
//
// A chunked request that also had a Content-Length may be an attack by way of a
// proxy that believed the length: what follows the last chunk would be served as
// a request of its own. Such a connection has to be closed (section 6.1). net/http
// drops the length before anybody sees it, so all chunked requests are the last
// of their connection; clients and proxies know most lengths and seldom send them.
//
// PRI is the method of the preface of HTTP/2 and no request (RFC 9113, 3.4), which
// net/http lets through in the middle of a connection.
func guardFraming(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PRI" {
			w.Header()["Connection"] = []string{"close"}
			http.Error(w, "bad request: the preface of HTTP/2 is no request", http.StatusBadRequest)
			return
		}
		if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
			w.Header()["Connection"] = []string{"close"}
		}
		next.ServeHTTP(w, r)
	})
}
