package systemd

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// send passes one message, with descriptor fd unless that is negative.
//
// Messages are sent with sendmsg on a socket of their own, as sd_notify does:
// net.UnixConn cannot pass descriptors over a connected datagram socket, and an
// open socket between messages would be one more descriptor to guard.
func (n *Notifier) send(msg string, fd int) error {
	if !n.Enabled() {
		return nil
	}
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot notify the service manager: %w", err)
	}
	defer unix.Close(s)
	timeout := unix.NsecToTimeval(sendTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout); err != nil {
		return fmt.Errorf("cannot notify the service manager: %w", err)
	}
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	for {
		// Sendmsg writes into the address, so each call has a copy.
		err = unix.Sendmsg(s, []byte(msg), rights, &unix.SockaddrUnix{Name: n.addr.Name}, unix.MSG_NOSIGNAL)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("cannot notify the service manager at %s: %w", n.addr.Name, err)
	}
	return nil
}

// sendConn passes one message with the descriptor of c, which stays open and
// keeps its mode: (*os.File).Fd or (net.Listener).File would change or copy it.
func (n *Notifier) sendConn(msg string, c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot pass a descriptor to the service manager: %w", err)
	}
	if cerr := raw.Control(func(fd uintptr) { err = n.send(msg, int(fd)) }); cerr != nil {
		return fmt.Errorf("cannot pass a descriptor to the service manager: %w", cerr)
	}
	return err
}
