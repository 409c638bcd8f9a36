package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/rr-systemd/rrd/listeners/http/fastcgi/fcgitest"
)

var (
	manyReloads  = flag.Int("reloads", 4, "reloads of TestAllProtocolsUnderLoad")
	manyRestarts = flag.Int("restarts", 3, "restarts of TestAllProtocolsUnderLoad")
)

// allProtocols is plain with every way in.
const allProtocols = plain + `
  ssl: {address: "127.0.0.1:TLS", key: key.pem, cert: cert.pem}
  http3: {address: "127.0.0.1:UDP"}
  fcgi: {address: "unix://fcgi.sock"}
`

// front is a site that serves every protocol.
type front struct {
	*site
	tls, udp string // host:port
	roots    *x509.CertPool
}

func newFront(t *testing.T, config string) *front {
	t.Helper()
	f := &front{tls: freePort(t, "tcp"), udp: freePort(t, "udp"), roots: x509.NewCertPool()}
	port := func(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }
	f.site = newSite(t, strings.NewReplacer("TLS", port(f.tls), "UDP", port(f.udp)).Replace(config))
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS() // it has a certificate for 127.0.0.1
	pair := srv.TLS.Certificates[0]
	f.roots.AddCert(srv.Certificate())
	srv.Close()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	f.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	f.write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	return f
}

func freePort(t *testing.T, network string) string {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().String()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// caller sends one request and wants the page.
type caller struct {
	name  string
	retry bool // a request that failed may be repeated once
	call  func() error
	close func()
}

func (f *front) callers() []caller {
	over := func(url string, tr http.RoundTripper) func() error {
		client := &http.Client{Transport: tr, Timeout: limit}
		return func() error {
			res, err := client.Post(url, "text/plain", strings.NewReader("x")) // Go's client does not repeat it
			if err != nil {
				return err
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			if err == nil && string(b) != "version one" {
				err = fmt.Errorf("%s %q", res.Status, b)
			}
			return err
		}
	}
	transport := func(h2, once bool) *http.Transport {
		tr := &http.Transport{Protocols: new(http.Protocols), DisableKeepAlives: once, TLSClientConfig: &tls.Config{RootCAs: f.roots}}
		tr.Protocols.SetHTTP1(!h2)
		tr.Protocols.SetHTTP2(h2)
		return tr
	}
	plain := f.client().Transport.(*http.Transport)
	plain.DisableKeepAlives = false
	kept, once, h2 := transport(false, false), transport(false, true), transport(true, false)
	h3 := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: f.roots}, QUICConfig: &quic.Config{HandshakeIdleTimeout: limit}}
	nothing := func() {}
	return []caller{
		{"h1", false, over("http://rrd/", plain), plain.CloseIdleConnections},
		{"h1 over TLS", false, over("https://"+f.tls, kept), kept.CloseIdleConnections},
		{"h1 over TLS, a connection each", false, over("https://"+f.tls, once), nothing},
		{"h2", false, over("https://"+f.tls, h2), h2.CloseIdleConnections},
		{"h3", true, over("https://"+f.udp, h3), func() { _ = h3.Close() }},
		{"FastCGI", false, f.fastCGI, nothing},
	}
}

func (f *front) fastCGI() error {
	nc, err := net.Dial("unix", filepath.Join(f.dir, "fcgi.sock"))
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(limit))
	res, err := fcgitest.New(nc).Do(1, false, fcgitest.Get("rrd", "/"), nil)
	if err == nil && res.Body != "version one" {
		err = fmt.Errorf("%d %q", res.Status, res.Body)
	}
	return err
}

// mixture keeps callers busy and counts.
type mixture struct {
	done     atomic.Int64
	repeated atomic.Int64
	cancel   context.CancelFunc
	callers  sync.WaitGroup

	mu     sync.Mutex
	counts map[string]int
	failed []string
}

func (f *front) mix() *mixture {
	ctx, cancel := context.WithCancel(context.Background())
	l := &mixture{cancel: cancel, counts: make(map[string]int)}
	for _, c := range f.callers() {
		l.callers.Go(func() {
			defer c.close()
			for ctx.Err() == nil {
				err := c.call()
				if err != nil && c.retry {
					l.repeated.Add(1)
					err = c.call()
				}
				l.mu.Lock()
				l.counts[c.name]++
				if err != nil {
					l.failed = append(l.failed, c.name+": "+err.Error())
				}
				l.mu.Unlock()
				l.done.Add(1)
			}
		})
	}
	f.t.Cleanup(l.stop)
	return l
}

func (l *mixture) stop() {
	l.cancel()
	l.callers.Wait()
}

func (l *mixture) more(t *testing.T, n int64) {
	t.Helper()
	until := l.done.Load() + n
	await(t, "requests are answered", func() bool { return l.done.Load() >= until })
}

// TestAllProtocolsUnderLoad reloads and restarts under requests of all protocols.
// None may fail; one over HTTP/3 may have to be sent again, because QUIC lives in
// the process that ends. `make endurance` does it 1,000 and 50 times.
func TestAllProtocolsUnderLoad(t *testing.T) {
	f := newFront(t, allProtocols)
	m := newManager(t, filepath.Join(f.dir, "notify"))
	f.unit(m, nil)
	if got := m.stored(); len(got) != 5 { // http, https, h3, fcgi, rpc
		t.Errorf("stored: %q", got)
	}
	l := f.mix()
	l.more(t, 100)
	for range *manyReloads {
		f.reload()
		l.more(t, 20)
	}
	reloaded := l.repeated.Load()
	if reloaded > 0 {
		t.Errorf("%d requests over HTTP/3 were repeated because of reloads", reloaded)
	}
	for range *manyRestarts {
		f.stop()
		f.unit(m, nil)
		l.more(t, 60)
	}
	l.stop()
	if len(l.failed) > 0 {
		t.Errorf("%d of %d requests failed: %q", len(l.failed), l.done.Load(), l.failed[:min(5, len(l.failed))])
	}
	t.Logf("%d reloads, %d restarts, %v, %d repeated over HTTP/3, %d failed", *manyReloads, *manyRestarts, l.counts, l.repeated.Load(), len(l.failed))
	f.stop()
}

