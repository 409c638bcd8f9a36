package pool

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/rr-systemd/rrd/ipc"
)

// watchAfter is the age of a request from which on it is noticed that its client
// has gone. What is quicker pays nothing for that.
const watchAfter = 20 * time.Millisecond

// first receives the first message. When ctx ends meanwhile, a worker that
// understands it is told, once, that nobody waits for the answer any more; it
// goes on as it likes.
func (s *stream) first(ctx context.Context, m *member, uploads bool) error {
	ch := m.w.Channel
	if ctx.Done() == nil || !ch.Accepts(ipc.StopEarly) || 0 < s.ttl && s.ttl <= watchAfter {
		return ch.RecvInto(&s.msg)
	}
	if !uploads {
		_ = ch.SetReadDeadline(after(watchAfter))
		if err := ch.RecvInto(&s.msg); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		_ = ch.SetDeadline(s.latest)
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		ch.Interrupt()
	})
	err := ch.RecvInto(&s.msg)
	if stop() {
		return err
	}
	<-interrupted
	ch.Resume()
	if !errors.Is(err, os.ErrDeadlineExceeded) || !s.latest.IsZero() && !time.Now().Before(s.latest) {
		return err
	}
	_ = ch.SetDeadline(s.latest)
	if err := ch.CancelStream(); err != nil && !errors.Is(err, ipc.ErrWorkerGone) {
		return err
	}
	return ch.RecvInto(&s.msg)
}

// upload gives the worker its time anew after each part of the body: the client
// may have taken long.
type upload struct {
	io.Reader
	s  *stream
	ch *ipc.Channel
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	u.s.limit(u.ch)
	return n, err
}
