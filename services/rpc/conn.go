package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
	"github.com/rr-systemd/rrd/ipc/logkey"
	wire "github.com/rr-systemd/rrd/ipc/rpc"
)

// conn is one client. One goroutine reads its frames, each call has one of its
// own, and whoever finishes writes its answer.
type conn struct {
	s    *Server
	nc   net.Conn
	peer Peer

	slots   chan struct{} // one for each running call
	write   sync.Mutex    // one answer at a time
	refused sync.Once     // the first refusal is logged
}

func newConn(s *Server, nc net.Conn) *conn {
	return &conn{s: s, nc: nc, peer: s.opts.Authority.identify(nc), slots: make(chan struct{}, s.opts.MaxCalls)}
}

// run serves the connection until the peer or the server ends it, and returns
// when its calls have ended.
func (c *conn) run() {
	ctx, cancel := context.WithCancel(context.WithValue(c.s.ctx, peerKey{}, c.peer))
	defer cancel()
	var calls sync.WaitGroup
	r := wire.NewReader(c.nc, c.s.opts.MaxPayload)
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
		calls.Go(func() {
			defer func() { <-c.slots }()
			c.serve(ctx, f)
		})
	}
	calls.Wait()
	_ = c.nc.Close()
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

// serve runs one call and answers it.
func (c *conn) serve(ctx context.Context, f wire.Frame) {
	flags, seq := f.Flags, f.Seq
	buf := wire.GetBuffer()
	defer wire.PutBuffer(buf)

	m, err := c.s.find(f.Method)
	var name string
	if err == nil {
		name = m.Name
	} else {
		name = string(f.Method)
	}
	if err == nil {
		err = c.allow(m)
	}
	var arg any
	if err == nil {
		arg, err = m.decode(flags, f.Body)
	}
	f.Release()

	head := wire.AppendCall(*buf, name)
	out := head
	if err == nil {
		out, err = c.call(ctx, m, flags, arg, head)
	}
	answer := byte(wire.AnswerCodec(flags))
	if err != nil {
		answer |= goridge.Error
		out = append(head, err.Error()...)
	}
	*buf = out[:0]
	if err := wire.Seal(out, answer, seq, len(name)); err != nil {
		c.s.log.Error("cannot answer an RPC call", "method", name, logkey.Error, err)
		_ = c.nc.Close() // the caller would wait for ever
		return
	}
	c.write.Lock()
	defer c.write.Unlock()
	// A failed write means that the peer has gone, which the reading side
	// notices and reports.
	_, _ = c.nc.Write(out)
}

// allow checks the caller's right. The log has the first refusal of a
// connection, not a line for each try.
func (c *conn) allow(m *method) error {
	err := c.s.opts.Authority.allow(m.Method, c.peer)
	if err != nil {
		c.refused.Do(func() {
			c.s.log.Warn("RPC call refused", "method", m.Name, "role", m.Role.String(),
				"peer_pid", c.peer.PID, "peer_uid", c.peer.UID, "peer_kind", c.peer.Kind())
		})
	}
	return err
}

// call runs the method. A panic in it is the method's bug, not the daemon's
// end: the caller gets an error and the log the stack.
func (c *conn) call(ctx context.Context, m *method, flags byte, arg any, out []byte) (result []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.s.log.Error("RPC method panicked", "method", m.Name, logkey.Error, fmt.Sprint(p),
				"peer_pid", c.peer.PID, "stack", string(bytes.TrimSpace(debug.Stack())))
			result, err = out, fmt.Errorf("rpc: internal error in %s: %v", m.Name, p)
		}
	}()
	return m.run(ctx, flags, arg, out)
}
