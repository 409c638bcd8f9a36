package ipc

// Ability is something beyond goridge that a worker understands. It names them
// in "accepts" of its answer to the pid request; the official packages name none.
type Ability uint8

const (
	// StopEarly: STOP may come before the first frame of an answer. The worker
	// still answers.
	StopEarly Ability = 1 << iota
	// AskBody: the worker can ask for the body of a job part by part.
	AskBody
	// SharedMemory: bodies may go through the worker's Segment. It says so only if it
	// was given one.
	SharedMemory
	// Slots: jobs and answers may go through the control page of the Segment.
	Slots
)

var abilities = map[string]Ability{"stop": StopEarly, "body": AskBody, "shm": SharedMemory, "slots": Slots}

// Accepts tells whether the worker has named the ability at the handshake.
func (c *Channel) Accepts(a Ability) bool { return c.accepts&a != 0 }

// Transport names the way that jobs and answers go: "slots" with the extension rr.so,
// "shm" when large bodies go through the Segment, else "pipe", which may be a socket.
// It is known after the handshake.
func (c *Channel) Transport() string {
	switch {
	case c.slots != nil:
		return "slots"
	case c.Accepts(SharedMemory):
		return "shm"
	}
	return "pipe"
}
