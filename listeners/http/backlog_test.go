package http

import (
	"io"
	"testing"

	"github.com/rr-systemd/rrd/ipc"
)

// twoMessages is an answer of two messages; the second is the last.
type twoMessages struct{ sent int }

func (s *twoMessages) Next() (*ipc.Message, error) {
	if s.sent == 2 {
		return nil, io.EOF
	}
	s.sent++
	return &ipc.Message{Body: []byte("part"), Stream: s.sent < 2, Last: s.sent == 2}, nil
}

func (*twoMessages) Close()  {}
func (*twoMessages) Cancel() {}

// TestBacklogIsOver: when the last message is there, the worker is done. Else
// the connection of a request whose body arrived meanwhile would be broken off.
func TestBacklogIsOver(t *testing.T) {
	h := &handler{budget: newBudget(1 << 20)}
	h.cfg.Buffers.Body = 1 << 20
	for range 2000 {
		b := newBacklog(h, new(twoMessages))
		for { // not next, which seldom comes between
			b.mu.Lock()
			n := len(b.queue)
			last := n > 0 && !b.queue[n-1].Stream
			b.mu.Unlock()
			if last {
				break
			}
		}
		over := b.over()
		b.stop()
		if !over {
			t.Fatal("the last message is there, and the worker is taken for busy")
		}
	}
}
