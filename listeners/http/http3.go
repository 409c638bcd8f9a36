package http

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// http3Server serves HTTP/3 on UDP sockets. QUIC lives in this process, so a
// connection does not outlive a restart; what this one can do is to end it in
// the way that makes a client try again at once (see shutdown), and leave the
// socket open, in which the next process finds the first packets.
type http3Server struct {
	server     http3.Server
	next       http.Handler
	transports []*quic.Transport
	listeners  []*quic.EarlyListener
	idle       time.Duration
	limiter    rateLimit

	mu    sync.Mutex
	conns map[*http3Conn]struct{}

	closing sync.WaitGroup // of connections
	closed  sync.Once
}

// http3Conn is one connection and what it does.
type http3Conn struct {
	quic   *quic.Conn
	active atomic.Int64
	since  atomic.Int64 // of its last change, in Unix nanoseconds
}

type http3ConnKey struct{}

// http3Options of newHTTP3.
type http3Options struct {
	conns      []net.PacketConn
	handler    http.Handler
	tls        *tls.Config
	timeouts   Timeouts
	maxStreams uint32
	zeroRTT    bool
	resetKey   *quic.StatelessResetKey
	log        *slog.Logger
}

// maxQUICIdle is how long a connection may be silent; each side sends something
// before that if it still cares. NAT forgets UDP about as soon.
const maxQUICIdle = 30 * time.Second

// newHTTP3 listens on sockets, which it closes.
func newHTTP3(o http3Options) (*http3Server, error) {
	h := &http3Server{next: o.handler, idle: limit(o.timeouts.Idle), conns: make(map[*http3Conn]struct{})}
	h.server = http3.Server{
		Handler:     h,
		ConnContext: h.track,
		Logger:      slog.New(serverLog{o.log.Handler()}),
	}
	config := &quic.Config{
		HandshakeIdleTimeout: limit(o.timeouts.ReadHeader),
		MaxIdleTimeout:       maxQUICIdle,
		MaxIncomingStreams:   int64(o.maxStreams),
		Allow0RTT:            o.zeroRTT,
	}
	if h.idle > 0 {
		config.MaxIdleTimeout = min(h.idle, maxQUICIdle)
	}
	for _, c := range o.conns {
		t := &quic.Transport{Conn: c, StatelessResetKey: o.resetKey, VerifySourceAddress: h.suspicious}
		l, err := t.ListenEarly(http3.ConfigureTLSConfig(o.tls), config)
		if err != nil {
			_ = h.close()
			return nil, fmt.Errorf("cannot serve HTTP/3 on %s: %w", c.LocalAddr(), err)
		}
		h.transports, h.listeners = append(h.transports, t), append(h.listeners, l)
	}
	return h, nil
}

// suspicious asks for a proof of the address when connections come faster than
// browsers open them: it costs a round trip, and forged addresses fail it.
func (h *http3Server) suspicious(net.Addr) bool { return !h.limiter.allow(time.Now(), 500) }

// rateLimit counts what happens in a second.
type rateLimit struct {
	mu     sync.Mutex
	second int64
	n      int
}

func (r *rateLimit) allow(now time.Time, most int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := now.Unix(); s != r.second {
		r.second, r.n = s, 0
	}
	r.n++
	return r.n <= most
}

// track keeps a connection as long as it is open.
func (h *http3Server) track(ctx context.Context, c *quic.Conn) context.Context {
	conn := &http3Conn{quic: c}
	conn.since.Store(time.Now().UnixNano())
	h.mu.Lock()
	h.conns[conn] = struct{}{}
	h.mu.Unlock()
	context.AfterFunc(c.Context(), func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.conns, conn)
	})
	return context.WithValue(ctx, http3ConnKey{}, conn)
}

