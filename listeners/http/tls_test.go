package http

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
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

	"golang.org/x/net/http2"
)

// dialTLS opens a connection whose handshake is over.
func (e *everything) dialTLS(t testing.TB, change ...func(*tls.Config)) (*tls.Conn, error) {
	t.Helper()
	config := &tls.Config{RootCAs: e.ca.pool, ServerName: "localhost"}
	for _, f := range change {
		f(config)
	}
	nc, err := net.Dial("tcp", e.tls)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	c := tls.Client(nc, config)
	return c, c.Handshake()
}

// getOver sends a request over HTTP/1 and reads the answer.
func getOver(c net.Conn) (*http.Response, error) {
	if _, err := io.WriteString(c, "GET "+plainGet+"\r\n\r\n"); err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res, err
}

// TestCertificateReload: renewed files are in force for new connections, also for
// HTTP/3, while open ones go on; what cannot be read changes nothing.
func TestCertificateReload(t *testing.T) {
	var log logBuffer
	e := serveAll(t, Config{}, answering(msg(okContext, "ok")), log.use)
	names := func() (list [2]string) {
		c, err := e.dialTLS(t)
		if err != nil {
			t.Fatal(err)
		}
		list[0] = c.ConnectionState().PeerCertificates[0].Subject.CommonName
		for _, v := range e.ways(t, func(c *tls.Config) {
			c.VerifyConnection = func(s tls.ConnectionState) error {
				list[1] = s.PeerCertificates[0].Subject.CommonName
				return nil
			}
		}) {
			if v.is("h3") {
				v.send(t, "GET", "/", "", "")
			}
		}
		return list
	}
	open, err := e.dialTLS(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(); got != [2]string{"localhost", "localhost"} {
		t.Error(got)
	}

	// As certbot does: links to files that are new.
	newKey, newCert := e.ca.server(t, "renewed")
	replace := func(from, to string) {
		t.Helper()
		if err := errors.Join(os.Symlink(from, to+".new"), os.Rename(to+".new", to)); err != nil {
			t.Fatal(err)
		}
	}
	replace(newKey, e.certs[0]) // the certificate does not fit to it yet
	e.checkCertificates()
	e.checkCertificates()
	if got := names(); got != [2]string{"localhost", "localhost"} {
		t.Error(got)
	}
	if n := log.count("cannot be used"); n != 1 {
		t.Errorf("%d records of one failure", n)
	}
	replace(newCert, e.certs[1])
	e.checkCertificates()
	if got := names(); got != [2]string{"renewed", "renewed"} {
		t.Error(got)
	}
	if res, err := getOver(open); err != nil || res.StatusCode != 200 {
		t.Errorf("the open connection: %v", err)
	}

	// A reload names other files; both steps or none.
	otherKey, otherCert := e.ca.server(t, "other")
	c := Config{SSL: &SSL{Key: otherKey, Cert: newCert}}
	if _, err := e.PrepareCertificates(c); err == nil || !strings.Contains(err.Error(), "http.ssl.cert: ") {
		t.Error(err)
	}
	c.SSL.Cert = otherCert
	commit, err := e.PrepareCertificates(c)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(); got[0] != "renewed" {
		t.Error(got)
	}
	commit()
	if got := names(); got != [2]string{"other", "other"} {
		t.Error(got)
	}
}

// TestClientCertificates: every rule with a client that has no certificate, one
// of another CA, and the right one; over TCP and QUIC.
func TestClientCertificates(t *testing.T) {
	clients := newAuthority(t, "clients")
	stranger := newAuthority(t, "strangers")
	good, bad := clients.client(t), stranger.client(t)
	for _, tc := range []struct {
		kind    string
		none    bool
		strange bool
	}{
		{"request_client_cert", true, true},
		{"require_any_client_cert", false, true},
		{"verify_client_cert_if_given", true, false},
		{"require_and_verify_client_cert", false, false},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			e := serveAll(t, Config{SSL: &SSL{ClientAuthType: tc.kind, RootCA: clients.ca()}}, answering(msg(okContext, "ok")))
			for _, client := range []struct {
				name string
				cert *tls.Certificate
				ok   bool
			}{{"none", nil, tc.none}, {"stranger", &bad, tc.strange}, {"known", &good, true}} {
				for _, v := range e.ways(t, func(c *tls.Config) {
					c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
						if client.cert == nil {
							return new(tls.Certificate), nil
						}
						return client.cert, nil
					}
				}) {
					if !strings.HasPrefix(v.url, "https") {
						continue
					}
					if got := v.send(t, "GET", "/", "", ""); (got.status == 200) != client.ok {
						t.Errorf("%s, %s: %+v", client.name, v.name, got)
					}
				}
			}
		})
	}
}

