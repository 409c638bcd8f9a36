package worker

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc"
)

const (
	outputChunk = 64 << 10 // the most that one callback gets
	tailBytes   = 8 << 10  // what is kept for the post mortem
	tailLines   = 20
)

// Buffers are taken only while there is something to read, so 500 quiet workers
// hold none.
var outputBuffers = sync.Pool{New: func() any { return new([outputChunk]byte) }}

// output is what one worker prints: its stderr and, if it does not use it for frames,
// its stdout.
type output struct {
	sink func(Output) // may be nil

	mu   sync.Mutex // held while something is read and told
	out  Output     // whose RequestID is that of the last begin
	last []byte
}

// tell keeps the end of chunk for the post mortem and tells it. o.mu is held.
func (o *output) tell(chunk []byte) {
	o.last = append(o.last, chunk[max(0, len(chunk)-tailBytes):]...)
	if over := len(o.last) - tailBytes; over > 0 {
		o.last = append(o.last[:0], o.last[over:]...)
	}
	if o.sink != nil {
		out := o.out
		out.Chunk = chunk
		o.sink(out)
	}
}

func (o *output) tail() []string {
	o.mu.Lock()
	text := strings.ToValidUTF8(string(bytes.TrimRight(o.last, "\r\n")), "?")
	o.mu.Unlock()
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-tailLines):]
}

// outputPipe is one descriptor of an output.
type outputPipe struct {
	*output
	r  *os.File
	fd syscall.RawConn // of r, nil if it has none

	// lines: a line is told when it is complete, or when its request ends. PHP's
	// echo writes each word by itself.
	lines bool
	rest  []byte // the beginning of a line; guarded by mu
	// used is set with the first byte: a stdout that nobody writes to, as is usual,
	// costs a request nothing.
	used atomic.Bool

	waiting func(fd uintptr) // made once: begin allocates nothing
	unread  int
}

func (o *output) pipe(r *os.File, lines bool) *outputPipe {
	p := &outputPipe{output: o, r: r, lines: lines}
	p.fd, _ = r.SyscallConn()
	p.waiting = func(fd uintptr) { p.unread = ipc.UnreadFD(fd) }
	return p
}

// catchUp reads what the worker wrote in the request before and pump has not seen
// yet: without that, a line under load would be logged with the id of the next
// request. The price is one system call a request.
func (p *outputPipe) catchUp() {
	if p == nil || p.fd == nil {
		return
	}
	if p.lines && !p.used.Load() {
		return
	}
	p.unread = 0
	_ = p.fd.Control(p.waiting)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unread > 0 {
		_ = p.fd.Control(func(fd uintptr) { _, _ = p.read(fd) })
	}
	p.flush()
}

// begin makes what follows belong to the request id.
func (o *output) begin(id string) {
	o.mu.Lock()
	o.out.RequestID = id
	o.mu.Unlock()
}

// pump reads until the other side is closed or the deadline of stopAfter.
func (p *outputPipe) pump() {
	defer p.r.Close()
	if p.fd == nil {
		return
	}
	var n int
	var err error
	read := func(fd uintptr) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		n, err = p.read(fd)
		return err != unix.EAGAIN
	}
	for p.fd.Read(read) == nil && n > 0 && err == nil {
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flush()
}

// read reads and tells one chunk. p.mu is held.
func (p *outputPipe) read(fd uintptr) (n int, err error) {
	buf := outputBuffers.Get().(*[outputChunk]byte)
	defer outputBuffers.Put(buf)
	for {
		if n, err = unix.Read(int(fd), buf[:]); err != unix.EINTR {
			break
		}
	}
	if n > 0 {
		p.used.Store(true)
		p.add(buf[:n])
	}
	return n, err
}

// add takes what was read. p.mu is held.
func (p *outputPipe) add(chunk []byte) {
	if !p.lines {
		p.tell(chunk)
		return
	}
	whole := bytes.LastIndexByte(chunk, '\n') + 1
	switch {
	case whole > 0 && len(p.rest) == 0:
		p.tell(chunk[:whole])
	case whole > 0:
		p.rest = append(p.rest, chunk[:whole]...)
		p.flush()
	}
	if p.rest = append(p.rest, chunk[whole:]...); len(p.rest) >= outputChunk {
		p.flush()
	}
}

// flush tells a line that has no end yet. p.mu is held.
func (p *outputPipe) flush() {
	if len(p.rest) > 0 {
		p.tell(p.rest)
		p.rest = nil
	}
}

func (p *outputPipe) stopAfter(d time.Duration) {
	_ = p.r.SetReadDeadline(time.Now().Add(d))
}
