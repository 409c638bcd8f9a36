package rpc

import "fmt"

// Role says who may call a method. Who may connect at all is decided before, by
// the mode and group of the socket or, for TCP, by the address.
type Role uint8

const (
	// Anyone who may open the socket: workers and other clients (kv, lock,
	// metrics, app logger, what tells how things are).
	Anyone Role = iota
	// Operator: methods of RoadRunner that change what the daemon runs or show
	// its secrets (reset, scaling, rpc.Config). RoadRunner lets
	// everybody call them and its PHP packages count on that; Options.Restricted
	// leaves them to admins.
	Operator
	// Owner: an operator who may run programs as the daemon's user, because it is
	// the caller's user as well (service.Create). Else a worker with another user
	// could get the daemon's. Of a TCP client the user is unknown; it may, as in
	// RoadRunner.
	Owner
	// Admin: methods that RoadRunner does not have and that are no client's
	// business (reload, stop). Only admins may call them, always.
	Admin
)

func (r Role) String() string {
	switch r {
	case Anyone:
		return "anyone"
	case Operator:
		return "operator"
	case Owner:
		return "owner"
	case Admin:
		return "admin"
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}
