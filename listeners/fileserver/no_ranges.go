package fileserver

import (
	"io"
	"net/http"
)

// noRanges does not tell that ranges are possible.
type noRanges struct{ http.ResponseWriter }

// Unwrap serves http.ResponseController.
func (w *noRanges) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ReadFrom keeps sendfile(2) available.
func (w *noRanges) ReadFrom(r io.Reader) (int64, error) { return io.Copy(w.ResponseWriter, r) }

// WriteHeader implements http.ResponseWriter.
func (w *noRanges) WriteHeader(status int) {
	delete(w.Header(), "Accept-Ranges")
	w.ResponseWriter.WriteHeader(status)
}
