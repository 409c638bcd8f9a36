package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/rr-systemd/rrd/ipc/goridge"
)

// ErrClosed: the connection ended, by Close or by the server, before the answer
// came. The call may have had effects.
var ErrClosed = errors.New("RPC connection closed")

// RemoteError is an error that the called method returned, or the server in its
// place. The connection stays usable.
type RemoteError struct {
	Method string
	Text   string
}

func (e *RemoteError) Error() string { return e.Text }

// Client is one connection to a server. It is safe for concurrent use; calls do
// not wait for each other's answers.
type Client struct {
	conn net.Conn
	done chan struct{} // the reading goroutine has ended

	write sync.Mutex // one frame at a time

	mu      sync.Mutex
	seq     uint32
	pending map[uint32]chan<- Frame
	err     error // why the connection ended
}

// Dial connects to a server's DSN: unix:///run/rr/app/rpc.sock or
// tcp://127.0.0.1:6001. ctx bounds the dialling only.
func Dial(ctx context.Context, dsn string) (*Client, error) {
	network, address, err := ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return NewClient(conn), nil
}

// NewClient makes a client of a connection and takes it over.
func NewClient(conn net.Conn) *Client {
	c := &Client{conn: conn, done: make(chan struct{}), pending: make(map[uint32]chan<- Frame)}
	go c.read()
	return c
}

// Call runs a method on the server and decodes its result into reply. arg and
// reply are pointers. The error is a *RemoteError when the server answered with
// one; it wraps ErrClosed when the connection ended; it is ctx's when ctx ended
// first (the method goes on running).
func (c *Client) Call(ctx context.Context, method string, codec Codec, arg, reply any) error {
	buf := GetBuffer()
	frame, err := Append(AppendCall(*buf, method), codec, arg)
	*buf = frame
	if err != nil {
		PutBuffer(buf)
		return fmt.Errorf("cannot encode the argument of %s: %w", method, err)
	}
	answer := make(chan Frame, 1)
	seq, err := c.begin(answer)
	if err != nil {
		PutBuffer(buf)
		return err
	}
	if err = Seal(frame, byte(codec), seq, len(method)); err == nil {
		err = c.send(ctx, frame)
	}
	PutBuffer(buf)
	if err != nil {
		c.forget(seq)
		return fmt.Errorf("cannot call %s: %w", method, err)
	}
	select {
	case f, ok := <-answer:
		if !ok {
			return c.cause()
		}
		defer f.Release()
		if f.Flags&goridge.Error != 0 {
			return &RemoteError{Method: method, Text: string(f.Body)}
		}
		if err := Decode(codec, f.Body, reply); err != nil {
			return fmt.Errorf("cannot decode the result of %s: %w", method, err)
		}
		return nil
	case <-ctx.Done():
		c.forget(seq)
		return ctx.Err()
	}
}

// Close ends the connection; running calls return ErrClosed. It is idempotent
// and returns when the reading goroutine has ended.
func (c *Client) Close() error {
	c.fail(ErrClosed)
	<-c.done
	return nil
}

// begin registers a call under a sequence number that no running call has.
func (c *Client) begin(answer chan<- Frame) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	for c.seq++; c.pending[c.seq] != nil; c.seq++ {
	}
	c.pending[c.seq] = answer
	return c.seq, nil
}

func (c *Client) forget(seq uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, seq)
}

func (c *Client) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// send writes one frame. A write that ctx interrupts has sent a part of the
// frame, so the connection is given up then.
func (c *Client) send(ctx context.Context, frame []byte) error {
	c.write.Lock()
	defer c.write.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = c.conn.SetWriteDeadline(time.Unix(1, 0))
	})
	_, err := c.conn.Write(frame)
	if !stop() {
		<-stopped
		_ = c.conn.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrClosed, err)
		c.fail(err)
	}
	return err
}

// read hands the answers to their calls until the connection ends.
func (c *Client) read() {
	defer close(c.done)
	r := NewReader(c.conn, 0)
	for {
		f, err := r.Next()
		if err != nil {
			c.fail(fmt.Errorf("%w: %w", ErrClosed, err))
			break
		}
		c.mu.Lock()
		answer := c.pending[f.Seq]
		delete(c.pending, f.Seq)
		c.mu.Unlock()
		if answer == nil {
			f.Release() // its caller has gone
			continue
		}
		answer <- f
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for seq, answer := range c.pending {
		delete(c.pending, seq)
		close(answer)
	}
}

// fail records the first reason and closes the connection, which ends read.
func (c *Client) fail(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.mu.Unlock()
	_ = c.conn.Close()
}

// Done is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.done }
