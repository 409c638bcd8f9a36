package http

import (
	"math"
	"net/http"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/ipc/goridge"
)

// noFields is the tree of a form without fields. In the JSON codec the PHP
// packages decode the body of every parsed request, and fail on an empty one;
// in protobuf they take an empty one for no fields, which is what RoadRunner
// sends.
var noFields = []byte("{}")

// build turns r into the exchange's payload. The body is read to its end first:
// no worker waits for a slow client. The error is a *refusal.
func (h *handler) build(e *exchange, w http.ResponseWriter, r *http.Request) error {
	ip, ok := remoteIP(r.RemoteAddr)
	if !ok {
		h.log.Warn("remote address parsing failure", "remote_address", r.RemoteAddr)
	}
	e.remoteIP = ip
	e.attributes = attributes(r)

	e.reader = bodyReader{body: r.Body, left: e.route.maxBody, rw: w, pause: h.cfg.Timeouts.Read}
	var body []byte
	switch {
	case r.Method != http.MethodHead && r.Method != http.MethodOptions:
		var err error
		if body, err = h.readBody(e, r); err != nil {
			return err
		}
	case r.ContentLength != 0:
		if err := e.reader.skip(); err != nil {
			return badBody(err, rawBody)
		}
	}

	p := &e.payload
	if h.proto {
		p.Codec = goridge.CodecProto
		e.context = e.appendProtoContext(e.context[:0], r)
	} else {
		p.Codec = goridge.CodecJSON
		e.context = e.appendJSONContext(e.context[:0], r)
		if e.parsed && len(body) == 0 {
			body = noFields
		}
	}
	p.Context, p.Body = e.context, body
	if e.spool != nil {
		p.Body, p.File, p.FileSize = nil, e.spool, e.spooled
	}
	if e.uploading {
		p.Upload = &e.reader
	}
	p.Parts = true
	p.ID, p.Label, p.Detail = e.id, r.Method, r.URL.Path
	p.Priority, p.Line, p.Wait, p.TTL = e.route.priority, e.route.line, e.route.wait, e.route.ttl
	return nil
}

// readBody reads the body and returns what PHP gets: the bytes, or a JSON tree
// for a form.
func (h *handler) readBody(e *exchange, r *http.Request) ([]byte, error) {
	kind, params := rawBody, map[string]string(nil)
	if types := r.Header["Content-Type"]; len(types) > 0 && !h.cfg.RawBody {
		var err error
		if kind, params, err = classify(types[0]); err != nil {
			return nil, badForm(err)
		}
	}
	if kind != rawBody {
		e.parsed = true
		if err := checkQuery(r.URL.RawQuery); err != nil {
			return nil, badForm(err)
		}
	}
	if r.ContentLength > e.route.maxBody {
		return nil, badBody(errTooLarge, kind)
	}

	switch kind {
	case multipartBody:
		return e.readMultipart(r, params, &h.uploads)
	case urlencodedBody:
		return h.readForm(e, r)
	}
	if e.uploading = h.streams(e, r); e.uploading {
		return nil, nil
	}
	return h.readRaw(e, r)
}

// wholeUpload is the longest body that is read before a worker is taken although
// it could be streamed, in bytes: it arrives soon.
const wholeUpload = 64 << 10

// streams tells whether the worker shall read the body while it arrives.
func (h *handler) streams(e *exchange, r *http.Request) bool {
	if !e.route.streaming || e.wholeOnly || 0 <= r.ContentLength && r.ContentLength <= wholeUpload {
		return false
	}
	x, ok := e.route.exec.(interface{ Accepts(ipc.Ability) bool })
	return ok && x.Accepts(ipc.AskBody)
}

// readRaw returns the body, or puts it into e.spool.
func (h *handler) readRaw(e *exchange, r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	var err error
	e.received, err = e.readAll(e.received[:0], r.ContentLength, h.cfg.Buffers.Body, h.budget)
	if err == errSpool {
		e.spool, e.spooled, err = e.reader.spoolBody(h.cfg.Buffers.Dir, e.received)
		e.received = freeBody(e.received)
		h.budget.give(e.reserved)
		e.reserved = 0
		if err != nil && e.spool == nil {
			return nil, err // not the client's fault
		}
	}
	if err != nil {
		return nil, badBody(err, rawBody)
	}
	return e.received, nil
}

// readForm reads a form, which has to be in memory as a whole.
func (h *handler) readForm(e *exchange, r *http.Request) ([]byte, error) {
	if r.ContentLength == 0 {
		return nil, nil
	}
	var err error
	e.received, err = e.readAll(e.received[:0], r.ContentLength, math.MaxInt64, nil)
	if err != nil {
		return nil, badBody(err, urlencodedBody)
	}
	body := e.received
	if len(body) == 0 {
		return nil, nil
	}
	e.form.reset()
	defer e.form.reset() // it refers to the body, whose buffer is used again
	if err := parseURLEncoded(&e.form, view(body)); err != nil {
		return nil, badForm(err)
	}
	if e.form.isEmpty() {
		return nil, nil
	}
	e.tree = e.form.appendJSON(e.tree[:0], appendJSONString)
	return e.tree, nil
}

func (e *exchange) readMultipart(r *http.Request, params map[string]string, rules *uploadRules) ([]byte, error) {
	m := &e.multipart
	err := m.parse(&e.reader, params, rules)
	if err == nil {
		err = e.reader.skip() // what follows the last boundary
	}
	if err != nil {
		if e.reader.overrun {
			err = errTooLarge // mime/multipart wraps it in some places only
		}
		return nil, badBody(err, multipartBody)
	}
	e.tree = m.files.appendJSON(e.tree[:0], appendUpload)
	files := len(e.tree)
	if !m.fields.isEmpty() {
		e.tree = m.fields.appendJSON(e.tree, appendJSONString)
	}
	e.uploads = e.tree[:files:files]
	return e.tree[files:], nil
}
