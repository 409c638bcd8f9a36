package http

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/rr-systemd/rrd/ipc"
)

// dialQUIC opens a connection for HTTP/3.
func (e *everything) dialQUIC(t testing.TB, config *tls.Config) *quic.Conn {
	t.Helper()
	config = config.Clone()
	config.RootCAs, config.NextProtos, config.ServerName = e.ca.pool, []string{"h3"}, "localhost"
	c, err := quic.DialAddrEarly(t.Context(), e.udp, config, &quic.Config{HandshakeIdleTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseWithError(0, "") })
	return c
}

// TestShutdownOfHTTP3: the running request is answered, further ones are refused
// in a way that lets clients repeat them, and the connection ends without an
// error.
func TestShutdownOfHTTP3(t *testing.T) {
	release := make(chan bool)
	e := serveAll(t, Config{}, execFunc(func(_ context.Context, p *ipc.Payload) (ipc.Stream, error) {
		if p.Detail == "/slow" {
			<-release
		}
		return &frames{list: []*ipc.Message{msg(okContext, p.Detail)}}, nil
	}))
	busy, idle := e.dialQUIC(t, &tls.Config{}), e.dialQUIC(t, &tls.Config{})
	client, other := (&http3.Transport{}).NewClientConn(busy), (&http3.Transport{}).NewClientConn(idle)
	from := func(client *http3.ClientConn, path string) (string, error) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "https://localhost"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.RoundTrip(r)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return string(b), err
	}
	get := func(path string) (string, error) { return from(client, path) }
	// A connection that is closed in the middle of its handshake ends otherwise.
	if text, err := from(other, "/first"); err != nil || text != "/first" {
		t.Fatal(text, err)
	}
	slow := make(chan string, 1)
	go func() {
		text, err := get("/slow")
		slow <- text + errText(err)
	}()
	waitFor(t, "the request", func() bool { return e.Stats().Active == 1 && e.h3.len() == 2 })
	done := e.shutdown(t)
	waitFor(t, "GOAWAY", func() bool { _, err := get("/late"); return err != nil })
	select {
	case err := <-done:
		t.Fatal("did not wait: ", err)
	default:
	}
	close(release)
	if text := <-slow; text != "/slow" {
		t.Error(text)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, c := range []*quic.Conn{busy, idle} {
		<-c.Context().Done()
		var app *quic.ApplicationError
		if err := context.Cause(c.Context()); !errors.As(err, &app) || app.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeNoError) {
			t.Errorf("the connection ended with %v", err)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// keeper holds a UDP socket open between servers, as systemd does.
func keeper(t *testing.T) (file *os.File, addr string) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if file, err = c.(*net.UDPConn).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file, c.LocalAddr().String()
}

// startOn serves HTTP/3 on a kept socket, with TLS beside it.
func startOn(t *testing.T, file *os.File, key, cert string) (*Server, chan error) {
	t.Helper()
	u, err := net.FilePacketConn(file)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{
		Config: Config{SSL: &SSL{Key: key, Cert: cert}}, TLS: []net.Listener{l}, QUIC: []net.PacketConn{u},
		Pool: answering(msg(okContext, "ok")), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	return s, done
}

// TestHandoverOfHTTP3 restarts the server under load. A request that fails is
// repeated once, as browsers do, and must then succeed.
func TestHandoverOfHTTP3(t *testing.T) {
	ca := newAuthority(t, "a")
	key, cert := ca.server(t, "localhost")
	file, addr := keeper(t)
	s, done := startOn(t, file, key, cert)

	var clients sync.WaitGroup
	var stop atomic.Bool
	var answered, repeated atomic.Int64
	for range 4 {
		tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool}}
		defer tr.Close()
		client := &http.Client{Transport: tr, Timeout: time.Minute}
		clients.Go(func() {
			for !stop.Load() {
				err := post200(client, "https://"+addr)
				if err != nil {
					repeated.Add(1)
					err = post200(client, "https://"+addr)
				}
				if err != nil {
					t.Errorf("failed twice: %v", err)
					return
				}
				answered.Add(1)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for range 3 {
		base := answered.Load()
		waitFor(t, "load", func() bool { return answered.Load() > base+100 || t.Failed() })
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		s, done = startOn(t, file, key, cert)
	}
	base := answered.Load()
	waitFor(t, "load", func() bool { return answered.Load() > base+100 || t.Failed() })
	stop.Store(true)
	clients.Wait()
	_ = s.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	t.Logf("%d answered, %d of them at the second attempt", answered.Load(), repeated.Load())
}

func post200(c *http.Client, url string) error {
	res, err := c.Post(url, "text/plain", strings.NewReader("x"))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err = io.Copy(io.Discard, res.Body); err == nil && res.StatusCode != 200 {
		err = errors.New(res.Status)
	}
	return err
}

// TestStatelessReset: a client of a process that died without a word learns of
// it from its successor, at its next packet.
func TestStatelessReset(t *testing.T) {
	ca := newAuthority(t, "a")
	key, cert := ca.server(t, "localhost")
	file, addr := keeper(t)
	s, done := startOn(t, file, key, cert)
	e := &everything{ca: ca, udp: addr}
	c := e.dialQUIC(t, &tls.Config{})
	// The answer to a request comes with the server's HANDSHAKE_DONE. A client that
	// lacks that repeats its handshake for ever (RFC 9002, 6.2.1), and no reset is
	// sent for packets of a handshake.
	r, err := http.NewRequestWithContext(t.Context(), "GET", "https://localhost/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http3.Transport{}).NewClientConn(c).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	for _, tr := range s.h3.transports {
		_ = tr.Close() // tells nobody
	}
	_ = s.Close()
	<-done
	next, nextDone := startOn(t, file, key, cert)
	// A late acknowledgement may have fetched the reset already: no stream then.
	if str, err := c.OpenStreamSync(t.Context()); err == nil {
		_, _ = str.Write(make([]byte, 500)) // no reset is sent for less than 40 bytes
	}
	<-c.Context().Done()
	var reset *quic.StatelessResetError
	if err := context.Cause(c.Context()); !errors.As(err, &reset) {
		t.Errorf("the connection ended with %v", err)
	}
	_ = next.Close()
	if err := <-nextDone; err != nil {
		t.Error(err)
	}
}

// TestZeroRTT: off unless asked for; then only what may be replayed is served
// before the handshake is over.
func TestZeroRTT(t *testing.T) {
	for _, on := range []bool{false, true} {
		var rec recorder
		e := serveAll(t, Config{HTTP3: &HTTP3{ZeroRTT: on}}, rec.exec())
		config := &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(4)}
		send := func(method string) (used bool, status int) {
			t.Helper()
			c := e.dialQUIC(t, config)
			r, err := http.NewRequestWithContext(t.Context(), method, "https://localhost/", nil)
			if err != nil {
				t.Fatal(err)
			}
			// Written by hand, a request goes into the first packets.
			tr := (&http3.Transport{}).NewClientConn(c)
			str, err := tr.OpenRequestStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := str.SendRequestHeader(r); err != nil {
				t.Fatal(err)
			}
			_ = str.Close()
			res, err := str.ReadResponse()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			waitFor(t, "a ticket", func() bool { _, ok := config.ClientSessionCache.Get("localhost"); return ok })
			return c.ConnectionState().Used0RTT, res.StatusCode
		}
		if used, status := send("GET"); used || status != 200 {
			t.Errorf("first connection: 0-RTT %t, status %d", used, status)
		}
		// On a slow machine the handshake may be over first: again then.
		waitFor(t, "an early GET", func() bool {
			used, status := send("GET")
			early := strings.Contains(string(rec.last(t).Context), `"Early-Data":["1"]`)
			if used != on || status != 200 || early && !on {
				t.Errorf("zero_rtt %t: used %t, status %d, told PHP %t", on, used, status, early)
			}
			return early == on || t.Failed()
		})
		waitFor(t, "an early POST", func() bool {
			used, status := send("POST")
			if used != on || status != 200 && status != 425 || status == 425 && !on {
				t.Errorf("zero_rtt %t: POST: used %t, status %d", on, used, status)
			}
			return (status == 425) == on || t.Failed()
		})
	}
}

// TestIdleHTTP3: neither an idle connection nor one that only opens a stream is
// kept.
func TestIdleHTTP3(t *testing.T) {
	e := serveAll(t, Config{Timeouts: Timeouts{Idle: 300 * time.Millisecond}}, answering(msg(okContext, "ok")))
	var c *quic.Conn
	var str *quic.Stream
	waitFor(t, "a stream", func() (ok bool) { // a busy machine may be late for the first connection
		c = e.dialQUIC(t, &tls.Config{})
		var err error
		str, err = c.OpenStreamSync(t.Context())
		return err == nil
	})
	var writing sync.WaitGroup
	writing.Go(func() { // a header that never ends keeps the connection busy
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for b := []byte{1, 0x7f, 0xff}; ; b = []byte{0} {
			if _, err := str.Write(b); err != nil {
				return
			}
			<-tick.C
		}
	})
	<-c.Context().Done()
	writing.Wait()
	waitFor(t, "the connection to go", func() bool { return e.Stats().Conns == 0 })
}

// TestGtlsclient: ngtcp2's client gets a page and its upload back.
func TestGtlsclient(t *testing.T) {
	e := serveAllPHP(t, Config{})
	host, port, _ := net.SplitHostPort(e.udp)
	dir := t.TempDir()
	file := filepath.Join(dir, "upload")
	body := strings.Repeat("0123456789abcdef", 1<<16)
	if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		args = append([]string{"--exit-on-all-streams-close", "--quiet", "--timeout=20s", "--download=" + dir}, args...)
		if out, err := exec.CommandContext(t.Context(), "gtlsclient", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	run(host, port, "https://localhost/hello")
	if b, err := os.ReadFile(filepath.Join(dir, "hello")); err != nil || string(b) != "hello" {
		t.Errorf("%q %v", b, err)
	}
	run("--data="+file, host, port, "https://localhost/echo")
	if b, err := os.ReadFile(filepath.Join(dir, "echo")); err != nil || string(b) != body {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	// Key updates and a change of the client's address in the middle.
	run("--key-update=5ms", "--change-local-addr=20ms", "--nstreams=20", host, port, "https://localhost/stream")
	if b, err := os.ReadFile(filepath.Join(dir, "stream")); err != nil || !strings.HasSuffix(string(b), "part 4\nend") {
		t.Errorf("%q %v", b, err)
	}
}

func TestSuspicion(t *testing.T) {
	var r rateLimit
	now := time.Unix(5, 0)
	for i := range 4 {
		if r.allow(now, 3) != (i < 3) {
			t.Error(i)
		}
	}
	if !r.allow(now.Add(time.Second), 3) {
		t.Error("a second later")
	}
}
