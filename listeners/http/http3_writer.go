package http

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http/httpguts"
)

// http3Writer does for HTTP/3 what net/http does for HTTP/1 and 2: what is no
// valid field is left out, and so are those that speak of a connection, which
// make a response malformed (RFC 9114, 4.2).
type http3Writer struct {
	http.ResponseWriter
	clean bool
}

// Unwrap is for http.ResponseController.
func (w *http3Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *http3Writer) WriteHeader(status int) {
	w.purge()
	w.clean = status >= 200
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *http3Writer) Write(p []byte) (int, error) {
	if !w.clean {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// FlushError is what http.ResponseController calls.
func (w *http3Writer) FlushError() error {
	if !w.clean {
		w.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements http.Flusher.
func (w *http3Writer) Flush() { _ = w.FlushError() }

func (w *http3Writer) purge() {
	header := w.Header()
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"} {
		delete(header, name)
	}
	for name, values := range header {
		for i, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				values[i] = strings.Map(printable, v)
			}
		}
		// The prefix of trailers has a colon.
		if !isToken(name) && !strings.HasPrefix(name, http.TrailerPrefix) {
			delete(header, name)
		}
	}
}

// printable puts a space for what cannot be in a field's value.
func printable(r rune) rune {
	if r < ' ' && r != '\t' || r == 0x7f {
		return ' '
	}
	return r
}

// http3Body turns the reset of a stream by the client into what the other
// protocols say.
type http3Body struct{ io.ReadCloser }

func (b *http3Body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if e, ok := errors.AsType[*http3.Error](err); ok && e.Remote {
		err = context.Canceled
	}
	return n, err
}
