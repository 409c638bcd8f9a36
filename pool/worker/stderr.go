package worker

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc"
)

const (
	stderrChunk = 64 << 10 // the most that one callback gets
	tailBytes   = 8 << 10  // what is kept for the post mortem
	tailLines   = 20
)

// Buffers are taken only while there is something to read, so 500 quiet workers
// hold none.
var stderrBuffers = sync.Pool{New: func() any { return new([stderrChunk]byte) }}

// stderr reads one worker's error output.
type stderr struct {
	r    *os.File
	fd   syscall.RawConn // of r, nil if it has none
	sink func(Output)    // may be nil

	mu   sync.Mutex // held while something is read and told
	out  Output     // whose RequestID is that of the last Begin
	last []byte

	waiting func(fd uintptr) // made once: begin allocates nothing
	unread  int
}

func newStderr(r *os.File, out Output, sink func(Output)) *stderr {
	s := &stderr{r: r, out: out, sink: sink}
	s.fd, _ = r.SyscallConn()
	s.waiting = func(fd uintptr) { s.unread = ipc.UnreadFD(fd) }
	return s
}

// begin makes what follows belong to the request id. What the worker wrote in
// the request before, and pump has not seen yet, is read first: without that, a
// line under load would be logged with the id of the next request. The price is
// one system call a request.
func (s *stderr) begin(id string) {
	if s.fd == nil {
		return
	}
	s.unread = 0
	_ = s.fd.Control(s.waiting)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unread > 0 {
		_ = s.fd.Control(func(fd uintptr) { _, _ = s.read(fd) })
	}
	s.out.RequestID = id
}

// pump reads until the other side is closed or the deadline of stopAfter.
func (s *stderr) pump() {
	defer s.r.Close()
	if s.fd == nil {
		return
	}
	var n int
	var err error
	read := func(fd uintptr) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		n, err = s.read(fd)
		return err != unix.EAGAIN
	}
	for {
		if s.fd.Read(read) != nil || n <= 0 || err != nil {
			return
		}
	}
}

// read reads and tells one chunk. s.mu is held.
func (s *stderr) read(fd uintptr) (n int, err error) {
	buf := stderrBuffers.Get().(*[stderrChunk]byte)
	defer stderrBuffers.Put(buf)
	for {
		if n, err = unix.Read(int(fd), buf[:]); err != unix.EINTR {
			break
		}
	}
	if n > 0 {
		s.add(buf[:n])
	}
	return n, err
}

func (s *stderr) stopAfter(d time.Duration) {
	_ = s.r.SetReadDeadline(time.Now().Add(d))
}

// add keeps the end of chunk for the post mortem and tells it. s.mu is held.
func (s *stderr) add(chunk []byte) {
	s.last = append(s.last, chunk[max(0, len(chunk)-tailBytes):]...)
	if over := len(s.last) - tailBytes; over > 0 {
		s.last = append(s.last[:0], s.last[over:]...)
	}
	if s.sink != nil {
		out := s.out
		out.Chunk = chunk
		s.sink(out)
	}
}

func (s *stderr) tail() []string {
	s.mu.Lock()
	text := strings.ToValidUTF8(string(bytes.TrimRight(s.last, "\r\n")), "?")
	s.mu.Unlock()
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-tailLines):]
}
