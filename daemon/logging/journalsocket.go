package logging

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// journalSocket sends datagrams to the journal; a large one as a sealed memory
// file whose descriptor is passed.
type journalSocket struct {
	path string

	mu     sync.RWMutex
	conn   *net.UnixConn
	closed bool

	busyUntil atomic.Int64 // unix nanoseconds; until then nothing is tried
}

// errJournalBusy: the record was dropped because the journal takes none.
var errJournalBusy = errors.New("the journal does not take records")

// A journal that takes nothing for this long is treated as gone: the server
// must not stand still because of its log.
const journalPatience = time.Second

func dialJournal(path string) (*journalSocket, error) {
	s := &journalSocket{path: path}
	conn, err := s.dial()
	if err != nil {
		return nil, err
	}
	s.conn = conn
	return s, nil
}

func (s *journalSocket) dial() (*net.UnixConn, error) {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	// Best effort: the larger it is, the fewer records need a memory file.
	_ = conn.SetWriteBuffer(8 << 20)
	return conn, nil
}

func (s *journalSocket) current() (*net.UnixConn, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, errClosed
	}
	return s.conn, nil
}

// send tries once more with a new connection when the journal was restarted.
func (s *journalSocket) send(datagram []byte) error {
	conn, err := s.current()
	if err != nil {
		return err
	}
	err = s.sendOn(conn, datagram)
	if err == nil || !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ENOTCONN) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	if conn, err = s.redial(conn); err != nil {
		return err
	}
	return s.sendOn(conn, datagram)
}

// redial replaces the connection that failed, unless another record did so.
func (s *journalSocket) redial(failed *net.UnixConn) (*net.UnixConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.conn != failed {
		return s.conn, nil
	}
	conn, err := s.dial()
	if err != nil {
		return nil, err
	}
	s.conn.Close()
	s.conn = conn
	return conn, nil
}

func (s *journalSocket) sendOn(conn *net.UnixConn, datagram []byte) error {
	now := time.Now()
	if s.busyUntil.Load() > now.UnixNano() {
		return errJournalBusy
	}
	if err := conn.SetWriteDeadline(now.Add(journalPatience)); err != nil {
		return err
	}
	_, err := conn.Write(datagram)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EMSGSIZE), errors.Is(err, syscall.ENOBUFS):
		err = sendFile(conn, datagram)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.busyUntil.Store(time.Now().Add(journalPatience).UnixNano())
		return errJournalBusy
	}
	return err
}

func sendFile(conn *net.UnixConn, datagram []byte) error {
	fd, err := unix.MemfdCreate("rrd-journal", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return fmt.Errorf("cannot make a memory file for the journal: %w", err)
	}
	f := os.NewFile(uintptr(fd), "rrd-journal")
	defer f.Close()
	if _, err := f.Write(datagram); err != nil {
		return err
	}
	// The journal reads a memory file only if nobody can change it any more.
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("cannot seal the memory file for the journal: %w", err)
	}
	return passFile(conn, fd)
}

// passFile goes around WriteMsgUnix, which refuses connected sockets.
func passFile(conn *net.UnixConn, fd int) error {
	rawConn, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	rights := unix.UnixRights(fd)
	var sendErr error
	err = rawConn.Write(func(socket uintptr) bool {
		sendErr = unix.Sendmsg(int(socket), nil, rights, nil, unix.MSG_NOSIGNAL)
		return sendErr != unix.EAGAIN && sendErr != unix.EINTR
	})
	return errors.Join(err, sendErr)
}

func (s *journalSocket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.conn.Close()
}