// TestInheritedProtocols: sockets are found by their names, whatever addresses
// are configured; HTTP/3 needs nothing but its socket and the certificate.
func TestInheritedProtocols(t *testing.T) {
	f := newFront(t, strings.ReplaceAll(allProtocols, "http3:", "# http3:"))
	m := newManager(t, filepath.Join(f.dir, "notify"))
	var files []*os.File
	keep := func(name string, c interface{ File() (*os.File, error) }, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		file, err := c.File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		named, err := rename(file, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = named.Close() })
		files = append(files, named)
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	keep("https", l, err)
	defer l.Close()
	u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	keep("h3", u, err)
	defer u.Close()
	c, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(f.dir, "inherited"), Net: "unix"})
	keep("fcgi", c, err)
	defer c.Close()
	f.tls, f.udp = l.Addr().String(), u.LocalAddr().String()
	f.unit(m, nil, files...)
	if err := os.Symlink("inherited", filepath.Join(f.dir, "fcgi.sock")); err != nil {
		t.Fatal("the configured FastCGI address was opened: ", err)
	}
	for _, c := range f.callers() {
		if err := c.call(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		c.close()
	}
	if got := m.stored(); slices.ContainsFunc(got, func(s string) bool { return !strings.Contains(s, "/http/") && !strings.Contains(s, "/rpc/") }) {
		t.Errorf("stored: %q", got)
	}
	f.stop()
}

// TestReloadOfCertificates: a reload reads them, and fails when it cannot; what
// was there before goes on.
func TestReloadOfCertificates(t *testing.T) {
	f := newFront(t, allProtocols)
	f.serve()
	cert, err := os.ReadFile(filepath.Join(f.dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	call := f.callers()[2].call
	f.write("cert.pem", "broken")
	f.refused("version one", "http.ssl.cert", "cannot use the certificate")
	if err := call(); err != nil {
		t.Error(err)
	}
	f.write("other.pem", string(cert))
	f.change("app.yaml", "cert: cert.pem", "cert: other.pem")
	if out := f.reload(); strings.Contains(out, "restart") {
		t.Error(out)
	}
	if err := call(); err != nil {
		t.Error(err)
	}
	f.change("app.yaml", "cert: other.pem", "min_version: \"1.3\", cert: other.pem")
	if out := f.reload(); !strings.Contains(out, "http.ssl.min_version") {
		t.Errorf("no word of what needs a restart: %s", out)
	}
	f.stop()
}

// TestWebServers: nginx, with and without kept connections, and cgi-fcgi in front
// of FastCGI. Requests through nginx survive a restart.
func TestWebServers(t *testing.T) {
	f := newFront(t, allProtocols)
	m := newManager(t, filepath.Join(f.dir, "notify"))
	f.unit(m, nil)
	sock := filepath.Join(f.dir, "fcgi.sock")

	cmd := exec.Command("cgi-fcgi", "-bind", "-connect", sock)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	for name, value := range fcgitest.Get("rrd", "/") {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.Output(); err != nil || !strings.HasPrefix(string(out), "Status: 200 OK\r\n") || !strings.HasSuffix(string(out), "\r\n\r\nversion one") {
		t.Errorf("cgi-fcgi: %q %v", out, err)
	}

	addr := freePort(t, "tcp")
	f.write("nginx.conf", `
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  include /etc/nginx/fastcgi_params;
  upstream rrd { server unix:`+sock+`; keepalive 4; }
  server {
    listen `+addr+`;
    location / { fastcgi_pass rrd; fastcgi_keep_conn on; }
    location /single { fastcgi_pass unix:`+sock+`; }
  }
}
`)
	nginx := exec.Command("nginx", "-p", f.dir, "-c", "nginx.conf", "-e", "stderr")
	nginx.Stderr = new(output)
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = nginx.Process.Signal(os.Interrupt)
		_ = nginx.Wait()
		if t.Failed() {
			t.Logf("nginx: %.3000s", nginx.Stderr)
		}
	}()
	client := &http.Client{Timeout: limit}
	defer client.CloseIdleConnections()
	call := func(path string) error {
		body, err := get(client, path)
		if err == nil && body != "version one" {
			err = errors.New(body)
		}
		return err
	}
	client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}}
	await(t, "nginx answers", func() bool { return call("/") == nil })
	for _, path := range []string{"/", "/single"} {
		if err := call(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	var stop atomic.Bool
	var done atomic.Int64
	var callers sync.WaitGroup
	for _, path := range []string{"/", "/single", "/"} {
		callers.Go(func() {
			for !stop.Load() {
				if err := call(path); err != nil {
					t.Errorf("%s: %v", path, err)
				}
				done.Add(1)
			}
		})
	}
	for range 2 {
		until := done.Load() + 50
		await(t, "requests are answered", func() bool { return done.Load() >= until })
		f.stop()
		f.unit(m, nil)
	}
	stop.Store(true)
	callers.Wait()
	f.stop()
}
