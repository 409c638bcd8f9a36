package files

import (
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// smallFile fits with its header into one packet of net/http's buffer, so
	// it is read and written: sendfile(2) would cost a second system call.
	smallFile = 3 << 10
	// piece is sent under one deadline.
	piece = 1 << 20
)

// Send answers r with a file: Range, If-Range, If-None-Match and
// If-Modified-Since are heeded (http.ServeContent), and what is not in the
// header already is set. modified is the zero time when there is no
// Last-Modified. pause bounds how long the client may take for the next MiB; 0
// is no limit.
func Send(w http.ResponseWriter, r *http.Request, f *os.File, name string, modified time.Time, pause time.Duration) {
	s := sender{ResponseWriter: w, control: http.NewResponseController(w), pause: pause}
	s.extend()
	http.ServeContent(&s, r, name, modified, f)
}

// sender gives net/http the file in pieces, each under a deadline of its own,
// and keeps the way to sendfile(2) open.
type sender struct {
	http.ResponseWriter
	control *http.ResponseController
	pause   time.Duration
}

// Unwrap serves http.ResponseController.
func (s *sender) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *sender) extend() {
	if s.pause > 0 {
		_ = s.control.SetWriteDeadline(time.Now().Add(s.pause)) // some writers have none
	}
}

var smallBuffers = sync.Pool{New: func() any { return new([smallFile]byte) }}

// ReadFrom implements io.ReaderFrom.
func (s *sender) ReadFrom(src io.Reader) (total int64, err error) {
	part, ok := src.(*io.LimitedReader)
	if ok && part.N <= smallFile {
		return s.sendSmall(part)
	}
	to, fast := s.ResponseWriter.(io.ReaderFrom)
	if !ok || !fast {
		return io.Copy(struct{ io.Writer }{s}, src)
	}
	for part.N > 0 {
		s.extend()
		n, err := to.ReadFrom(&io.LimitedReader{R: part.R, N: min(part.N, piece)})
		total += n
		part.N -= n
		if err != nil || n == 0 {
			return total, err
		}
	}
	return total, nil
}

func (s *sender) sendSmall(part *io.LimitedReader) (int64, error) {
	buf := smallBuffers.Get().(*[smallFile]byte)
	defer smallBuffers.Put(buf)
	n, err := io.ReadFull(part.R, buf[:part.N])
	part.N -= int64(n)
	if err == io.ErrUnexpectedEOF {
		err = nil // the file became shorter; net/http notices
	}
	if err != nil {
		return 0, err
	}
	n, err = s.ResponseWriter.Write(buf[:n])
	return int64(n), err
}

// Write implements io.Writer.
func (s *sender) Write(p []byte) (int, error) {
	s.extend()
	return s.ResponseWriter.Write(p)
}
