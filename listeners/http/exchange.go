package http

import (
	"net/http"
	"os"
	"time"

	"github.com/rr-systemd/rrd/ipc"
)

// exchange is everything that one request needs beside net/http. It is pooled
// with its buffers, so that the usual request allocates nothing here.
type exchange struct {
	start time.Time
	id    string
	route *route
	span  *handlerSpan // nil: the request is not traced

	// Request.
	remoteIP   string
	parsed     bool   // body is a JSON tree
	uploads    []byte // JSON tree of files; nil: not a multipart request
	attributes []attribute
	reader     bodyReader
	received   []byte // body as received, if it is in memory
	spool      *os.File
	spooled    int64  // bytes in it
	reserved   int64  // bytes of the budget
	uploading  bool   // the worker reads the body while it arrives
	wholeOnly  bool   // the worker that was found cannot
	unread     bool   // the answer begins before the end of the body
	tree       []byte // body and uploads as JSON trees
	context    []byte
	scratch    []byte
	payload    ipc.Payload
	form       tree[string]
	multipart  multipartForm

	// Response.
	answer  answer
	applied []string // names of the worker's headers in the response
	status  int      // final status, 0 until decided
	sent    bool     // the status line is written
	written int64    // bytes of the body
}

// noteUnread is called before an answer begins, while nobody reads the body. In
// full duplex, net/http keeps a connection of HTTP/1 whose body breaks off later, by
// a malformed chunk for example, and takes what follows for a request.
func (e *exchange) noteUnread(r *http.Request) {
	e.unread = e.uploading && r.ProtoMajor == 1 && !e.reader.ended
}

// keptBuffer is the largest buffer that stays with a pooled exchange. Larger
// ones are left to the collector, or a burst of uploads would stay in memory.
const keptBuffer = 256 << 10

// keptNodes does the same for forms.
const keptNodes = 1 << 10

func kept(b []byte) []byte {
	if cap(b) > keptBuffer {
		return nil
	}
	return b[:0]
}

// dropRequest lets go of the request's body as soon as the worker has it.
func (e *exchange) dropRequest(b *budget) {
	e.payload = ipc.Payload{ID: e.payload.ID}
	if e.spool != nil {
		_ = e.spool.Close()
		e.spool = nil
	}
	b.give(e.reserved)
	e.reserved = 0
	e.received, e.tree, e.context = freeBody(e.received), kept(e.tree), kept(e.context)
	e.uploads = nil
}

// reset prepares for the next request.
func (e *exchange) reset() {
	e.multipart.remove()
	if cap(e.answer.raw) > keptBuffer || cap(e.form.nodes) > keptNodes || cap(e.multipart.fields.nodes) > keptNodes {
		*e = exchange{}
		return
	}
	*e = exchange{
		received: freeBody(e.received), tree: kept(e.tree), context: kept(e.context), scratch: kept(e.scratch),
		form: e.form, multipart: e.multipart,
		answer:  e.answer,
		applied: e.applied[:0],
	}
}
