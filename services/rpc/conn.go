package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/ipc/socket"
)

// inlineBody is the longest argument, in bytes, of a call that the reading
// goroutine may run: a long one asks for much.
const inlineBody = 16 << 10

// conn is one client. One goroutine reads its frames. It runs and answers short
// calls itself (RegisterInline); each other call has a goroutine of its own, and
// whoever finishes writes its answer.
type conn struct {
	s    *Server
	nc   net.Conn
	sock *socket.Socket // nc, or nil if that is no socket
	rw   io.ReadWriter  // sock, or nc
	peer Peer

	slots   chan struct{} // one for each running call
	write   sync.Mutex    // one answer at a time
	refused sync.Once     // the first refusal is logged
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc, rw: nc, peer: s.opts.Authority.identify(nc), slots: make(chan struct{}, s.opts.MaxCalls)}
	if c.sock = socket.New(nc); c.sock != nil {
		c.rw = c.sock
	}
	return c
}

// run serves the connection until the peer or the server ends it, and returns
// when its calls have ended.
func (c *conn) run() {
	ctx, cancel := context.WithCancel(context.WithValue(c.s.ctx, peerKey{}, c.peer))
	defer cancel()
	var calls sync.WaitGroup
	r := wire.NewReader(c.rw, c.s.opts.MaxPayload)
	for {
		f, err := r.Next()
		if err != nil {
			if !c.s.stopping() {
				c.gone(err)
				// End of file may be half a close, by a client that still
				// reads; its answers are sent. Waiting on for it would keep
				// the locks and timers of dead clients, so methods that heed
				// their context end now.
				cancel()
			}
			break
		}
		c.slots <- struct{}{}
		rest := c.begin(ctx, f)
		if rest == nil {
			<-c.slots
			continue
		}
		calls.Go(func() {
			defer func() { <-c.slots }()
			rest()
		})
	}
	calls.Wait()
	_ = c.nc.Close()
}

// begin does what can be done of a call without waiting for anybody and returns
// what is left of it, nil for nothing.
//
// Rejected: to run a call here only if no other stands behind it in the buffer, so
// that several processors share them. It took a client that sends 32 at a time
// half again as much of the CPU's time, and longer.
func (c *conn) begin(ctx context.Context, f wire.Frame) (rest func()) {
	if c.sock == nil || len(f.Body) > inlineBody {
		return func() { c.send(c.answer(ctx, c.decode(f))) }
	}
	k := c.decode(f)
	if !k.inline() {
		return func() { c.send(c.answer(ctx, k)) }
	}
	return c.trySend(c.answer(ctx, k))
}

// send writes an answer, however long the peer takes to read, and gives its
// buffer back.
func (c *conn) send(answer *[]byte) {
	c.write.Lock()
	c.finish(answer, 0)
}

// finish writes an answer from a byte on, with the right to write, which it gives
// up.
func (c *conn) finish(answer *[]byte, from int) {
	defer c.write.Unlock()
	// A failed write means that the peer has gone, which the reading side
	// notices and reports.
	_, _ = c.rw.Write((*answer)[from:])
	wire.PutBuffer(answer)
}

// trySend is send as far as it goes at once; rest is as in begin.
func (c *conn) trySend(answer *[]byte) (rest func()) {
	if !c.write.TryLock() {
		return func() { c.send(answer) }
	}
	n, err := c.sock.TryWrite(*answer)
	if err == nil && n < len(*answer) {
		return func() { c.finish(answer, n) }
	}
	c.write.Unlock()
	wire.PutBuffer(answer)
	return nil
}

// gone logs why a connection ended, unless the peer just closed it.
func (c *conn) gone(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return
	}
	c.s.log.Warn("RPC connection closed", logkey.Error, err, "peer_pid", c.peer.PID, "peer_uid", c.peer.UID)
}

// drain stops reading; running calls still answer.
func (c *conn) drain() { _ = c.nc.SetReadDeadline(time.Unix(1, 0)) }

// Close cuts the connection.
func (c *conn) Close() error { return c.nc.Close() }
