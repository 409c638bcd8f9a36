package worker

import "time"

// Request is what a worker is doing, in words. Without a Since it is what the
// worker did last, or nothing yet.
type Request struct {
	ID     string
	Label  string
	Detail string
	Since  time.Time
}

// Request is the payload that the process has at this moment, or had last. Once
// the process is dead and Since is set, it is the payload that it died with.
func (p *Process) Request() Request {
	p.requestMu.Lock()
	defer p.requestMu.Unlock()
	return p.request
}

// requestOver keeps the request for the record: what an idle worker breaks is
// the doing of the request before.
func (p *Process) requestOver() {
	p.requestMu.Lock()
	p.request.Since = time.Time{}
	p.requestMu.Unlock()
}

func (p *Process) setRequest(r Request) {
	p.requestMu.Lock()
	p.request = r
	p.requestMu.Unlock()
}
