package worker

// Cause is why a worker ended: one word in the log record, in the metric label
// and in `rrctl workers`.
type Cause uint8

const (
	NoCause       Cause = iota // lives
	MaxJobs                    // served max_jobs payloads
	TTL                        // supervisor.ttl
	IdleTTL                    // supervisor.idle_ttl
	ExecTTL                    // supervisor.exec_ttl: killed while working
	Memory                     // supervisor.max_worker_memory
	Exited                     // ended by itself; see Exit for the code
	Signaled                   // killed by a signal that the pool did not send
	Protocol                   // broke the protocol or closed its channel
	Reset                      // replaced by a new generation
	ScaleDown                  // no longer needed by the dynamic allocator
	Removed                    // informer.RemoveWorker
	Requested                  // asked to be stopped: answered {"stop":true}
	StreamTimeout              // did not end a cancelled stream in stream_timeout
	Debug                      // pool.debug: one worker per request
	Shutdown                   // the pool stopped
	BootFailed                 // never became ready
	OOM                        // killed for want of memory; Leaf().OOM() has the figures
)

var causeNames = [...]string{
	"", "max_jobs", "ttl", "idle_ttl", "exec_ttl", "memory", "exit", "signal", "protocol_error",
	"reset", "scale_down", "removed", "stop_requested", "stream_timeout", "debug", "stop", "boot", "oom",
}

func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return "unknown"
}

// Planned reports whether the end was part of normal service rather than a
// fault of the worker.
func (c Cause) Planned() bool {
	switch c {
	case MaxJobs, TTL, IdleTTL, Reset, ScaleDown, Removed, Requested, Debug, Shutdown:
		return true
	}
	return false
}

// state is the state a worker takes when it is let go for this cause. busy says
// whether it has a payload at that moment.
func (c Cause) state(busy bool) State {
	switch {
	case c == ExecTTL && busy:
		return ExecTTLReached
	case c == MaxJobs && busy:
		return MaxJobsReached
	case c == Memory:
		return MaxMemoryReached
	case c == TTL && !busy:
		return TTLReached
	case c == IdleTTL && !busy:
		return IdleTTLReached
	case (c == TTL || c == Requested) && busy:
		return Invalid
	case c == Protocol, c == Exited, c == Signaled, c == StreamTimeout, c == BootFailed, c == OOM:
		return Errored
	}
	return Stopping
}
