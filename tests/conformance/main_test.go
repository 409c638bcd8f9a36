//go:build conformance

package conformance

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/tests/brokers"
)

// limit is how long anything may take.
const limit = 30 * time.Second

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := writeReport(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// site is a running rrd with one PHP worker, so that a held worker is noticed.
type site struct {
	t              *testing.T
	dir            string
	http, tls, udp string // host:port
	roots          *x509.CertPool
	log            output
	through        int // requests that went through the front under test
}

// newSite starts rrd with every protocol. ssl is added to the section http.ssl, keys to
// http.
func newSite(t *testing.T, ssl string, keys ...string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), http: freePort(t, "tcp"), tls: freePort(t, "tcp"), udp: freePort(t, "udp"), roots: x509.NewCertPool()}
	for _, name := range []string{"own", "foreign"} {
		ca := brokers.NewCA(t)
		ca.Write(t, s.path(name+"-ca.pem"))
		ca.Issue(t, s.path(name+"-client.pem"), s.path(name+"-client.key"), "client")
		if name == "own" {
			ca.Issue(t, s.path("cert.pem"), s.path("key.pem"), "127.0.0.1")
		}
	}
	pem, err := os.ReadFile(s.path("own-ca.pem"))
	if err != nil || !s.roots.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	worker, err := os.ReadFile("testdata/worker.php")
	if err != nil {
		t.Fatal(err)
	}
	s.write("worker.php", string(worker))
	s.write("public/file.txt", strings.Repeat("0123456789abcdef", 1<<16))
	s.write("seen", "")
	s.write("app.yaml", `
version: "3"
server: {command: "php worker.php"}
http:
  address: `+s.http+`
  middleware: [static]
  static: {dir: public}
  http2: {h2c: true}
  ssl: {address: "`+s.tls+`", key: key.pem, cert: cert.pem`+ssl+`}
  http3: {address: "`+s.udp+`"}
  pool: {num_workers: 1}
`+strings.Join(keys, ""))
	php, err := filepath.Abs("../../php")
	if err != nil {
		t.Fatal(err)
	}
	program, err := filepath.Abs("../../bin/rrd")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", "app.yaml")
	cmd.Env = append(os.Environ(), "RR_PHP="+php)
	s.run(cmd, &s.log)
	await(t, "rrd is ready", func() bool { return strings.Contains(s.log.String(), "\tready\t") })
	return s
}

// run starts a program in the folder, until the end of the test.
func (s *site) run(cmd *exec.Cmd, log *output) {
	s.t.Helper()
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("%s: %.4000s", filepath.Base(cmd.Path), log)
		}
	})
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// get sends a request over a connection of its own.
func get(url string, roots *x509.CertPool) (string, error) {
	c := &http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	res, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != 200 {
		err = fmt.Errorf("%s: %s", res.Status, b)
	}
	return string(b), err
}

// command runs a program to its end; its exit status is not looked at.
func command(t *testing.T, dir, stdin string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
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

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// output is what a program has written so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
