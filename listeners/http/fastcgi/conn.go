package fastcgi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// What is still read of a request that has been answered before its end, so
	// that the web server gets the answer and not a reset.
	lingerSize = 1 << 20
	lingerTime = time.Second
)

// conn is one connection of a web server: one request at a time, which is what
// all known web servers do and FCGI_MPXS_CONNS tells them.
//
//	New ── begin ──► Active ── end, keep ──► Idle ── begin ──► Active
//	                   └────── end ──► lingering ──► Closed
//
// serve reads all records; a request's handler runs beside it, so that the end
// of the connection or an abort is noticed while a worker is at work.
type conn struct {
	srv *Server
	nc  net.Conn
	r   *bufio.Reader

	mu       sync.Mutex
	current  *request // nil between requests
	lingerTo time.Time

	buffer   []byte     // of the running response, kept for the next
	writing  sync.Mutex // one writer of records at a time
	handlers sync.WaitGroup
}

// request is one request from its begin to its end.
type request struct {
	id       uint16
	keep     bool
	params   []byte
	tooLarge bool // params are more than allowed and were dropped
	complete bool // all params are here
	body     *io.PipeWriter
	ctx      context.Context
	cancel   context.CancelCauseFunc
}

var (
	errAborted  = context.Canceled // the web server does not want the answer any more
	errProtocol = errors.New("FastCGI records out of order")
)

func (c *conn) serve() {
	defer func() {
		c.handlers.Wait()
		_ = c.nc.Close()
		c.srv.setState(c, http.StateClosed)
		c.srv.remove(c)
	}()
	c.r = bufio.NewReaderSize(c.nc, 16<<10)
	_ = c.nc.SetReadDeadline(deadline(c.srv.ReadHeaderTimeout))
	err := c.readRecords()
	if errors.Is(err, errVersion) || errors.Is(err, errProtocol) {
		c.srv.log().Warn("closing a FastCGI connection", "error", err, "remote_address", c.nc.RemoteAddr().String())
	}
	if req := c.running(); req != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		req.end(err)
	}
}

// end tells the handler that nothing more comes. When the web server only pauses
// too long, it still gets an answer.
func (r *request) end(err error) {
	if r.body != nil {
		_ = r.body.CloseWithError(err)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		r.cancel(errAborted)
	}
}

