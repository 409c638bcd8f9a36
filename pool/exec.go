package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/worker"
)

// How long a failed request waits for the end of its worker, so that the error can
// tell how it ended. One that has closed its channel is most likely about to end,
// but PHP closes its descriptors first and may take a while for the rest, the longer
// the busier the machine is.
const (
	exitWait  = 50 * time.Millisecond
	closeWait = 2 * time.Second
)

// patience is which of them counts after err.
func patience(err error) time.Duration {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ipc.ErrWorkerGone) {
		return closeWait
	}
	return exitWait
}

// Exec runs one payload: it waits for a free worker, at most allocate_timeout
// and as long as ctx lives, and returns with the first message of the answer.
// When ctx ends later, a worker that accepts ipc.StopEarly is told; nothing is
// taken from it.
//
//	what the worker does            the worker               the caller
//	answers                         serves on                gets the answer
//	answers, a limit is reached     is replaced              gets the answer
//	ERROR frame                     serves on                *ipc.SoftError
//	{"stop":true}                   is replaced              another worker gets the payload
//	had died before it read a byte  is replaced              another worker gets the payload
//	sent bytes nobody asked for     is killed, replaced      another worker gets the payload
//	dies, closes, breaks the frame  is killed, replaced      *WorkerError: ipc.ErrWorkerFailed
//	takes longer than exec_ttl      TERM, KILL, is replaced  *WorkerError: ipc.ErrExecTTL
//
// Without a worker: ipc.ErrNoFreeWorkers, ipc.ErrQueueFull, ipc.ErrPoolClosed,
// context.Canceled. The Stream must be closed.
func (p *Pool) Exec(ctx context.Context, payload *ipc.Payload) (ipc.Stream, error) {
	if len(payload.Context) == 0 && len(payload.Body) == 0 {
		return nil, fmt.Errorf("static_pool_exec: %w", ipc.ErrEmptyPayload)
	}
	s := &stream{pool: p}
	for try := 1; ; try++ {
		m, err := p.acquire(ctx, payload, try > 1)
		if err != nil {
			return nil, err
		}
		if payload.Taken != nil {
			payload.Taken(m.w.PID())
		}
		again, err := p.run(ctx, m, payload, s)
		if !again {
			if err != nil {
				return nil, err
			}
			return s, nil
		}
		if try > p.attempts() {
			p.leave()
			return nil, fmt.Errorf("static_pool_exec: %w: no worker took the payload in %d attempts: %w", ipc.ErrWorkerFailed, try, err)
		}
	}
}

// Accepts tells whether the workers of the present generation understand
// something beyond goridge.
func (p *Pool) Accepts(a ipc.Ability) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range p.members {
		if m.gen == p.gen && !m.gone {
			return m.w.Channel.Accepts(a)
		}
	}
	return false
}

// attempts bounds how many workers may refuse one payload: each of them once,
// and one that was started meanwhile.
func (p *Pool) attempts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return 1 + max(1, p.gen.target)
}

// run gives the payload to m and waits for the first message. If again is true
// the payload had no effect and goes to another worker; the request stays
// active then, and err says why. Else it has ended, unless s holds m.
func (p *Pool) run(ctx context.Context, m *member, payload *ipc.Payload, s *stream) (again bool, err error) {
	w := m.w
	ch := w.Channel
	if payload.Upload != nil && !ch.Accepts(ipc.AskBody) {
		p.mu.Lock()
		p.putBack(m)
		p.left()
		p.mu.Unlock()
		return false, fmt.Errorf("static_pool_exec: %w", ipc.ErrNoUpload)
	}
	if ch.Pending() {
		// Before Begin: it is the request before that is to blame.
		return true, p.lose(m, errTooMuch)
	}
	if err := w.Begin(payload); err != nil {
		p.mu.Lock()
		p.putBack(m)
		p.mu.Unlock()
		return true, err
	}
	p.execs.Add(1)
	// A payload larger than the pipe is written in parts, and then nobody can
	// tell later whether some of it was read: look before.
	small := w.WrittenAtOnce(payload)
	if !small && !w.Alive() {
		return true, p.lose(m, io.EOF)
	}
	s.ttl = shorter(m.gen.cfg.execTTL(), payload.TTL)
	s.limit(ch)
	if payload.Upload != nil && s.ttl > 0 {
		own := *payload
		own.Upload = &upload{payload.Upload, s, ch}
		payload = &own
	}
	if err := ch.Send(payload); err != nil {
		switch {
		case errors.Is(err, ipc.ErrTooLarge):
			p.release(m)
			return false, fmt.Errorf("static_pool_exec: %w", err)
		case small && errors.Is(err, ipc.ErrWorkerGone),
			errors.Is(err, io.EOF) && w.Gone(closeWait) && w.Untouched(payload):
			return true, p.lose(m, err)
		}
		defer p.leave()
		return false, p.lose(m, err)
	}
	if err = s.first(ctx, m, payload.Upload != nil); err == nil {
		if s.msg.Stream {
			s.hold(m)
		} else {
			p.release(m)
		}
		return false, nil
	}
	var soft *ipc.SoftError
	switch {
	case errors.As(err, &soft):
		p.release(m)
		return false, softError(soft)
	case errors.Is(err, ipc.ErrWorkerStop):
		w.Doom(worker.Requested)
		w.End()
		p.mu.Lock()
		p.putBack(m)
		p.mu.Unlock()
		return true, err
	case errors.Is(err, io.EOF) && w.Gone(closeWait) && w.Untouched(payload):
		return true, p.lose(m, err)
	}
	defer p.leave()
	return false, p.lose(m, err)
}

var errTooMuch = errors.New("the worker sent more than it was asked for")

func softError(err error) error {
	return fmt.Errorf("sync_worker_receive_frame: SoftJobError: %w", err)
}

// lose lets a worker go whose channel cannot be used any more, and returns the
// error for the request that it had.
func (p *Pool) lose(m *member, err error) *WorkerError {
	w := m.w
	e := &WorkerError{PID: w.PID(), Err: err, kind: ipc.ErrWorkerFailed}
	cause, end := worker.Protocol, w.Destroy
	var broken *ipc.ProtocolError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.kind = ipc.ErrExecTTL
		cause, end = worker.ExecTTL, w.Terminate
	case errors.Is(err, errTooMuch):
	case w.Gone(patience(err)) && !errors.As(err, &broken):
		cause = w.Settle()
	}
	w.Doom(cause)
	oom := m.oom() // the leaf is there as long as the request holds the worker
	p.mu.Lock()
	m.failure = err
	p.retire(m, cause, end)
	m.free()
	p.mu.Unlock()
	e.Cause, e.Exit, e.Stderr, e.OOM = w.Cause(), w.Exit(), w.StderrTail(), oom
	return e
}
