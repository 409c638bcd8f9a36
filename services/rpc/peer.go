package rpc

import (
	"context"
	"net"

	"golang.org/x/sys/unix"
)

// Peer is the process at the other end of a connection.
type Peer struct {
	// Known is false for TCP, which does not tell; then the rest is zero.
	Known bool
	// PID, UID and GID are those of the process that called connect(2), at
	// that moment (SO_PEERCRED). The process may have ended since, and its
	// pid may be another's now.
	PID      int
	UID, GID uint32
}

type peerKey struct{}

// PeerFrom returns the peer whose call ctx belongs to.
func PeerFrom(ctx context.Context) Peer {
	p, _ := ctx.Value(peerKey{}).(Peer)
	return p
}

func identify(conn net.Conn) Peer {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return Peer{}
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return Peer{}
	}
	var cred *unix.Ucred
	if ctlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); ctlErr != nil || err != nil {
		return Peer{}
	}
	return Peer{Known: true, PID: int(cred.Pid), UID: cred.Uid, GID: cred.Gid}
}