// ServeHTTP is the outermost handler.
func (h *http3Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c, ok := r.Context().Value(http3ConnKey{}).(*http3Conn); ok {
		c.active.Add(1)
		defer func() {
			c.since.Store(time.Now().UnixNano())
			c.active.Add(-1)
		}()
	}
	w = &http3Writer{ResponseWriter: w}
	if !r.TLS.HandshakeComplete {
		if !replayable(r.Method) {
			// The client repeats it after the handshake (RFC 8470).
			http.Error(w, "too early", http.StatusTooEarly)
			return
		}
		r.Header.Set("Early-Data", "1")
	}
	if r.Body != nil {
		r.Body = &http3Body{r.Body}
	}
	h.next.ServeHTTP(w, r)
}

func replayable(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// run serves until shutdown or close, and closes idle connections.
func (h *http3Server) run() error {
	done := make(chan struct{})
	var sweeper sync.WaitGroup
	if h.idle > 0 {
		sweeper.Go(func() { h.sweep(done) })
	}
	errs := make([]error, len(h.listeners))
	var serving sync.WaitGroup
	for i, l := range h.listeners {
		serving.Go(func() {
			if err := h.server.ServeListener(l); !errors.Is(err, http.ErrServerClosed) {
				errs[i] = fmt.Errorf("cannot serve HTTP/3 on %s: %w", l.Addr(), err)
			}
		})
	}
	serving.Wait()
	close(done)
	sweeper.Wait()
	return errors.Join(errs...)
}

// sweep closes connections without a request. http3.Server can do that too, but
// takes a stream that was only opened for a request.
func (h *http3Server) sweep(done <-chan struct{}) {
	tick := time.NewTicker(max(h.idle/10, 100*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			h.closeConns(func(c *http3Conn) bool {
				return c.active.Load() == 0 && now.Sub(time.Unix(0, c.since.Load())) > h.idle
			})
		case <-done:
			return
		}
	}
}

// closeConns ends connections with a CONNECTION_CLOSE that says that nothing is
// wrong. The packets are on their way when it returns.
func (h *http3Server) closeConns(which func(*http3Conn) bool) {
	h.mu.Lock()
	var list []*http3Conn
	for c := range h.conns {
		if which(c) {
			list = append(list, c)
		}
	}
	h.mu.Unlock()
	var closing sync.WaitGroup
	for _, c := range list {
		closing.Go(func() { _ = c.quic.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") })
	}
	closing.Wait()
}

func (h *http3Server) len() int {
	if h == nil {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns)
}

// quiet tells whether no request runs.
func (h *http3Server) quiet() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		if c.active.Load() > 0 {
			return false
		}
	}
	return true
}

// stop refuses new connections; their first packets are dropped, and sent again
// when the next process has the socket.
func (h *http3Server) stop() {
	for _, l := range h.listeners {
		_ = l.Close()
	}
}

// shutdown says GOAWAY on all connections, so that clients send new requests
// elsewhere and know which of the sent ones to repeat, waits for the requests
// that run, and closes the connections. It comes after stop and the end of run.
func (h *http3Server) shutdown(ctx context.Context) error {
	// http3.Server waits for the clients to close; the connections are closed
	// below, which ends it, or by close.
	h.closing.Go(func() { _ = h.server.Shutdown(context.WithoutCancel(ctx)) })
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	lull := time.Now()
	for time.Since(lull) < drainIdle && h.len() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !h.quiet() {
			lull = time.Now()
		}
	}
	return h.close()
}

// close ends everything at once. It may be called again.
func (h *http3Server) close() error {
	var errs []error
	h.closed.Do(func() {
		h.stop()
		h.closeConns(func(*http3Conn) bool { return true })
		for _, t := range h.transports {
			errs = append(errs, t.Close(), t.Conn.Close())
		}
	})
	return errors.Join(errs...)
}

// wait ends when nothing of the server runs any more, after close.
func (h *http3Server) wait() { h.closing.Wait() }

// altSvc tells clients of TLS where HTTP/3 is (RFC 7838). ma is a day:
// quic-go's month outlives a HTTP/3 that was switched off.
func altSvc(ports []int) string {
	var text string
	for i, port := range ports {
		if i > 0 {
			text += ", "
		}
		text += `h3=":` + strconv.Itoa(port) + `"; ma=86400`
	}
	return text
}
