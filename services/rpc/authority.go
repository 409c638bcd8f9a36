package rpc

import (
	"errors"
	"fmt"
	"strings"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
)

// Authority tells admins from others. Admins are root, the user that the daemon
// runs as, and the members of a group, but no process that is a worker. The
// zero value knows no workers and no such group.
type Authority struct {
	// AdminGroup is the id of the group whose members are admins, 0 for none.
	AdminGroup uint32
	// IsWorker tells whether a process is a worker, or was started by one. It
	// answers true in doubt. uid is the user that it connected as.
	IsWorker func(pid int, uid uint32) bool
	// Restricted leaves the methods of the roles Operator and Owner to admins.
	Restricted bool

	uid int // of the daemon
}

// refusedPrefix begins the text of every refusal, for clients that tell it from
// other errors.
const refusedPrefix = "rpc: refused: "

// RefusedError is a call of a method that is not for its peer.
type RefusedError struct {
	Method string
	Role   Role
	Peer   Peer

	restricted bool // it would be allowed otherwise
}

// Error names the method, its role, the caller and what to do about it.
func (e *RefusedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s is for the role %s, and the caller is %s; ", refusedPrefix, e.Method, e.Role, e.Peer)
	if e.Role == Owner {
		b.WriteString("the program would run as the daemon's user; ")
	}
	who := "as root, as the daemon's user outside of its workers, or as a member of the group rr-admin"
	if e.Role == Operator || e.Role == Owner && e.restricted {
		fmt.Fprintf(&b, "call it %s, or take `workers: restricted` out of the section rpc", who)
	} else {
		fmt.Fprintf(&b, "call it through the unix socket %s", who)
	}
	return b.String()
}

// Refused reports whether an error that a client got is a refusal.
func Refused(err error) bool {
	var remote *wire.RemoteError
	return errors.As(err, &remote) && strings.HasPrefix(remote.Error(), refusedPrefix)
}

// allow decides about one call.
func (a *Authority) allow(m Method, p Peer) error {
	own := !p.Known || int(p.UID) == a.uid
	switch {
	case p.Admin, m.Role == Anyone:
		return nil
	case !a.Restricted && (m.Role == Operator || m.Role == Owner && own):
		return nil
	}
	return &RefusedError{Method: m.Name, Role: m.Role, Peer: p, restricted: a.Restricted && own}
}
