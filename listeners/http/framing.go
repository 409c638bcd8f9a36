package http

import "net/http"

// guardFraming refuses PRI, the method of the preface of HTTP/2, which is no
// request (RFC 9113, 3.4) and which net/http lets through in the middle of a
// connection.
//
// It does not close the connection after a request with both a Content-Length and
// chunks, as RFC 9112, 6.1 wants: net/http drops the length before anybody sees it,
// and to close after every chunked request would cost those a connection each that
// RoadRunner keeps.
func guardFraming(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PRI" {
			w.Header()["Connection"] = []string{"close"}
			http.Error(w, "bad request: the preface of HTTP/2 is no request", http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
