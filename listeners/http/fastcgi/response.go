package fastcgi

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// response is the answer to one request: a CGI header (RFC 3875, 6.3) and the
// body, in records of type STDOUT. FastCGI has neither informational responses
// nor trailers: both are dropped.
type response struct {
	c      *conn
	req    *request
	header http.Header
	head   bool // HEAD: no body
	status int  // 0 until WriteHeader
	length int64
	body   int64  // bytes of the body so far
	begun  bool   // the CGI header is in out
	out    []byte // one record: room for its header, then content
	err    error  // of the connection
}

// bufferSize is how much is collected into one record, unless it is flushed.
const bufferSize = 16 << 10

func newResponse(c *conn, req *request) *response {
	return &response{c: c, req: req, header: make(http.Header), length: -1, out: c.buffer[:0]}
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if status < 200 || w.status != 0 {
		return
	}
	w.status = status
	if n, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		w.length = n
	}
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case !bodyAllowed(w.status):
		return 0, http.ErrBodyNotAllowed
	case w.length >= 0 && w.body+int64(len(p)) > w.length:
		return 0, http.ErrContentLength
	}
	w.begin(p)
	w.body += int64(len(p))
	if !w.head {
		w.add(p)
	}
	return len(p), w.err
}

// begin puts the CGI header into out. The type of the body is guessed from its
// first part.
func (w *response) begin(first []byte) {
	if w.begun {
		return
	}
	w.begun = true
	if _, ok := w.header["Content-Type"]; !ok && len(first) > 0 {
		w.header.Set("Content-Type", http.DetectContentType(first))
	}
	if _, ok := w.header["Date"]; !ok {
		w.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	skip := map[string]bool{
		"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Transfer-Encoding": true, "Trailer": true,
		"Status": true, // it would be the CGI field
	}
	for name := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			skip[name] = true
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Status: %d %s\r\n", w.status, http.StatusText(w.status))
	_ = w.header.WriteSubset(&b, skip) // into memory
	b.WriteString("\r\n")
	w.add(b.Bytes())
}

// add appends to the content of records, and sends those that are full.
func (w *response) add(p []byte) {
	for len(p) > 0 && w.err == nil {
		if len(w.out) == 0 {
			w.out = append(w.out, make([]byte, headerSize)...)
		}
		n := min(len(p), headerSize+maxContent-len(w.out))
		w.out = append(w.out, p[:n]...)
		if p = p[n:]; len(w.out) >= bufferSize {
			w.send()
		}
	}
}

func (w *response) send() {
	if len(w.out) <= headerSize || w.err != nil {
		return
	}
	appendHeader(w.out[:0], typeStdout, w.req.id, len(w.out)-headerSize)
	w.err = w.c.write(w.out)
	w.out = w.out[:0]
}

// FlushError is what http.ResponseController calls.
func (w *response) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.begin(nil)
	w.send()
	return w.err
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// SetReadDeadline is for http.ResponseController.
func (w *response) SetReadDeadline(t time.Time) error { return w.c.nc.SetReadDeadline(t) }

// SetWriteDeadline is for http.ResponseController.
func (w *response) SetWriteDeadline(t time.Time) error { return w.c.nc.SetWriteDeadline(t) }

// close sends the rest and the end of the stream.
func (w *response) close() error {
	if w.FlushError() != nil {
		return w.err
	}
	w.err = w.c.write(appendHeader(nil, typeStdout, w.req.id, 0))
	w.c.buffer = w.out
	return w.err
}

// wantsClose tells whether the handler asked for the end of the connection.
func (w *response) wantsClose() bool {
	for _, v := range w.header["Connection"] {
		if strings.EqualFold(v, "close") {
			return true
		}
	}
	return false
}

// refuse answers a request that cannot be understood.
func (w *response) refuse(err error) {
	status, text := refusal(err)
	text += "\n"
	w.header.Set("Content-Type", "text/plain; charset=utf-8")
	w.header.Set("X-Content-Type-Options", "nosniff")
	w.header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // a web server that is gone needs no answer
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
