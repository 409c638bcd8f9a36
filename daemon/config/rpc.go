package config

import (
	"fmt"
	"net"
	"strings"
)

// DefaultRPCListen is where RoadRunner's RPC listens without `rpc.listen`.
const DefaultRPCListen = "tcp://127.0.0.1:6001"

// Values of rpc.workers.
const (
	workersCompatible = "compatible"
	workersRestricted = "restricted"
)

// RPC is the section `rpc`.
type RPC struct {
	// Listen is tcp://host:port or unix://path, as written. Workers get it as
	// RR_RPC only if it is in the file; see Address for the default.
	Listen string `cfg:"listen"`
	// Workers says what workers, and other clients that are no admins, may call:
	// "compatible" is what RoadRunner lets them, "restricted" leaves out the
	// methods that change what the daemon runs.
	Workers string `cfg:"workers"`
}

// Address is Listen with its default.
func (r *RPC) Address() string {
	if r.Listen == "" {
		return DefaultRPCListen
	}
	return r.Listen
}

// Restricted tells whether methods of operators are left to admins.
func (r *RPC) Restricted() bool { return r.Workers == workersRestricted }

// Defaults sets what is not given. Listen stays as it is, see Address.
func (r *RPC) Defaults() {
	if r.Workers == "" {
		r.Workers = workersCompatible
	}
}

// Validate returns [Errors]; Problem is RoadRunner's text where it has one.
func (r *RPC) Validate() error {
	var errs Errors
	if r.Listen != "" && !validDSN(r.Listen) {
		errs = append(errs, &Error{Key: "rpc.listen", Value: r.Listen, Problem: "invalid socket DSN (tcp://:6001, unix://file.sock)", Fix: dsnAdvice(r.Listen)})
	} else {
		errs = append(errs, checkAddress("rpc.listen", r.Listen)...)
	}
	switch r.Workers {
	case "", workersCompatible, workersRestricted:
	default:
		errs = append(errs, &Error{Key: "rpc.workers", Value: r.Workers, Problem: fmt.Sprintf("unknown value %q", r.Workers), Fix: "write compatible or restricted"})
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// Warnings names what works and is hardly meant, each as "key: problem".
func (r *RPC) Warnings() []string {
	if r == nil {
		return nil
	}
	address, tcp := strings.CutPrefix(r.Listen, "tcp://")
	if !tcp || loopback(address) {
		return nil
	}
	what := "anybody who reaches it may reset pools, start programs (service.Create) and read the configuration with its secrets"
	if r.Restricted() {
		what = "anybody who reaches it may use kv, locks, metrics and the log"
	}
	return []string{"rpc.listen: " + address + " is open to the network, and TCP clients cannot be identified: " + what +
		"; listen on a unix socket or on 127.0.0.1"}
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func dsnAdvice(listen string) string {
	switch scheme, _, ok := strings.Cut(listen, "://"); {
	case !ok && strings.HasPrefix(listen, "/"):
		return "write unix://" + listen
	case !ok:
		return "write tcp://" + listen
	default:
		return "scheme " + scheme + " is unknown; write tcp://127.0.0.1:6001 or unix:///run/rr/app/rpc.sock"
	}
}