// TestRulesFailClosed: what cannot be enforced is an error.
func TestRulesFailClosed(t *testing.T) {
	ca := newAuthority(t, "a")
	key, cert := ca.server(t, "localhost")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]Config{
		"http.ssl.client_auth_type":  {SSL: &SSL{Key: key, Cert: cert, ClientAuthType: "require_and_verify"}},
		"http.ssl.root_ca: client c": {SSL: &SSL{Key: key, Cert: cert, ClientAuthType: "require_and_verify_client_cert"}},
		"http.ssl.root_ca: root ca":  {SSL: &SSL{Key: key, Cert: cert, RootCA: "nowhere"}},
		"http.ssl.root_ca: no cert":  {SSL: &SSL{Key: key, Cert: cert, RootCA: empty}},
		"http.ssl.key: key file":     {SSL: &SSL{Key: "nowhere", Cert: cert}},
		"http.ssl.cert: cert file":   {SSL: &SSL{Key: key, Cert: "nowhere"}},
		"http.ssl.cert: cannot use":  {SSL: &SSL{Key: cert, Cert: key}},
		"http.ssl.address":           {SSL: &SSL{Key: key, Cert: cert, Address: "localhost"}},
		"http.ssl.min_version":       {SSL: &SSL{Key: key, Cert: cert, MinVersion: "1.1"}},
		"http.ssl.redirect":          {SSL: &SSL{Redirect: true}},
		"http.ssl.hsts":              {SSL: &SSL{Key: key, Cert: cert, HSTS: "a\r\nb"}},
		"http.ssl: no certificate":   {SSL: &SSL{Key: key}},
		"http.ssl.acme.email":        {SSL: &SSL{ACME: &ACME{}}},
		"http.ssl.acme.domains":      {SSL: &SSL{ACME: &ACME{Email: "a@b.test"}}},
		"http.ssl.acme.challenge":    {SSL: &SSL{ACME: &ACME{Email: "a@b.test", Domains: []string{"b.test"}, ChallengeType: "dns-01"}}},
		"http.ssl.acme.directory:":   {SSL: &SSL{ACME: &ACME{Email: "a@b.test", Domains: []string{"b.test"}, Directory: "http://b"}}},
		"http.ssl.acme.directory_ca": {SSL: &SSL{ACME: &ACME{Email: "a@b.test", Domains: []string{"b.test"}, DirectoryCA: "x"}}},
		"http.ssl.acme.alt_http":     {SSL: &SSL{ACME: &ACME{Email: "a@b.test", Domains: []string{"b.test"}, AltHTTPPort: 70000}}},
		"http.http3.cert":            {HTTP3: &HTTP3{Address: "127.0.0.1:1"}},
		"http.http3: a certificate":  {HTTP3: &HTTP3{Key: key}},
		"http.http3.address":         {HTTP3: &HTTP3{Address: "x", Key: key, Cert: cert}},
		"http.http3.advertise_port":  {HTTP3: &HTTP3{Key: key, Cert: cert, AdvertisePort: -1}},
		"http.fcgi.address":          {FCGI: FCGI{Address: "x"}},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, err = New(Options{Config: c, TLS: []net.Listener{l}, Pool: answering(), Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		_ = l.Close()
	}
}

// TestCheckCertificates: a check of the configuration finds what the start would.
func TestCheckCertificates(t *testing.T) {
	ca := newAuthority(t, "a")
	key, cert := ca.server(t, "localhost")
	c := Config{SSL: &SSL{Key: key, Cert: cert}, HTTP3: &HTTP3{Address: "127.0.0.1:1"}}
	if err := c.CheckCertificates(); err != nil {
		t.Error(err)
	}
	c.HTTP3.Key, c.HTTP3.Cert = key, key
	if err := c.CheckCertificates(); err == nil || !strings.HasPrefix(err.Error(), "http.http3.cert: cannot use") {
		t.Error(err)
	}
	if err := (&Config{SSL: &SSL{ACME: &ACME{}}}).CheckCertificates(); err != nil {
		t.Error(err)
	}
}

// TestStreamsOfAConnection: max_concurrent_streams holds over TLS, not only with
// h2c.
func TestStreamsOfAConnection(t *testing.T) {
	e := serveAll(t, Config{HTTP2: HTTP2{MaxConcurrentStreams: 7}}, answering(msg(okContext, "ok")))
	c, err := e.dialTLS(t, func(c *tls.Config) { c.NextProtos = []string{"h2"} })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(c, c)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	f, err := framer.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	settings, ok := f.(*http2.SettingsFrame)
	if !ok {
		t.Fatalf("%T", f)
	}
	if n, ok := settings.Value(http2.SettingMaxConcurrentStreams); !ok || n != 7 {
		t.Errorf("%d streams, said %t", n, ok)
	}
}

// TestVersionsAndCiphers asks with openssl.
func TestVersionsAndCiphers(t *testing.T) {
	e := serveAll(t, Config{}, answering(msg(okContext, "ok")))
	strict := serveAll(t, Config{SSL: &SSL{MinVersion: "1.3"}}, answering(msg(okContext, "ok")))
	for _, tc := range []struct {
		args []string
		e    *everything
		want string // "" for a refusal
	}{
		{[]string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}, e, ""},
		{[]string{"-tls1_2"}, e, "TLSv1.2"},
		{[]string{"-tls1_3"}, e, "TLSv1.3"},
		{[]string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:AES128-SHA"}, e, ""},
		{[]string{"-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"}, e, "ECDHE-ECDSA-CHACHA20-POLY1305"},
		{[]string{"-tls1_2"}, strict, ""},
		{[]string{"-tls1_3"}, strict, "TLSv1.3"},
		{[]string{"-alpn", "h2"}, e, "ALPN protocol: h2"},
		{[]string{"-alpn", "acme-tls/1"}, e, ""},
	} {
		args := append([]string{"s_client", "-connect", tc.e.tls, "-CAfile", tc.e.ca.ca(), "-verify_return_error", "-servername", "localhost"}, tc.args...)
		out, err := exec.Command("openssl", args...).CombinedOutput() // stdin is empty: it ends after the handshake
		if (err == nil) != (tc.want != "") || !strings.Contains(string(out), tc.want) {
			t.Errorf("%v: %v\n%s", tc.args, err, out)
		}
	}
}

// TestPlainOnTLS: a client that forgot TLS is told so.
func TestPlainOnTLS(t *testing.T) {
	e := serveAll(t, Config{}, answering(msg(okContext, "ok")))
	c, err := net.Dial("tcp", e.tls)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	b, err := io.ReadAll(c)
	if want := "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"; string(b) != want {
		t.Errorf("%q %v", b, err)
	}
	waitFor(t, "the connection to go", func() bool { return e.Stats().Conns == 0 })
}

// TestSlowHandshake: a client that says nothing does not keep its connection.
func TestSlowHandshake(t *testing.T) {
	e := serveAll(t, Config{Timeouts: Timeouts{ReadHeader: 50 * time.Millisecond}}, answering(msg(okContext, "ok")))
	c, err := net.Dial("tcp", e.tls)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("%q %v", b, err)
	}
}

