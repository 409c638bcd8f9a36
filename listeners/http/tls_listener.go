package http

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// tlsListener hands out connections whose handshake is over. net/http would do
// the handshake itself, but then nobody could tell a connection that has sent a
// part of a request from one that has only shaken hands, and a drain must (see
// conn). Failed handshakes are the noise of the Internet: they are logged as
// debug records.
type tlsListener struct {
	*listener
	config  *tls.Config
	timeout time.Duration // of a handshake; 0: none
	log     *slog.Logger

	life       context.Context // of the handshakes
	end        context.CancelFunc
	ready      chan net.Conn
	handshakes sync.WaitGroup
	err        error // why run ended; read after ready is closed
}

func newTLSListener(l *listener, config *tls.Config, timeout time.Duration, log *slog.Logger) *tlsListener {
	t := &tlsListener{listener: l, config: config, timeout: timeout, log: log, ready: make(chan net.Conn)}
	t.life, t.end = context.WithCancel(context.Background())
	return t
}

// Accept implements net.Listener. After the last connection it returns the error
// of the listener below.
func (l *tlsListener) Accept() (net.Conn, error) {
	if c, ok := <-l.ready; ok {
		return c, nil
	}
	return nil, l.err
}

// Close implements net.Listener. It ends handshakes.
func (l *tlsListener) Close() error {
	l.end()
	return l.listener.Close()
}

// drainHandshake is how long a handshake may still take when the listener has
// stopped: a few round trips.
const drainHandshake = 2 * time.Second

// run accepts until the listener ends, and waits for the handshakes.
func (l *tlsListener) run() {
	defer close(l.ready)
	var pause time.Duration
	for {
		nc, err := l.listener.Accept()
		if err == nil {
			pause = 0
			l.handshakes.Go(func() { l.handshake(nc.(*conn)) })
			continue
		}
		if !temporary(err) {
			l.err = err
			break
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		l.log.Error("cannot accept, trying again", logkey.Error, err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-l.life.Done():
		}
	}
	late := time.AfterFunc(drainHandshake, l.end)
	l.handshakes.Wait()
	late.Stop()
}

// temporary errors of accept are those of the process, such as too many open
// files, not of the socket.
func temporary(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && t.Temporary()
}

func (l *tlsListener) handshake(c *conn) {
	c.records = new(tlsRecords)
	t := tls.Server(c, l.config)
	ctx := l.life
	if l.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.timeout)
		defer cancel()
	}
	if err := t.HandshakeContext(ctx); err != nil {
		l.refuse(c, err)
		return
	}
	protocol := t.ConnectionState().NegotiatedProtocol
	if protocol == acmeProtocol {
		_ = t.Close() // the handshake was the whole message
		return
	}
	c.shaken(protocol == "h2")
	select {
	case l.ready <- t:
	case <-l.life.Done():
		_ = t.Close()
	}
}

// refuse closes a connection whose handshake failed. A client that speaks plain
// HTTP is told so, in Go's words.
func (l *tlsListener) refuse(c *conn, err error) {
	l.log.Debug("TLS handshake failed", "remote_address", c.RemoteAddr().String(), logkey.Error, err)
	if re, ok := errors.AsType[tls.RecordHeaderError](err); ok && re.Conn != nil && looksLikeHTTP(re.RecordHeader) {
		_, _ = io.WriteString(re.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
	}
	_ = c.Close()
}

// looksLikeHTTP tells whether the first bytes are those of a request line.
func looksLikeHTTP(b [5]byte) bool {
	switch string(b[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH":
		return true
	}
	return false
}

// tlsRecords follows the records (RFC 8446, 5.1) of a connection, to know whether
// all that was read is whole. HTTP/2 asks while it reads, so the answer is
// atomic.
type tlsRecords struct {
	head [5]byte // type, version, length
	have int     // of head
	left int     // of the content
	cut  atomic.Bool
}

// feed takes what was read; it is called by one reader at a time.
func (t *tlsRecords) feed(p []byte) {
	if t == nil || len(p) == 0 {
		return
	}
	for len(p) > 0 {
		if t.left > 0 {
			n := min(t.left, len(p))
			t.left -= n
			p = p[n:]
			continue
		}
		n := copy(t.head[t.have:], p)
		t.have += n
		p = p[n:]
		if t.have == len(t.head) {
			t.have, t.left = 0, int(t.head[3])<<8|int(t.head[4])
		}
	}
	t.cut.Store(t.have > 0 || t.left > 0)
}

// whole tells whether no record is cut off.
func (t *tlsRecords) whole() bool { return t == nil || !t.cut.Load() }
