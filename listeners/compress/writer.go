package compress

import (
	"io"
	"net/http"
	"strconv"
	"strings"
)

// writer decides with the header, or the first bytes of the body, whether an
// answer is compressed.
//
//	open ── WriteHeader ──► plain                      answers as they are
//	              └───────► waiting ──► plain          the body is too small
//	                           └──────► compressing
type writer struct {
	http.ResponseWriter
	c        *Compressor
	encoding string // that the client takes, "" for none

	state   state
	status  int
	length  int64 // announced, -1 if not
	written int64 // bytes that the handler has written
	held    []byte
	enc     encoder
}

type state uint8

const (
	open state = iota
	waiting
	plain
	compressing
)

// Unwrap serves http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	switch {
	case status < 200:
		w.ResponseWriter.WriteHeader(status)
		return
	case w.state != open:
		return // the header is decided
	}
	w.status = status
	header := w.Header()
	optOut := w.c.optOut != "" && len(header[w.c.optOut]) > 0
	if w.c.optOut != "" {
		delete(header, w.c.optOut)
	}
	if optOut || w.encoding == "" || !w.compressible(status, header) {
		w.goPlain()
		return
	}
	w.state = waiting
	if w.length >= 0 && w.length < int64(w.minimum()) {
		w.goPlain()
	}
}

// minimum is the smallest body that is compressed when its size is announced.
func (w *writer) minimum() int {
	if w.c.minSize > 0 {
		return w.c.minSize
	}
	return announcedMin
}

// compressible tells whether an answer with this header can get an encoding.
func (w *writer) compressible(status int, header http.Header) bool {
	if v := header["Content-Length"]; len(v) > 0 {
		if n, err := strconv.ParseInt(v[0], 10, 64); err == nil && n >= 0 {
			w.length = n
		}
	}
	switch {
	case status == http.StatusNoContent, status == http.StatusNotModified, status == http.StatusPartialContent:
		return false
	case len(header["Content-Encoding"]) > 0, len(header["Content-Range"]) > 0:
		return false
	case strings.Contains(header.Get("Cache-Control"), "no-transform"):
		return false
	}
	return !excluded(header.Get("Content-Type"))
}

// excluded lists types that are compressed already; the rules are RoadRunner's.
func excluded(contentType string) bool {
	t := strings.ToLower(contentType)
	for _, prefix := range []string{"video/", "audio/", "image/jp"} {
		if strings.HasPrefix(t, prefix) {
			return true
		}
	}
	for _, part := range []string{"compress", "zip", "snappy", "lzma", "xz", "zstd", "brotli", "stuffit"} {
		if strings.Contains(t, part) {
			return true
		}
	}
	return false
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if w.state == open {
		w.WriteHeader(http.StatusOK)
	}
	if w.state == waiting {
		if len(p) == 0 {
			return 0, nil
		}
		if short := w.c.minSize - len(w.held) - len(p); w.length < 0 && short > 0 {
			w.held = append(w.held, p...)
			w.written += int64(len(p))
			return len(p), nil
		}
		if err := w.start(p); err != nil {
			return 0, err
		}
	}
	if w.state == plain {
		return w.ResponseWriter.Write(p)
	}
	n, err := w.enc.Write(p)
	w.written += int64(n)
	return n, err
}

// ReadFrom keeps sendfile(2) available for what is not compressed.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	if w.state == plain {
		return io.Copy(w.ResponseWriter, r)
	}
	return io.Copy(struct{ io.Writer }{w}, r)
}

// start begins the body, whose first new bytes are p.
func (w *writer) start(p []byte) error {
	header := w.Header()
	if len(header["Content-Type"]) == 0 {
		first := p
		if len(w.held) > 0 {
			first = append(w.held[:len(w.held):len(w.held)], p...)
		}
		contentType := http.DetectContentType(first)
		header["Content-Type"] = []string{contentType}
		if excluded(contentType) {
			return w.release()
		}
	}
	header["Content-Encoding"] = []string{w.encoding}
	delete(header, "Content-Length")
	delete(header, "Accept-Ranges")
	// The tag names the bytes that were not compressed.
	if v := header["Etag"]; len(v) > 0 && strings.HasPrefix(v[0], `"`) {
		header["Etag"] = []string{"W/" + v[0]}
	}
	w.state = compressing
	w.ResponseWriter.WriteHeader(w.status)
	w.enc = w.c.pools[w.encoding].Get().(encoder)
	w.enc.Reset(w.ResponseWriter)
	if len(w.held) == 0 {
		return nil
	}
	_, err := w.enc.Write(w.held)
	w.held = nil
	return err
}

// release sends what was held back, not compressed.
func (w *writer) release() error {
	w.goPlain()
	if len(w.held) == 0 {
		return nil
	}
	_, err := w.ResponseWriter.Write(w.held)
	w.held = nil
	return err
}

func (w *writer) goPlain() {
	w.state = plain
	w.ResponseWriter.WriteHeader(w.status)
}

// FlushError serves http.ResponseController: what was written reaches the
// client, so a stream stays one. One that begins is compressed whatever its
// first size.
func (w *writer) FlushError() error {
	if w.state == open {
		w.WriteHeader(http.StatusOK)
	}
	if w.state == waiting {
		if w.length >= 0 || len(w.held) == 0 {
			w.goPlain() // a header that is sent ahead of its body
		} else if err := w.start(nil); err != nil {
			return err
		}
	}
	if w.state == compressing {
		if err := w.enc.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// finish ends the body.
func (w *writer) finish() {
	switch w.state {
	case waiting:
		_ = w.release() // its error is the client's, who is gone
	case compressing:
		if w.length >= 0 && w.written != w.length {
			// The length that would show that the rest is missing is not sent.
			panic(http.ErrAbortHandler)
		}
		_ = w.enc.Close()
		w.enc.Reset(nil)
		w.c.pools[w.encoding].Put(w.enc)
		w.enc = nil
	}
}