// TestShutdownOverTLS hammers connections of TLS that stay open while the server
// stops: every request that was written must be answered. One connection has
// only shaken hands, and one has not even begun to.
func TestShutdownOverTLS(t *testing.T) {
	for round := range 3 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			e := serveAll(t, Config{}, answering(msg(okContext, "ok")))
			var wg sync.WaitGroup
			var answered atomic.Int64
			for range 6 {
				c, err := e.dialTLS(t)
				if err != nil {
					t.Fatal(err)
				}
				r := bufio.NewReader(c)
				wg.Go(func() {
					for {
						if _, err := io.WriteString(c, "GET "+plainGet+"\r\n\r\n"); err != nil {
							t.Errorf("write: %v", err)
							return
						}
						res, err := http.ReadResponse(r, nil)
						if err != nil {
							t.Errorf("a request was lost: %v", err)
							return
						}
						_, _ = io.Copy(io.Discard, res.Body)
						answered.Add(1)
						if res.Close {
							return
						}
					}
				})
			}
			shaken, err := e.dialTLS(t)
			if err != nil {
				t.Fatal(err)
			}
			if round == 0 { // it costs drainHandshake
				silent, err := net.Dial("tcp", e.tls)
				if err != nil {
					t.Fatal(err)
				}
				defer silent.Close()
			}
			waitFor(t, "load", func() bool { return answered.Load() > 300 && e.Stats().Conns >= 7 })
			done := e.shutdown(t)
			wg.Wait()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if b, err := io.ReadAll(shaken); err != nil || len(b) > 0 {
				t.Errorf("%q %v", b, err)
			}
		})
	}
}

