// Package ipc is one worker channel: send a payload, receive a message or a
// stream of messages. It knows frames, descriptors and deadlines; it knows no
// HTTP, no pool and no process.
package ipc

import (
	"context"
	"errors"
	"io"
	"time"
)

// Payload is one unit of work for a worker. The channel only reads it; the
// caller may reuse its slices when Send has returned.
type Payload struct {
	// Codec is the goridge codec flag that tells how Context is encoded
	// (goridge.CodecJSON, CodecProto, CodecRaw or 0). Body is opaque.
	Codec   byte
	Context []byte
	Body    []byte
	// File holds the body instead of Body, if it is not nil: its first FileSize
	// bytes.
	File     io.ReaderAt
	FileSize int64
	// Upload is where the worker gets the body from part by part, while it
	// works, instead of Body and File. Only a channel that Accepts(AskBody) can do
	// this. Its reads may wait; an error but io.EOF tells the worker that the rest
	// will not come.
	Upload io.Reader
	// Parts lets a long answer come as several messages, see Message.Left.
	Parts bool

	// Priority orders payloads that wait for a worker.
	Priority Priority
	// Line is that of the payload's kind; nil: only the pool limits how many
	// wait.
	Line *Line
	// Wait bounds the wait for a worker beside the pool's allocate_timeout, TTL
	// the work beside its exec_ttl; 0 means that only the pool does. The shorter
	// one counts.
	Wait, TTL time.Duration

	// Taken is called by Exec when a worker has been found, with its process id, and
	// again for each further one if that could not take the payload; nil: nobody
	// wants to know.
	Taken func(pid int)

	// ID is the request's id, for logs. Label and Detail say what runs in
	// words ("GET", "/users"), for `rrctl workers` and the log record of a
	// worker that died. None of them is sent to the worker.
	ID     string
	Label  string
	Detail string
}

// Len is the length of the frame's payload, context and body, in bytes.
func (p *Payload) Len() int64 {
	if p.File != nil {
		return int64(len(p.Context)) + p.FileSize
	}
	return int64(len(p.Context)) + int64(len(p.Body))
}

// Priority is a class of payloads that wait for a worker. A worker that becomes
// free takes the first of the highest class that waits; within a class the order
// is that of arrival. Nothing keeps a lower class from waiting as long as higher
// ones come: its payloads have their deadlines.
type Priority uint8

const (
	Normal Priority = iota // the zero value
	High                   // before all others: health checks, interactive work
	Low                    // after all others: what nobody waits for
)

// Stream is a worker's answer: one message or, when the worker streams,
// several. It is used by one goroutine.
type Stream interface {
	// Next returns the next message, io.EOF after the last. The message is
	// valid until the following call of Next or Close.
	Next() (*Message, error)
	// Close ends the answer. What the worker has not yet sent is cancelled:
	// it gets a STOP frame and its remaining frames are discarded in the
	// background. Close is idempotent and must always be called.
	Close()
	// Cancel makes a Next that waits, and every later one, return an error at
	// once. Unlike the others it may be called by any goroutine at any time.
	Cancel()
}

// Executor runs payloads; pool.Pool is one. Every frontend declares the part
// of it that it needs.
type Executor interface {
	// Exec waits for a free worker, sends p and returns when the first
	// message of the answer is there. ctx bounds the wait for a worker only:
	// a payload that a worker has begun is not interrupted.
	Exec(ctx context.Context, p *Payload) (Stream, error)
}

// Errors that an Executor returns. They are matched with errors.Is and wrapped
// with details.
var (
	// ErrNoFreeWorkers: every worker stayed busy for the whole of
	// allocate_timeout or of the request's own deadline.
	ErrNoFreeWorkers = errors.New("no free workers")
	// ErrQueueFull: max_queue_size requests are waiting already.
	ErrQueueFull = errors.New("max queue size reached")
	// ErrExecTTL: the worker took longer than supervisor.exec_ttl and was killed.
	ErrExecTTL = errors.New("exec ttl exceeded")
	// ErrWorkerFailed: the worker died, closed its channel or broke the
	// protocol while it had the payload. The payload may have had effects.
	ErrWorkerFailed = errors.New("worker failed")
	// ErrPoolClosed: the pool is stopping and takes no more payloads.
	ErrPoolClosed = errors.New("pool is stopped")
	// ErrNoUpload: the payload has an Upload and the worker cannot ask for it. It
	// got nothing.
	ErrNoUpload = errors.New("the worker takes whole bodies only")
	// ErrCanceled: the stream was canceled.
	ErrCanceled = errors.New("the answer is not wanted any more")
	// ErrEmptyPayload: context and body are both empty; PHP would take that
	// for the order to stop.
	ErrEmptyPayload = errors.New("payload can not be empty")
)

// SoftError is an ERROR frame: the application refused this payload, the worker
// is alive and stays in service.
type SoftError struct{ Text string }

func (e *SoftError) Error() string { return e.Text }
