package daemon

// Set by the linker (see packaging/build): -X github.com/rr-systemd/rrd/daemon.Version=...
var (
	// Version of rrd itself.
	Version = "0.1.0-dev"
	// BuildTime in RFC 3339, "unknown" for a plain go build.
	BuildTime = "unknown"
)

// RoadRunnerVersion is the RoadRunner release whose configuration, wire
// protocols and RPC rrd is compatible with. Workers get it as RR_VERSION and
// RPC clients from rpc.Version, because PHP packages compare it with the
// versions that they know.
const RoadRunnerVersion = "2025.1.15"