func (c *conn) running() *request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// readRecords returns why no more records are read.
func (c *conn) readRecords() error {
	content := make([]byte, 0, 8<<10)
	left := lingerSize
	for {
		h, err := readHeader(c.r)
		if err != nil {
			return err
		}
		if cap(content) < h.length {
			content = make([]byte, 0, maxContent+8)
		}
		content = content[:h.length]
		if _, err := io.ReadFull(c.r, content); err != nil {
			return unexpected(err)
		}
		if _, err := c.r.Discard(h.padding); err != nil {
			return unexpected(err)
		}
		if c.lingering() {
			if left -= headerSize + h.length + h.padding; left < 0 {
				return nil
			}
			continue
		}
		if err := c.record(h, content); err != nil {
			return err
		}
	}
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// record handles one record. The specification wants records of unknown requests
// ignored: they are what is left of one that has ended.
func (c *conn) record(h header, content []byte) error {
	req := c.running()
	mine := req != nil && req.id == h.id
	switch h.kind {
	case typeGetValues:
		return c.getValues(content)
	case typeBeginRequest:
		return c.begin(h, content, req)
	case typeAbortRequest:
		if mine {
			return c.abort(req)
		}
	case typeParams:
		if mine && !req.complete {
			return c.addParams(req, content)
		}
	case typeStdin:
		if mine {
			return c.stdin(req, content)
		}
	case typeData:
	default:
		reply := appendHeader(nil, typeUnknownType, 0, 8)
		return c.write(append(reply, byte(h.kind), 0, 0, 0, 0, 0, 0, 0))
	}
	return nil
}

func (c *conn) getValues(content []byte) error {
	asked, err := parseParams(content)
	if err != nil {
		return err
	}
	var values []byte
	if _, ok := asked["FCGI_MPXS_CONNS"]; ok {
		values = appendParam(values, "FCGI_MPXS_CONNS", "0")
	}
	return c.write(append(appendHeader(nil, typeGetValuesResult, 0, len(values)), values...))
}

func (c *conn) begin(h header, content []byte, running *request) error {
	if len(content) < 8 || h.id == 0 {
		return errProtocol
	}
	role, keep := int(content[0])<<8|int(content[1]), content[2]&flagKeepConn != 0
	switch {
	case running != nil && running.id == h.id:
		return errProtocol
	case running != nil:
		return c.write(appendEndRequest(nil, h.id, cannotMultiplex))
	case role != roleResponder:
		err := c.write(appendEndRequest(nil, h.id, unknownRole))
		if err == nil && !keep {
			err = io.EOF
		}
		return err
	}
	req := &request{id: h.id, keep: keep}
	req.ctx, req.cancel = context.WithCancelCause(context.Background())
	c.srv.setState(c, http.StateActive)
	c.mu.Lock()
	c.current = req
	c.mu.Unlock()
	return errors.Join(c.nc.SetReadDeadline(deadline(c.srv.ReadHeaderTimeout)), c.nc.SetWriteDeadline(time.Time{}))
}

func (c *conn) addParams(req *request, content []byte) error {
	switch {
	case len(content) == 0:
		req.complete = true
	case req.tooLarge || len(req.params)+len(content) > c.srv.maxParams():
		req.tooLarge, req.params = true, nil
	default:
		req.params = append(req.params, content...)
	}
	return nil
}

// stdin takes a part of the body; the first one starts the handler.
func (c *conn) stdin(req *request, content []byte) error {
	if !req.complete {
		return errProtocol
	}
	if req.body == nil {
		// From here on the handler sets the time limits.
		if err := c.nc.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		pr, pw := io.Pipe()
		req.body = pw
		hasBody := len(content) > 0
		c.handlers.Go(func() { c.respond(req, pr, hasBody) })
	}
	if len(content) == 0 {
		return req.body.Close()
	}
	// It waits until the handler wants it. If that has ended, nobody does.
	if _, err := req.body.Write(content); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	return nil
}

// abort ends a request at the wish of the web server. Once the handler runs, it
// is the handler's end that is reported.
func (c *conn) abort(req *request) error {
	if req.body != nil {
		req.end(errAborted)
		return nil
	}
	return c.finish(req, false)
}

// respond runs the handler of a request and ends the request.
func (c *conn) respond(req *request, body *io.PipeReader, hasBody bool) {
	w := newResponse(c, req)
	r, err := newRequest(req, body, hasBody)
	whole := true
	if err != nil {
		w.refuse(err)
	} else {
		w.head = r.Method == http.MethodHead
		whole = c.srv.handle(w, r)
	}
	_ = body.Close()
	if !whole || w.close() != nil {
		_ = c.nc.Close() // without an end of the request, which says that the answer is cut off
		return
	}
	if c.finish(req, w.wantsClose()) != nil {
		_ = c.nc.Close()
	}
}

// finish makes room for the next request and then tells the web server, in this
// order: it may send the next one at once.
func (c *conn) finish(req *request, closing bool) error {
	req.cancel(errAborted)
	closing = closing || !req.keep
	until := deadline(c.srv.IdleTimeout)
	c.mu.Lock()
	c.current = nil
	if closing {
		until = time.Now().Add(lingerTime)
		c.lingerTo = until
	}
	c.mu.Unlock()
	c.srv.setState(c, http.StateIdle)
	_ = c.nc.SetReadDeadline(until)
	if err := c.write(appendEndRequest(nil, req.id, requestComplete)); err != nil {
		return err
	}
	if w, ok := c.nc.(interface{ CloseWrite() error }); ok && closing {
		return w.CloseWrite()
	} else if closing {
		return c.nc.Close()
	}
	return nil
}

func (c *conn) lingering() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.lingerTo.IsZero()
}

func (c *conn) write(records []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.nc.Write(records)
	return err
}
