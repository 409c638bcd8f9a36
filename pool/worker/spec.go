package worker

import (
	"strings"
	"syscall"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/cgroup"
	"github.com/rr-systemd/rrd/pool/isolate"
)

// Spec says how a worker process is started. It is read-only once a Spawner has
// it, so that many workers can share one.
type Spec struct {
	// Argv is the command line; Argv[0] is looked up in PATH of the daemon.
	Argv []string
	// Env is the whole environment ("KEY=value"). Of several entries with one
	// key the last wins. Variables with which systemd addresses the daemon
	// itself (NOTIFY_SOCKET, LISTEN_*, WATCHDOG_*) never reach a worker.
	Env []string
	// Dir is the working directory, "" for the daemon's own.
	Dir string
	// Credential is the user to run as, nil for the daemon's. Its Groups are
	// set exactly: an empty list clears the supplementary groups.
	Credential *syscall.Credential
	// Leaf is the control group that the process is born into, and that is
	// removed with it; nil for the daemon's own. Each process needs another.
	Leaf *cgroup.Leaf
	// Rlimits are set right after the start.
	Rlimits cgroup.Rlimits
	// Isolation narrows what the process may do.
	Isolation isolate.Plan
	// Relay is the listening socket the workers connect to; nil means that
	// frames go over stdin and stdout. It is not owned by the workers.
	Relay *Relay
	// Half is the size in bytes of each half of the memory that a worker with pipes
	// may share with the daemon, see ipc.Segment; 0 for none. Then it is not offered
	// a pipe of its own for frames either.
	Half int
	// Generation is told to Stderr.
	Generation uint64
	// Stderr gets what the worker writes to stderr (and to stdout, if that carries no
	// frames), in the chunks in which it was written, newlines included. Calls
	// for one worker do not overlap.
	Stderr func(Output)

	alone bool // see Program
}

// Output is something that a worker wrote.
type Output struct {
	PID        int
	Generation uint64
	// RequestID is that of the request in which it was written; what an idle
	// worker writes belongs to the request that it served last. "" before the
	// first one.
	RequestID string
	Chunk     []byte // only valid during the call
}

// Argv makes an argument vector of a command option. A single element is split
// at every single space, without quoting, as RoadRunner does (two spaces in a
// row give an empty argument); two or more elements are taken as they are.
func Argv(command []string) []string {
	if len(command) == 1 {
		return strings.Split(command[0], " ")
	}
	return command
}

// private are the variables that mean the daemon and nobody below it, or one
// worker. One that inherits NOTIFY_SOCKET could declare the service ready or dead.
var private = []string{ipc.AnnounceEnv, "NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC"}

// environ is the environment as it is handed to the kernel: without private
// variables, each key once, and with the PWD that belongs to dir.
func environ(env []string, dir string) []string {
	if dir != "" {
		env = append(env[:len(env):len(env)], "PWD="+dir)
	}
	drop := make(map[string]bool, len(env)+len(private))
	for _, key := range private {
		drop[key] = true
	}
	out := make([]string, 0, len(env))
	for i := len(env) - 1; i >= 0; i-- {
		key, _, ok := strings.Cut(env[i], "=")
		if !ok || key == "" || drop[key] || strings.IndexByte(env[i], 0) >= 0 {
			continue
		}
		drop[key] = true
		out = append(out, env[i])
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}
