package http

import (
	"io"
	"net/http"
)

// statusWriter notes what an answer comes to, for metrics and logs.
type statusWriter struct {
	http.ResponseWriter
	status int   // final, 0 until it is written
	bytes  int64 // of the body
}

func newStatusWriter(w http.ResponseWriter) *statusWriter { return &statusWriter{ResponseWriter: w} }

// final is the status that the client got.
func (w *statusWriter) final() int {
	if w.status == 0 {
		return http.StatusOK // net/http's, for a handler that writes nothing
	}
	return w.status
}

// Unwrap serves http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter. Informational responses come
// before the final status.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom keeps sendfile(2) available.
func (w *statusWriter) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.bytes += n
	return n, err
}
