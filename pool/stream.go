package pool

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/worker"
)

// stream is the answer to one payload. m is the worker as long as more messages
// are to come.
type stream struct {
	pool  *Pool
	m     *member
	msg   ipc.Message
	ttl   time.Duration // for each message, 0: no limit
	began bool          // the first message was handed out
	err   error
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
	_ = m.w.Channel.SetDeadline(after(s.ttl))
	err := m.w.Channel.RecvInto(&s.msg)
	if err == nil {
		if !s.msg.Stream {
			s.m = nil
			s.pool.release(m)
		}
		return &s.msg, nil
	}
	s.m = nil
	var soft *ipc.SoftError
	if errors.As(err, &soft) {
		s.pool.release(m)
		s.err = softError(soft)
	} else {
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
		s.m = nil
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
