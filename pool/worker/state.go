package worker

import "fmt"

// State is where a worker is in its life. Codes and strings are those of
// RoadRunner's informer, which clients of the RPC interface know.
type State uint8

const (
	Inactive         State = 0  // started, handshake not done
	Ready            State = 1  // waits for a payload
	Working          State = 2  // has a payload
	Invalid          State = 3  // a limit passed while it was working
	Stopping         State = 4  // was asked to end
	Stopped          State = 5  // the process has ended
	Destroyed        State = 6  // the process was killed
	MaxJobsReached   State = 7  // served max_jobs payloads
	Errored          State = 8  // broke its channel or the protocol
	IdleTTLReached   State = 9  // was idle for idle_ttl
	TTLReached       State = 10 // lives for ttl
	MaxMemoryReached State = 11 // holds more than max_worker_memory
	ExecTTLReached   State = 12 // worked longer than exec_ttl
)

var stateNames = [...]string{
	"inactive", "ready", "working", "invalid", "stopping", "stopped", "destroyed",
	"maxJobsReached", "errored", "idleTTLReached", "ttlReached", "maxMemoryReached",
	"undefined", // RoadRunner has a code but no word for exec TTL
}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "undefined"
}

// To is the only way from one state to another; an error says that the move
// does not exist.
//
//	           handshake             payload
//	Inactive ------------> Ready ---------------> Working
//	                         ^ ------------------/ | | |
//	                         |       answer        | | |
//	Ready: IdleTTLReached <--+                     | | |
//	       TTLReached        |                     | | +--> MaxJobsReached
//	       MaxMemoryReached  |                     | +----> Invalid (ttl, memory)
//	                         |                     +------> ExecTTLReached
//	                         |                              MaxMemoryReached
//	   any of the above, Inactive, Ready, Working
//	                         |
//	                         +--> Errored          the channel broke
//	                         +--> Stopping --+---> Stopped    final
//	                         +---------------+---> Destroyed  final
func (s State) To(next State) (State, error) {
	if s.can(next) {
		return next, nil
	}
	return s, fmt.Errorf("a worker cannot go from state %q (%d) to %q (%d)", s, s, next, next)
}

func (s State) can(next State) bool {
	switch s {
	case Stopped, Destroyed:
		return false
	case Stopping:
		return next == Stopped || next == Destroyed
	}
	switch next {
	case Ready:
		return s == Inactive || s == Working
	case Working:
		return s == Ready
	case IdleTTLReached, TTLReached:
		return s == Ready
	case MaxMemoryReached:
		return s == Ready || s == Working
	case MaxJobsReached, Invalid, ExecTTLReached:
		return s == Working
	case Errored:
		return s != Errored
	case Stopping, Stopped, Destroyed:
		return true
	}
	return false
}
