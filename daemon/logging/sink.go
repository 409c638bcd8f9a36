package logging

import (
	"errors"
	"io"
	"os"
	"sync"
)

// errClosed: the sink was closed by Reload or Close.
var errClosed = errors.New("log output is closed")

// sink takes whole lines and keeps concurrent ones apart.
type sink interface {
	write(line []byte) error
}

type closableSink interface {
	sink
	io.Closer
}

// console is standard output or error; it stays open for ever.
type console struct {
	mu sync.Mutex
	w  io.Writer
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.w.Write(p)
}

type stdSink struct{ w io.Writer }

func (o *opener) std(w io.Writer) sink { return stdSink{w} }

func (s stdSink) write(line []byte) error {
	_, err := s.w.Write(line)
	return err
}

// file appends to a file.
type file struct {
	mu sync.Mutex
	f  *os.File // nil when closed
}

func (s *file) write(line []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return errClosed
	}
	_, err := s.f.Write(line)
	return err
}

func (s *file) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f = nil
	return err
}
