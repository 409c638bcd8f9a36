package worker

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
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
	sink func(chunk []byte) // may be nil

	mu   sync.Mutex
	last []byte
}

// pump reads until the other side is closed or the deadline of stopAfter.
func (s *stderr) pump() {
	defer s.r.Close()
	rc, err := s.r.SyscallConn()
	if err != nil {
		return
	}
	var buf *[stderrChunk]byte
	var n int
	var readErr error
	read := func(fd uintptr) bool {
		buf = stderrBuffers.Get().(*[stderrChunk]byte)
		for {
			n, readErr = unix.Read(int(fd), buf[:])
			if readErr != unix.EINTR {
				break
			}
		}
		if readErr == unix.EAGAIN {
			stderrBuffers.Put(buf)
			return false
		}
		return true
	}
	for {
		if err := rc.Read(read); err != nil {
			return
		}
		if n > 0 {
			s.add(buf[:n])
		}
		stderrBuffers.Put(buf)
		if n <= 0 || readErr != nil {
			return
		}
	}
}

func (s *stderr) stopAfter(d time.Duration) {
	_ = s.r.SetReadDeadline(time.Now().Add(d))
}

func (s *stderr) add(chunk []byte) {
	s.mu.Lock()
	s.last = append(s.last, chunk[max(0, len(chunk)-tailBytes):]...)
	if over := len(s.last) - tailBytes; over > 0 {
		s.last = append(s.last[:0], s.last[over:]...)
	}
	s.mu.Unlock()
	if s.sink != nil {
		s.sink(chunk)
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
