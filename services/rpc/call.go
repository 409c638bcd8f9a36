package rpc

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"

	"github.com/rr-systemd/rrd/ipc/goridge"
	"github.com/rr-systemd/rrd/ipc/logkey"
	wire "github.com/rr-systemd/rrd/ipc/rpc"
)

// call is a frame on its way to its answer.
type call struct {
	flags  byte
	seq    uint32
	name   string // of the method, whether there is one or not
	method *method
	arg    any
	err    error // why the method must not run
}

// decode finds the method, checks the caller's right, decodes the argument and
// releases the frame.
func (c *conn) decode(f wire.Frame) *call {
	defer f.Release()
	k := &call{flags: f.Flags, seq: f.Seq}
	k.method, k.err = c.s.find(f.Method)
	if k.err != nil {
		k.name = string(f.Method)
		return k
	}
	k.name = k.method.Name
	if k.err = c.allow(k.method); k.err == nil {
		k.arg, k.err = k.method.decode(f.Flags, f.Body)
	}
	return k
}

// inline tells whether the answer takes no waiting.
func (k *call) inline() bool {
	return k.err != nil || k.method.inline != nil && k.method.inline(k.arg)
}

// answer runs the method and returns the frame to send.
func (c *conn) answer(ctx context.Context, k *call) *[]byte {
	buf := wire.GetBuffer()
	head := wire.AppendCall(*buf, k.name)
	out, err := head, k.err
	if err == nil {
		out, err = c.invoke(ctx, k, head)
	}
	flags := byte(wire.AnswerCodec(k.flags))
	if err != nil {
		flags |= goridge.Error
		out = append(head, err.Error()...)
	}
	*buf = out
	if err := wire.Seal(out, flags, k.seq, len(k.name)); err != nil {
		c.s.log.Error("cannot answer an RPC call", "method", k.name, logkey.Error, err)
		_ = c.nc.Close() // the caller would wait for ever
	}
	return buf
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

// invoke calls the method and appends its result to out. A panic in it is the
// method's bug, not the daemon's end: the caller gets an error and the log the
// stack.
func (c *conn) invoke(ctx context.Context, k *call, out []byte) (result []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.s.log.Error("RPC method panicked", "method", k.name, logkey.Error, fmt.Sprint(p),
				"peer_pid", c.peer.PID, "stack", string(bytes.TrimSpace(debug.Stack())))
			result, err = out, fmt.Errorf("rpc: internal error in %s: %v", k.name, p)
		}
	}()
	return k.method.run(ctx, k.flags, k.arg, out)
}
