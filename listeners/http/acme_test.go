package http

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// pebble is Let's Encrypt's CA for tests, which checks domains as the real one
// does, but on ports of its own.
type pebble struct {
	directory string // URL
	ca        string // file
}

func buildPebble(t *testing.T) (bin string) {
	t.Helper()
	bin = filepath.Join(t.TempDir(), "pebble")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/letsencrypt/pebble/v2/cmd/pebble").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

func startPebble(t *testing.T, bin string, httpPort, tlsPort int) pebble {
	t.Helper()
	own := newAuthority(t, "pebble")
	key, cert := own.server(t, "pebble")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": addr, "certificate": cert, "privateKey": key, "httpPort": httpPort, "tlsPort": tlsPort,
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-config", file)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	waitFor(t, "pebble", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	_, port, _ := net.SplitHostPort(addr)
	return pebble{"https://127.0.0.1:" + port + "/dir", own.ca()}
}

// acmeServer serves plain HTTP, TLS and HTTP/3 with certificates of ACME.
type acmeServer struct {
	*testServer
	tls, udp string
	log      *logBuffer
}

// acmeSockets are bound before the server: pebble must know them.
type acmeSockets struct {
	plain, tls net.Listener
	udp        net.PacketConn
}

func listenACME(t *testing.T) (s acmeSockets, httpPort, tlsPort int) {
	t.Helper()
	var err error
	if s.plain, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if s.tls, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if s.udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return s, s.plain.Addr().(*net.TCPAddr).Port, s.tls.Addr().(*net.TCPAddr).Port
}

func serveACME(t *testing.T, sockets acmeSockets, c Config) *acmeServer {
	t.Helper()
	a := &acmeServer{tls: sockets.tls.Addr().String(), udp: sockets.udp.LocalAddr().String(), log: new(logBuffer)}
	a.testServer = serve(t, c, answering(msg(okContext, "ok")), a.log.use, func(o *Options) {
		_ = o.Listeners[0].Close()
		o.Listeners = []net.Listener{sockets.plain}
		o.TLS, o.QUIC = []net.Listener{sockets.tls}, []net.PacketConn{sockets.udp}
	})
	return a
}

// issuer is the CA of the certificate that clients see, "" for none.
func (a *acmeServer) issuer(t *testing.T) (tcp, quic string) {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}
	d := tls.Dialer{Config: config}
	if c, err := d.DialContext(t.Context(), "tcp", a.tls); err == nil {
		tcp = c.(*tls.Conn).ConnectionState().PeerCertificates[0].Issuer.CommonName
		_ = c.Close()
	}
	tr := &http3.Transport{TLSClientConfig: config}
	defer tr.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "https://"+a.udp, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := tr.RoundTrip(r); err == nil {
		quic = res.TLS.PeerCertificates[0].Issuer.CommonName
		_ = res.Body.Close()
	}
	return tcp, quic
}

func TestACME(t *testing.T) {
	bin := buildPebble(t)
	clients := newAuthority(t, "clients")
	for _, challenge := range []string{"http-01", "tlsalpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			sockets, httpPort, tlsPort := listenACME(t)
			ca := startPebble(t, bin, httpPort, tlsPort)
			dir := filepath.Join(t.TempDir(), "acme")
			acme := &ACME{
				CacheDir: dir, Email: "admin@example.com", Domains: []string{"localhost"}, ChallengeType: challenge,
				AltHTTPPort: httpPort, AltTLSALPNPort: tlsPort, Directory: ca.directory, DirectoryCA: ca.ca,
			}
			// Neither a redirect nor rules about clients are in the way.
			c := Config{SSL: &SSL{ACME: acme, Redirect: true}}
			if challenge == "tlsalpn-01" {
				c.SSL.ClientAuthType, c.SSL.RootCA = "require_and_verify_client_cert", clients.ca()
			}
			s := serveACME(t, sockets, c)
			waitFor(t, "the certificate", func() bool { return s.log.count("certificate obtained") > 0 })
			if p := s.Problem(); p != "" {
				t.Error(p)
			}
			var tcp, quic string
			waitFor(t, "the certificate to be in force", func() bool { tcp, quic = s.issuer(t); return tcp != "" })
			if !strings.HasPrefix(tcp, "Pebble Intermediate CA") || challenge == "http-01" && quic != tcp {
				t.Errorf("issuers %q and %q", tcp, quic)
			}
			if challenge == "tlsalpn-01" {
				if quic != "" {
					t.Error("HTTP/3 without a client certificate")
				}
				noRequestByChallenge(t, s)
			}
			private(t, dir)
		})
	}
}

// noRequestByChallenge: who offers nothing but the protocol of the challenge gets
// past the rules about clients, and no further.
func noRequestByChallenge(t *testing.T, s *acmeServer) {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{acmeProtocol}}}
	c, err := d.DialContext(t.Context(), "tcp", s.tls)
	if err != nil {
		return // no challenge runs, so there is no certificate for it
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if b, _ := io.ReadAll(c); len(b) > 0 {
		t.Errorf("answered: %q", b)
	}
}

// private: nobody else can read what is in dir.
func private(t *testing.T, dir string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			err = fmt.Errorf("%s has mode %s", path, info.Mode())
		}
		n++
		return err
	})
	if err != nil || n < 8 {
		t.Errorf("%d files, %v", n, err)
	}
}

// TestACMEWithoutItsCA: the server serves plain HTTP and says what is missing; a
// folder that others may read is closed to them.
func TestACMEWithoutItsCA(t *testing.T) {
	sockets, _, _ := listenACME(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	own := newAuthority(t, "nobody")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	s := serveACME(t, sockets, Config{SSL: &SSL{ACME: &ACME{
		CacheDir: dir, Email: "a@b.test", Domains: []string{"b.test"}, Directory: "https://" + addr, DirectoryCA: own.ca(),
	}}})
	waitFor(t, "the failure", func() bool { return s.Problem() != "" })
	if p := s.Problem(); !strings.HasPrefix(p, "no certificate for b.test: ") || !strings.Contains(p, "connection refused") {
		t.Error(p)
	}
	s.addr = sockets.plain.Addr().String()
	if res := s.dial(t).do("GET", plainGet, ""); res.StatusCode != 200 {
		t.Error(res.StatusCode)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// TestACMEFolder: in the state directory of the unit, unless it is configured.
func TestACMEFolder(t *testing.T) {
	for state, want := range map[string]string{"": "rr_cache_dir", "/var/lib/rr/app": "/var/lib/rr/app/acme", "/a:/b": "/a/acme"} {
		t.Setenv("STATE_DIRECTORY", state)
		var a ACME
		if a.defaults(); a.CacheDir != want {
			t.Errorf("%q: %s", state, a.CacheDir)
		}
	}
	if _, err := newACME(ACME{CacheDir: "/proc/nowhere"}, slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), "http.ssl.acme.cache_dir: ") {
		t.Error(err)
	}
}
