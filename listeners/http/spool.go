package http

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// spoolFile makes a file without a name in dir. It is gone when it is closed,
// or when the daemon dies.
func spoolFile(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir+" (spool)"), nil
	}
	f, err := os.CreateTemp(dir, "body") // a file system without O_TMPFILE
	if err != nil {
		return nil, fmt.Errorf("cannot spool a body: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot spool a body: %w", err), f.Close())
	}
	return f, nil
}

// spoolPiece is read and written at once.
const spoolPiece = 128 << 10

// spoolBody writes head and the rest of the body to a file and returns it with
// its size. A nil file means that writing failed; other errors are the client's.
func (b *bodyReader) spoolBody(dir string, head []byte) (f *os.File, size int64, err error) {
	if f, err = spoolFile(dir); err != nil {
		return nil, 0, err
	}
	buf := newBody(spoolPiece)
	defer func() { freeBody(buf) }()
	for piece := head; ; {
		n, err := f.Write(piece)
		if size += int64(n); err != nil {
			return nil, 0, errors.Join(fmt.Errorf("cannot spool a body: %w", err), f.Close())
		}
		n, err = b.Read(buf[:cap(buf)])
		if piece = buf[:n]; err == io.EOF {
			n, err := f.Write(piece)
			if size += int64(n); err != nil {
				return nil, 0, errors.Join(fmt.Errorf("cannot spool a body: %w", err), f.Close())
			}
			return f, size, nil
		}
		if err != nil {
			return f, size, err
		}
	}
}