// TestShutdownInARecord: half of the record of a request is here; it is waited
// for.
func TestShutdownInARecord(t *testing.T) {
	e := serveAll(t, Config{}, answering(msg(okContext, "ok")))
	nc, err := net.Dial("tcp", e.tls)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	half := &halfWriter{Conn: nc}
	c := tls.Client(half, &tls.Config{RootCAs: e.ca.pool, ServerName: "localhost", MaxVersion: tls.VersionTLS12})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	half.on = true
	if _, err := io.WriteString(c, "GET "+plainGet+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the half record", func() (half bool) {
		e.conns.all(func(c *conn) { half = half || c.begun.Load() && c.changes.Load() > 0 })
		return half
	})
	done := e.shutdown(t)
	// Longer than a connection without a request is kept.
	ctx, cancel := context.WithTimeout(t.Context(), 2*drainNew)
	defer cancel()
	<-ctx.Done()
	select {
	case err := <-done:
		t.Fatal("did not wait: ", err)
	default:
	}
	if _, err := nc.Write(half.rest); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != 200 || !res.Close {
		t.Errorf("%+v %v", res, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// halfWriter holds the second half of what is written back.
type halfWriter struct {
	net.Conn
	on   bool
	rest []byte
}

func (w *halfWriter) Write(p []byte) (int, error) {
	if !w.on {
		return w.Conn.Write(p)
	}
	w.rest = append(w.rest, p[len(p)/2:]...)
	_, err := w.Conn.Write(p[:len(p)/2])
	return len(p), err
}

func TestRecords(t *testing.T) {
	stream := append([]byte{23, 3, 3, 0, 2, 'a', 'b'}, 22, 3, 3, 1, 0)
	stream = append(stream, make([]byte, 256)...)
	for size := 1; size < 9; size++ {
		var r tlsRecords
		for i := 0; i < len(stream); i += size {
			end := min(i+size, len(stream))
			r.feed(stream[i:end])
			if whole := end == 7 || end == len(stream); r.whole() != whole {
				t.Errorf("after %d bytes: whole is %t", end, r.whole())
			}
		}
	}
}

func TestRedirect(t *testing.T) {
	change := func(s SSL) *everything {
		e := new(everything)
		e.testServer = serve(t, Config{}, answering(msg(okContext, "ok")), allSockets(t, e), func(o *Options) {
			s.Key, s.Cert, s.Redirect = o.Config.SSL.Key, o.Config.SSL.Cert, true
			o.Config.SSL = &s
		})
		return e
	}
	e := change(SSL{Address: ":8443"})
	standard := change(SSL{Address: "127.0.0.1:443", HSTS: "off", RedirectHosts: []string{"shop.test", "www.shop.test"}})
	inherited := change(SSL{})
	_, port, _ := net.SplitHostPort(inherited.tls)
	for _, tc := range []struct {
		e            *everything
		target, host string
		want         string
	}{
		{e, "/a%2Fb?x=1&y=%20", "a.test:80", "https://a.test:8443/a%2Fb?x=1&y=%20"},
		{e, "/", "[::1]:80", "https://[::1]:8443/"},
		{e, "/", "[::1]", "https://[::1]:8443/"},
		{e, "//evil.test/", "a.test", "https://a.test:8443//evil.test/"},
		{e, "/?", "a.test", "https://a.test:8443/?"},
		{e, "http://b.test:80/x", "a.test", "https://b.test:8443/x"},
		{standard, "/x", "www.shop.test", "https://www.shop.test/x"},
		{standard, "/x", "WWW.shop.test:8080", "https://WWW.shop.test/x"},
		{standard, "/x", "evil.test", "https://shop.test/x"},
		{inherited, "/", "a", "https://a:" + port + "/"},
	} {
		res := tc.e.dial(t).do("GET", tc.target+" HTTP/1.1\r\nHost: "+tc.host, "")
		if res.StatusCode != 308 || res.Header.Get("Location") != tc.want {
			t.Errorf("%s %s: %d %q", tc.host, tc.target, res.StatusCode, res.Header.Get("Location"))
		}
		if hsts := res.Header.Get("Strict-Transport-Security"); (hsts == "") != (tc.e == standard) {
			t.Errorf("HSTS %q", hsts)
		}
	}
	if res := e.dial(t).do("GET", "/ HTTP/1.0", ""); res.StatusCode != 400 {
		t.Errorf("without a host: %d", res.StatusCode)
	}
	// TLS itself is not redirected.
	c, err := e.dialTLS(t)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := getOver(c); err != nil || res.StatusCode != 200 {
		t.Errorf("%+v %v", res, err)
	}
}

func TestExpiredCertificateIsSaid(t *testing.T) {
	var log logBuffer
	ca := newAuthority(t, "a")
	key, cert := ca.files(t, "old", &x509.Certificate{Subject: pkix.Name{CommonName: "old"}, DNSNames: []string{"old.test"}, NotAfter: time.Now().Add(-time.Minute)})
	if _, err := newIdentity("http.ssl", &SSL{}, tlsFiles{key: key, cert: cert}, nil, slog.New(slog.NewJSONHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	log.find(t, "the certificate has expired")
}
