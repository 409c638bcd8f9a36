package rpc

import "fmt"

// Role says for whom a method is meant.
//
// Roles document the methods; nothing enforces them. Who may connect is decided
// by the mode and group of the socket (or, for TCP, by the address), and every
// accepted peer may call every method, as in RoadRunner.
type Role uint8

const (
	// Anyone: workers and other clients (kv, lock, jobs, metrics, app logger).
	Anyone Role = iota
	// Admin: changes what the daemon runs (reset, reload, stop, scaling).
	Admin
)

func (r Role) String() string {
	switch r {
	case Anyone:
		return "anyone"
	case Admin:
		return "admin"
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}
