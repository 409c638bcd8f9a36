package golden_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// wire is one client connection. All that the server sends is kept, so that a
// step can look at bytes (partial) which a later step reads as a response.
type wire struct {
	conn net.Conn

	mu   sync.Mutex
	cond *sync.Cond
	buf  []byte // received and not yet read as part of a response
	err  error  // io.EOF when the server closed, else what broke the connection
}

func newWire(conn net.Conn) *wire {
	w := &wire{conn: conn}
	w.cond = sync.NewCond(&w.mu)
	go func() {
		chunk := make([]byte, 64<<10)
		for {
			n, err := conn.Read(chunk)
			w.mu.Lock()
			w.buf = append(w.buf, chunk[:n]...)
			w.err = err
			w.cond.Broadcast()
			w.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return w
}

// await waits until ok, which is called with w.mu held. It returns false when
// the time is over.
func (w *wire) await(limit time.Duration, ok func() bool) bool {
	over := false
	timer := time.AfterFunc(limit, func() {
		w.mu.Lock()
		over = true
		w.cond.Broadcast()
		w.mu.Unlock()
	})
	defer timer.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for !ok() {
		if over {
			return false
		}
		w.cond.Wait()
	}
	return true
}

// until waits for a text without taking it.
func (w *wire) until(what string, limit time.Duration) error {
	found := false
	w.await(limit, func() bool {
		found = bytes.Contains(w.buf, []byte(what))
		return found || w.err != nil
	})
	if !found {
		w.mu.Lock()
		defer w.mu.Unlock()
		return fmt.Errorf("%q did not arrive; received %s (%v)", what, show(string(w.buf)), w.err)
	}
	return nil
}

func (w *wire) send(data []byte, limit time.Duration) error {
	_ = w.conn.SetWriteDeadline(time.Now().Add(limit))
	_, err := w.conn.Write(data)
	// An early answer to a large request closes the connection while we are
	// still sending; what counts is the answer.
	var op *net.OpError
	if errors.As(err, &op) && !op.Timeout() {
		return nil
	}
	return err
}

// reset closes the connection so that the server sees a reset.
func (w *wire) reset() {
	if c, ok := w.conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	_ = w.conn.Close()
}

func (w *wire) finish() error {
	switch c := w.conn.(type) {
	case *net.TCPConn:
		return c.CloseWrite()
	case *net.UnixConn:
		return c.CloseWrite()
	case *tls.Conn:
		return c.CloseWrite()
	}
	return fmt.Errorf("cannot half-close a %T", w.conn)
}

// closed waits until the server has closed the connection.
func (w *wire) closed(limit time.Duration) bool {
	return w.await(limit, func() bool { return w.err != nil })
}

// httpResponse is a response as it came over the wire.
type httpResponse struct {
	None      bool // closed without an answer
	Interim   []httpHead
	Proto     string
	Status    int
	Reason    string
	Headers   [][2]string
	Framing   string // chunked, length, close, none
	Chunks    []int
	Trailers  [][2]string
	Body      string
	Truncated bool
}

// httpHead is an interim response.
type httpHead struct {
	Status  int
	Reason  string
	Headers [][2]string
}

// header returns all values of a header, in order.
func header(headers [][2]string, name string) []string {
	var out []string
	for _, h := range headers {
		if strings.EqualFold(h[0], name) {
			out = append(out, h[1])
		}
	}
	return out
}

// reader reads the bytes of a wire with a deadline.
type reader struct {
	w        *wire
	deadline time.Time
}

// take waits until cut says how many bytes to take; at the end of the stream it
// takes what cut accepts as final.
func (r reader) take(cut func(buf []byte, end bool) (int, bool)) ([]byte, error) {
	var n int
	var ok bool
	inTime := r.w.await(time.Until(r.deadline), func() bool {
		n, ok = cut(r.w.buf, r.w.err != nil)
		return ok || r.w.err != nil
	})
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	switch {
	case ok:
		out := r.w.buf[:n:n]
		r.w.buf = r.w.buf[n:]
		return out, nil
	case !inTime:
		return nil, fmt.Errorf("%w: no more bytes came; unread: %s", os.ErrDeadlineExceeded, show(string(r.w.buf)))
	default:
		return nil, io.ErrUnexpectedEOF
	}
}

func (r reader) line() (string, error) {
	b, err := r.take(func(buf []byte, _ bool) (int, bool) {
		i := bytes.IndexByte(buf, '\n')
		return i + 1, i >= 0
	})
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), err
}

// upTo takes n bytes, or fewer if the connection ends before.
func (r reader) upTo(n int) (string, bool, error) {
	b, err := r.take(func(buf []byte, end bool) (int, bool) {
		return min(n, len(buf)), len(buf) >= n || end
	})
	return string(b), len(b) == n, err
}

func (r reader) headers() ([][2]string, error) {
	var out [][2]string
	for {
		line, err := r.line()
		if err != nil {
			return out, err
		}
		if line == "" {
			return out, nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return out, fmt.Errorf("not a header line: %q", line)
		}
		out = append(out, [2]string{name, strings.Trim(value, " \t")})
	}
}

// response reads the answer to a request of the given method.
func (w *wire) response(method string, limit time.Duration) (*httpResponse, error) {
	r := reader{w, time.Now().Add(limit)}
	out := new(httpResponse)
	for {
		line, err := r.line()
		if errors.Is(err, io.ErrUnexpectedEOF) && len(out.Interim) == 0 {
			out.None = true
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("status line: %w", err)
		}
		proto, rest, _ := strings.Cut(line, " ")
		code, reason, _ := strings.Cut(rest, " ")
		status, err := strconv.Atoi(code)
		if err != nil || !strings.HasPrefix(proto, "HTTP/") {
			return out, fmt.Errorf("not a status line: %q", line)
		}
		headers, err := r.headers()
		if err != nil {
			return out, fmt.Errorf("headers of status %d: %w", status, err)
		}
		if status < 200 && status != 101 {
			out.Interim = append(out.Interim, httpHead{status, reason, headers})
			continue
		}
		out.Proto, out.Status, out.Reason, out.Headers = proto, status, reason, headers
		return out, r.body(out, method)
	}
}

func (r reader) body(out *httpResponse, method string) error {
	length := header(out.Headers, "Content-Length")
	coding := header(out.Headers, "Transfer-Encoding")
	switch {
	case method == "HEAD" || out.Status < 200 || out.Status == 204 || out.Status == 304:
		out.Framing = "none"
		return nil
	case len(coding) > 0 && strings.EqualFold(coding[len(coding)-1], "chunked"):
		out.Framing = "chunked"
		return r.chunked(out)
	case len(length) > 0:
		out.Framing = "length"
		n, err := strconv.Atoi(length[0])
		if err != nil {
			return fmt.Errorf("Content-Length %q: %w", length[0], err)
		}
		body, whole, err := r.upTo(n)
		out.Body, out.Truncated = body, !whole
		return err
	default:
		out.Framing = "close"
		b, err := r.take(func(buf []byte, end bool) (int, bool) { return len(buf), end })
		out.Body = string(b)
		return err
	}
}

func (r reader) chunked(out *httpResponse) error {
	cut := func(err error) error {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			out.Truncated = true
			return nil
		}
		return err
	}
	var body strings.Builder
	defer func() { out.Body = body.String() }()
	for {
		line, err := r.line()
		if err != nil {
			return cut(err)
		}
		digits, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 31)
		if err != nil {
			return fmt.Errorf("chunk size %q: %w", line, err)
		}
		if n == 0 {
			out.Trailers, err = r.headers()
			return cut(err)
		}
		out.Chunks = append(out.Chunks, int(n))
		data, whole, err := r.upTo(int(n))
		body.WriteString(data)
		if err != nil {
			return err
		}
		if !whole {
			out.Truncated = true
			return nil
		}
		if end, err := r.line(); err != nil {
			return cut(err)
		} else if end != "" {
			return fmt.Errorf("chunk of %d bytes is followed by %q", n, end)
		}
	}
}

func gunzip(s string) (string, error) {
	z, err := gzip.NewReader(strings.NewReader(s))
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(z)
	return string(b), err
}
