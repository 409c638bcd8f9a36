package http

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/rr-systemd/rrd/ipc"
)

// patience is how long in all a worker waits for the client of its answer before
// what the client has not taken goes to disk.
const patience = 100 * time.Millisecond

// backlog stands between a worker that sends its answer in several messages and
// a client that reads at its own pace: what the client has not taken yet waits
// in memory, then on disk, and the worker is free. Only an answer that
// exceeds the limit of the disk holds its worker.
type backlog struct {
	stream ipc.Stream
	h      *handler
	done   chan struct{} // closed when the worker is let go
	ready  chan struct{} // there is something new for next
	room   chan struct{} // something was taken

	mu      sync.Mutex
	queue   []waiting
	memory  int64 // bytes of the queue in memory
	disk    int64 // bytes of the queue in file
	file    *os.File
	fileEnd int64
	err     error // what follows the queue
	ended   bool
	last    bool // the worker has sent its last message, which may not be queued yet
	stopped bool

	current ipc.Message // handed out by next
}

// waiting is a message of the queue. One with a size has its body in the file.
type waiting struct {
	ipc.Message
	cost int64 // memory
	at   int64
	size int64
}

// newBacklog takes the stream over; its first message has been moved out.
func newBacklog(h *handler, stream ipc.Stream) *backlog {
	b := &backlog{stream: stream, h: h, done: make(chan struct{}), ready: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	go b.fill()
	return b
}

// fill reads what the worker sends.
func (b *backlog) fill() {
	defer close(b.done)
	defer b.stream.Close()
	left := patience
	for {
		msg, err := b.stream.Next()
		if err != nil {
			b.end(err)
			return
		}
		more := msg.Stream
		if !more {
			b.mu.Lock()
			b.last = true
			b.mu.Unlock()
		}
		if !b.put(msg.Move(), &left) {
			return
		}
		if !more {
			b.end(io.EOF)
			return
		}
	}
}

func (b *backlog) end(err error) {
	b.mu.Lock()
	b.err, b.ended = err, true
	b.mu.Unlock()
	signal(b.ready)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put appends a message, false when nobody wants it any more.
func (b *backlog) put(msg ipc.Message, left *time.Duration) bool {
	cost := int64(msg.Size())
	for {
		b.mu.Lock()
		switch {
		case b.stopped:
			b.mu.Unlock()
			msg.Release()
			return false
		case b.memory == 0:
			b.h.budget.force(cost) // one message is always in memory
			b.keep(msg, cost)
			return true
		case b.memory+cost <= b.h.cfg.Buffers.Body && b.h.budget.take(cost):
			b.keep(msg, cost)
			return true
		case *left <= 0 && b.disk+int64(len(msg.Body)) <= b.h.cfg.Buffers.Spool && len(msg.Body) > 0:
			err := b.write(&msg)
			b.mu.Unlock()
			if err != nil {
				msg.Release()
				b.end(err)
				return false
			}
			signal(b.ready)
			return true
		}
		b.mu.Unlock()
		if *left <= 0 {
			<-b.room // the disk is full too, or it is a message without body
			continue
		}
		begin := time.Now()
		timer := time.NewTimer(*left)
		select {
		case <-b.room:
		case <-timer.C:
		}
		timer.Stop()
		*left -= time.Since(begin)
	}
}

func (b *backlog) keep(msg ipc.Message, cost int64) {
	b.memory += cost
	b.queue = append(b.queue, waiting{Message: msg, cost: cost})
	b.mu.Unlock()
	signal(b.ready)
}

// write appends a message whose body goes to the file.
func (b *backlog) write(msg *ipc.Message) (err error) {
	if b.file == nil {
		if b.file, err = spoolFile(b.h.cfg.Buffers.Dir); err != nil {
			return err
		}
	}
	if b.disk == 0 {
		b.fileEnd = 0
	}
	if _, err := b.file.WriteAt(msg.Body, b.fileEnd); err != nil {
		return err
	}
	w := waiting{at: b.fileEnd, size: int64(len(msg.Body))}
	w.Flags, w.Stream, w.Left, w.Last = msg.Flags, msg.Stream, msg.Left, msg.Last
	w.Context = append([]byte(nil), msg.Context...)
	b.fileEnd += w.size
	b.disk += w.size
	b.queue = append(b.queue, w)
	msg.Release()
	return nil
}

// next returns the next message, io.EOF after the last. It is valid until the
// following call of next or stop.
func (b *backlog) next() (*ipc.Message, error) {
	b.current.Release()
	for {
		b.mu.Lock()
		if len(b.queue) > 0 {
			break
		}
		err, ended := b.err, b.ended
		b.mu.Unlock()
		if ended {
			return nil, err
		}
		<-b.ready
	}
	w := b.queue[0]
	b.queue[0] = waiting{}
	if b.queue = b.queue[1:]; len(b.queue) == 0 {
		b.queue = nil
	}
	b.memory -= w.cost
	b.h.budget.give(w.cost)
	b.current = w.Message
	b.mu.Unlock()
	var err error
	if w.size > 0 {
		err = b.current.ReadBody(b.file, w.at, int(w.size))
		b.mu.Lock()
		b.disk -= w.size
		b.mu.Unlock()
	}
	signal(b.room)
	return &b.current, err
}

// over tells whether the worker's answer is at its end. It is once next has handed
// out the last message: to take the worker for busy then would end the read with
// which net/http waits for the next request, and cancel that one.
func (b *backlog) over() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended || b.last
}

// stop ends the answer wherever it is and lets the worker go.
func (b *backlog) stop() {
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()
	b.stream.Cancel()
	signal(b.room)
	<-b.done
	b.current.Release()
	for i := range b.queue {
		b.queue[i].Release()
		b.h.budget.give(b.queue[i].cost)
	}
	if b.file != nil {
		_ = b.file.Close()
	}
}
