package http

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc/socket"
)

// goneCheck is how often the connection of an upload is looked at.
const goneCheck = 50 * time.Millisecond

// errClientGone is the cause of a context that watchClient has ended.
var errClientGone = errors.New("the client has closed the connection")

// watchClient ends the request's context when the client closes its connection
// while nobody reads the body, which is the case with request_streaming over HTTP/1:
// net/http notices it by reading, which would take what belongs to the body. So the
// kernel is asked for the state of the connection instead, whatever is still unread.
// As in net/http, a client that has closed its half only has gone.
//
// Rejected: a second descriptor of the socket in the poller, which would save these
// calls and cost one more descriptor for each upload.
//
// stop ends the watch and the context.
func watchClient(r *http.Request) (watched *http.Request, stop func()) {
	c, ok := r.Context().Value(connKey{}).(*conn)
	if !ok || c.raw == nil {
		return r, func() {}
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(goneCheck)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			if peerGone(c.raw) {
				cancel(errClientGone)
			}
		}
	}()
	return r.WithContext(ctx), func() {
		cancel(nil)
		<-done
	}
}

// peerGone tells whether the other side has closed the connection or its half of it.
func peerGone(s *socket.Socket) (gone bool) {
	_ = s.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p, 0)
		gone = err == nil && n > 0 && p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone
}

// connKey is the context key of a request's connection.
type connKey struct{}

// withConn is http.Server.ConnContext.
func withConn(ctx context.Context, nc net.Conn) context.Context {
	if c := connOf(nc); c != nil {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

// connOf is the connection below TLS, nil if it is not one of ours.
func connOf(nc net.Conn) *conn {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	c, _ := nc.(*conn)
	return c
}
