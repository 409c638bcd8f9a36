package ipc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// maxHandshake bounds the answer to the pid request, in bytes.
const maxHandshake = 64 << 10

// Handshake sends the pid request and checks the worker's answer; it returns
// the process id that the worker reports. ownPID is the daemon's. The deadline
// and the cancellation of ctx end it; the error then wraps ctx.Err().
//
// The texts of the errors are RoadRunner's: "EOF", "unexpected response, header
// is missing, no CONTROL flag", "pid should be greater than 0", or
// encoding/json's. A *ProtocolError knows the likely cause (Hint).
func (c *Channel) Handshake(ctx context.Context, ownPID int) (pid int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	deadline, _ := ctx.Deadline()
	if err := errors.Join(c.t.setDeadline(deadline), c.doors.setDeadline(deadline)); err != nil {
		return 0, err
	}
	interrupt := c.interrupter()
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		interrupt()
	})
	defer func() {
		if !stop() {
			<-interrupted
		}
		if e := c.t.clearDeadline(); err == nil {
			err = e
		}
	}()

	pid, err = c.handshake(ctx, ownPID)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// The context's timer may be a moment later than the poller's.
		cause := ctx.Err()
		if cause == nil {
			cause = context.DeadlineExceeded
		}
		c.glance()
		if c.w > c.r && looksLikeText(c.in.b[c.r:c.w]) {
			return 0, c.garbage(cause)
		}
		return 0, fmt.Errorf("the worker did not answer the pid request: %w", cause)
	}
	return pid, err
}

func (c *Channel) handshake(ctx context.Context, ownPID int) (int, error) {
	request := strconv.AppendInt([]byte(`{"pid":`), int64(ownPID), 10)
	request = append(request, '}')
	frame := goridge.AppendFrame(nil, goridge.Control|goridge.CodecJSON, 0, request)
	// A worker that has died is reported by the read, which also shows what
	// it printed; here only other failures matter.
	if err := c.t.write(frame, nil, nil); err != nil && !errors.Is(err, ErrWorkerGone) {
		return 0, err
	}
	if c.doors != nil {
		if err := c.choose(ctx); err != nil {
			return 0, err
		}
	}
	h, err := c.header()
	if err != nil {
		return 0, err
	}
	if h.Flags&goridge.Control == 0 {
		e := &ProtocolError{Reason: "unexpected response, header is missing, no CONTROL flag"}
		if h.Flags&goridge.Error != 0 && h.Length <= maxHandshake && c.need(h.Size()+int(h.Length)) == nil {
			e.Received = keep(c.in.b[c.r+h.Size() : c.r+h.Size()+int(h.Length)])
			e.hint = "the worker refused to start: " + printable(e.Received)
		} else {
			e.hint = "the worker answered the pid request with a result; check that the script creates its worker before it answers and that nothing else reads STDIN"
		}
		return 0, c.fail(e)
	}
	if h.Length > maxHandshake {
		return 0, c.fail(&ProtocolError{Reason: fmt.Sprintf("the answer to the pid request has %d bytes, the limit is %d", h.Length, maxHandshake)})
	}
	size := h.Size() + int(h.Length)
	if err := c.need(size); err != nil {
		return 0, err
	}
	var answer struct {
		Pid     int      `json:"pid"`
		Accepts []string `json:"accepts"`
	}
	payload := c.in.b[c.r+h.Size() : c.r+size]
	if err := json.Unmarshal(payload, &answer); err != nil {
		return 0, c.fail(&ProtocolError{Reason: err.Error(), Received: keep(payload), Err: err,
			hint: `the worker must answer the pid request with {"pid":N}`})
	}
	if answer.Pid <= 0 {
		return 0, c.fail(&ProtocolError{Reason: "pid should be greater than 0", Received: keep(payload),
			hint: `the worker must answer the pid request with {"pid":N}`})
	}
	for _, name := range answer.Accepts {
		c.accepts |= abilities[name] // of what we do not know we make no use
	}
	if c.shared == nil || !c.control {
		c.accepts &^= SharedMemory
	}
	if !c.Accepts(SharedMemory) {
		c.accepts &^= Slots
		c.shared.Close()
	}
	if c.Accepts(Slots) && littleEndian {
		c.slots = newSlots(c.shared)
	}
	c.consume(size)
	c.started = true
	return answer.Pid, nil
}

// interrupter returns a function that ends every wait of the handshake. It is made
// before, because the handshake changes where the channel reads from.
func (c *Channel) interrupter() func() {
	files := []*os.File{c.t.r, c.t.w}
	if c.doors != nil {
		files = append(files, c.doors.ctl, c.doors.wait)
	}
	return func() {
		for _, f := range files {
			_ = f.SetDeadline(time.Unix(1, 0))
		}
	}
}
