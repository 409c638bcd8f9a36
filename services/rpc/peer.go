package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Peer is the process at the other end of a connection.
type Peer struct {
	// Known is false for TCP, which does not tell; then the rest is zero.
	Known bool
	// PID, UID and GID are those of the process that called connect(2), at
	// that moment (SO_PEERCRED). The process may have ended since, and its
	// pid may be another's now. PID is 0 for a process of a pid namespace that
	// the daemon does not see into.
	PID      int
	UID, GID uint32
	// Worker: it is a worker or was started by one.
	Worker bool
	// Ended: it had ended before the daemon saw what it was, and left its
	// connection to somebody unknown. It has the rights of a worker.
	Ended bool
	// Admin: it may call every method.
	Admin bool
}

func (p Peer) String() string {
	if !p.Known {
		return "a TCP client, which cannot be identified"
	}
	kind := map[string]string{"admin": "an admin", "worker": "a worker or was started by one",
		"ended": "a process that has ended", "client": "a client"}[p.Kind()]
	return fmt.Sprintf("%s (pid %d, uid %d)", kind, p.PID, p.UID)
}

// Kind is admin, worker, ended, client or tcp.
func (p Peer) Kind() string {
	switch {
	case !p.Known:
		return "tcp"
	case p.Admin:
		return "admin"
	case p.Ended:
		return "ended"
	case p.Worker:
		return "worker"
	}
	return "client"
}

type peerKey struct{}

// PeerFrom returns the peer whose call ctx belongs to.
func PeerFrom(ctx context.Context) Peer {
	p, _ := ctx.Value(peerKey{}).(Peer)
	return p
}

// identify asks the kernel who has connected, once: what a connection may do
// does not change. Whoever is handed the connection has what its opener had, as
// with any descriptor.
func (a *Authority) identify(conn net.Conn) Peer {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return Peer{}
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return Peer{}
	}
	var p Peer
	// An error of Control means that the connection is closed.
	_ = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return
		}
		p = Peer{Known: true, PID: int(cred.Pid), UID: cred.Uid, GID: cred.Gid}
		p.Worker, p.Ended = a.worker(int(fd), p)
		p.Admin = !p.Worker && !p.Ended && a.admin(int(fd), p)
	})
	return p
}

// worker tells whether the peer is a worker, or has ended. A pid is a name that
// another process can get: what /proc says of it is believed only if the peer
// still lived afterwards, which a pidfd tells.
func (a *Authority) worker(socket int, p Peer) (worker, gone bool) {
	if a.IsWorker == nil || p.PID == 0 {
		return false, false
	}
	pidfd, err := peerPidfd(socket, p.PID)
	switch {
	case err == nil:
		defer unix.Close(pidfd)
		worker = a.IsWorker(p.PID, p.UID)
		gone = ended(pidfd)
		return worker && !gone, gone
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
		// Linux before 5.3, or a container's filter: the pid has to do.
		return a.IsWorker(p.PID, p.UID), false
	}
	return false, true
}

// peerPidfd refers to the process that connected (SO_PEERPIDFD, since Linux
// 6.5), or else to the one that has its pid now, a moment later.
func peerPidfd(socket, pid int) (int, error) {
	fd, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if errors.Is(err, unix.ENOPROTOOPT) {
		fd, err = unix.PidfdOpen(pid, 0)
	}
	return fd, err
}

func ended(pidfd int) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return err != nil || n != 0
		}
	}
}

func (a *Authority) admin(socket int, p Peer) bool {
	if p.UID == 0 || int(p.UID) == a.uid {
		return true
	}
	if a.AdminGroup == 0 {
		return false
	}
	return p.GID == a.AdminGroup || slices.Contains(peerGroups(socket), a.AdminGroup)
}

// peerGroups are the supplementary groups of the process that connected
// (SO_PEERGROUPS, since Linux 4.13).
func peerGroups(socket int) []uint32 {
	groups := make([]uint32, 64)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(socket), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4]
		case errno != unix.ERANGE || int(size/4) <= len(groups):
			return nil
		}
		groups = make([]uint32, size/4)
	}
}
