package worker

import "time"

// Request is what a worker is doing, in words; the zero value means nothing.
type Request struct {
	ID     string
	Label  string
	Detail string
	Since  time.Time
}

// Request is the payload that the process has at this moment. Once the process
// is dead it is the payload that it died with.
func (p *Process) Request() Request {
	p.requestMu.Lock()
	defer p.requestMu.Unlock()
	return p.request
}

func (p *Process) setRequest(r Request) {
	p.requestMu.Lock()
	p.request = r
	p.requestMu.Unlock()
}
