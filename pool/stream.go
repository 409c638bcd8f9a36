package pool

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/worker"
)

// stream is the answer to one payload. m is the worker as long as more messages
// are to come.
type stream struct {
	pool *Pool

	mu       sync.Mutex // for Cancel: m changes under it
	m        *member
	canceled bool

	msg    ipc.Message
	ttl    time.Duration // for each message, 0: no limit
	latest time.Time     // what that means for the next one
	began  bool          // the first message was handed out
	err    error
}

// Cancel implements ipc.Stream.
func (s *stream) Cancel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.canceled = true
	if s.m != nil {
		s.m.w.Channel.Interrupt()
	}
}

// hold makes m the worker from which more messages come, nil for none. It
// reports whether the stream was canceled; m's channel may be interrupted then.
func (s *stream) hold(m *member) (canceled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m = m
	return s.canceled
}

// limit gives the worker its time for the next message.
func (s *stream) limit(ch *ipc.Channel) {
	s.latest = after(s.ttl)
	_ = ch.SetDeadline(s.latest)
}

func (s *stream) isCanceled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.canceled
}

// release gives the worker back after the last message.
func (s *stream) release(m *member) {
	if s.hold(nil) {
		m.w.Channel.Resume()
	}
	s.pool.release(m)
}

// Next implements ipc.Stream. exec_ttl bounds the wait for each message.
func (s *stream) Next() (*ipc.Message, error) {
	if !s.began {
		s.began = true
		return &s.msg, nil
	}
	s.msg.Release()
	if s.err != nil {
		return nil, s.err
	}
	m := s.m
	if m == nil {
		return nil, io.EOF
	}
	s.limit(m.w.Channel)
	if s.isCanceled() { // before or after: the deadline that interrupts stands
		return nil, ipc.ErrCanceled
	}
	err := m.w.Channel.RecvInto(&s.msg)
	if err == nil {
		if !s.msg.Stream {
			s.release(m)
		}
		return &s.msg, nil
	}
	var soft *ipc.SoftError
	switch {
	case errors.As(err, &soft):
		s.release(m)
		s.err = softError(soft)
	case errors.Is(err, os.ErrDeadlineExceeded) && s.isCanceled():
		return nil, ipc.ErrCanceled // Close tells the worker
	default:
		s.hold(nil)
		s.err = s.pool.lose(m, err)
		s.pool.leave()
	}
	return nil, s.err
}

// Close implements ipc.Stream.
func (s *stream) Close() {
	s.msg.Release()
	s.began = true
	if s.err == nil {
		s.err = io.EOF
	}
	if m := s.m; m != nil {
		s.hold(nil)
		m.w.Channel.DropUpload() // its reader is the caller's
		s.pool.abandon(m)
	}
}

// abandon takes back a worker that is in the middle of a stream nobody reads.
func (p *Pool) abandon(m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.gone {
		m.free()
		p.left()
		return
	}
	p.wg.Go(func() { p.discardStream(m) }) // its watcher runs, so Stop still waits
}

// discardStream asks the worker to end its stream and reads what is still on
// the way, for at most stream_timeout.
func (p *Pool) discardStream(m *member) {
	ch := m.w.Channel
	_ = ch.SetDeadline(time.Now().Add(m.gen.cfg.StreamTimeout))
	err := ch.CancelStream()
	for err == nil {
		var msg ipc.Message
		if err = ch.RecvInto(&msg); err != nil {
			break
		}
		msg.Release()
		if !msg.Stream {
			break
		}
	}
	var soft *ipc.SoftError
	switch {
	case err == nil, errors.As(err, &soft):
		_ = ch.SetDeadline(time.Time{})
		p.release(m)
		return
	case errors.Is(err, os.ErrDeadlineExceeded):
		m.w.Doom(worker.StreamTimeout)
	}
	p.lose(m, err)
	p.leave()
}
