package config

import "strings"

// DefaultRPCListen is where RoadRunner's RPC listens without `rpc.listen`.
const DefaultRPCListen = "tcp://127.0.0.1:6001"

// RPC is the section `rpc`.
type RPC struct {
	// Listen is tcp://host:port or unix://path, as written. Workers get it as
	// RR_RPC only if it is in the file; see Address for the default.
	Listen string `cfg:"listen"`
}

// Address is Listen with its default.
func (r *RPC) Address() string {
	if r.Listen == "" {
		return DefaultRPCListen
	}
	return r.Listen
}

// Defaults does nothing: Listen stays as it is, see Address.
func (r *RPC) Defaults() {}

// Validate returns [Errors]; Problem is RoadRunner's text where it has one.
func (r *RPC) Validate() error {
	if r.Listen == "" || validDSN(r.Listen) {
		return nil
	}
	return Errors{{Key: "rpc.listen", Value: r.Listen, Problem: "invalid socket DSN (tcp://:6001, unix://file.sock)", Fix: dsnAdvice(r.Listen)}}
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
