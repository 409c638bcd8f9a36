package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// protocol is a way to ask for the same page.
type protocol struct {
	name   string
	scheme string
	client func(pool *x509.CertPool) (http.RoundTripper, func())
}

var protocols = []protocol{
	{"HTTP/1.1", "http", func(*x509.CertPool) (http.RoundTripper, func()) { return tcpClient(nil, false) }},
	{"HTTP/1.1 over TLS", "https", func(p *x509.CertPool) (http.RoundTripper, func()) { return tcpClient(p, false) }},
	{"HTTP/2 over TLS", "https", func(p *x509.CertPool) (http.RoundTripper, func()) { return tcpClient(p, true) }},
	{"HTTP/3", "https", func(p *x509.CertPool) (http.RoundTripper, func()) {
		t := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: p}}
		return t, func() { _ = t.Close() }
	}},
}

// parallel is how many requests are under way: over as many connections with HTTP/1,
// over one with the others.
const parallel = 32

func tcpClient(pool *x509.CertPool, two bool) (http.RoundTripper, func()) {
	t := &http.Transport{MaxIdleConnsPerHost: parallel, Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP1(!two)
	t.Protocols.SetHTTP2(two)
	if pool != nil {
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return t, t.CloseIdleConnections
}

// protocolResult is what one protocol did.
type protocolResult struct {
	name        string
	rate, spent []float64 // requests per second; µs of the daemon per request
}

// measureProtocols asks one rrd for hello world in all protocols, in turn.
func measureProtocols(ctx context.Context, o *options, dir string) ([]protocolResult, error) {
	s := &site{o: o, dir: dir}
	var err error
	if s.repo, err = os.Getwd(); err != nil {
		return nil, err
	}
	secure, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c, err := s.rrd(&variant{name: "protocols", app: plain}, "", s.php()+s.script("worker.php"))
	if err != nil {
		return nil, err
	}
	pool, err := writeCertificate(c.dir)
	if err != nil {
		return nil, err
	}
	c.files["rr.yaml"] = fmt.Sprintf(`version: "3"
server: {command: "%sbench/php/worker.php"}
logs: {mode: production, level: error}
http:
  address: "%s"
  pool: {num_workers: %d}
  ssl: {address: "%[4]s", key: "%[5]s/key.pem", cert: "%[5]s/cert.pem"}
  http3: {address: "%[4]s"}
`, s.php()+s.repo+"/", c.address, o.workers, secure, c.dir)
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	defer c.stop()
	results := make([]protocolResult, len(protocols))
	for round := range o.rounds + 1 {
		for i, p := range protocols {
			address := map[string]string{"http": c.address, "https": secure}[p.scheme]
			transport, closeAll := p.client(pool)
			rate, spent, err := loadProtocol(ctx, c, transport, p.scheme+"://"+address+"/hello", o.duration)
			closeAll()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			results[i].name = p.name
			if round > 0 { // the first one warms up
				results[i].rate = append(results[i].rate, rate)
				results[i].spent = append(results[i].spent, spent)
			}
		}
	}
	return results, nil
}

// loadProtocol asks for url as often as it can.
func loadProtocol(ctx context.Context, c *server, t http.RoundTripper, url string, d time.Duration) (rate, spent float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	before, _ := cpuTimes(tree(c.pids()))
	begin := time.Now()
	var n atomic.Int64
	var group sync.WaitGroup
	failures := make(chan error, parallel)
	for range parallel {
		group.Go(func() {
			for time.Since(begin) < d {
				if err := fetch(ctx, t, url); err != nil {
					failures <- err
					return
				}
				n.Add(1)
			}
		})
	}
	group.Wait()
	took := time.Since(begin)
	after, _ := cpuTimes(tree(c.pids()))
	select {
	case err := <-failures:
		return 0, 0, err
	default:
	}
	count := float64(n.Load())
	return count / took.Seconds(), float64((after - before).Microseconds()) / count, nil
}

func fetch(ctx context.Context, t http.RoundTripper, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && string(body) != hello {
		err = fmt.Errorf("%s, %.60q", resp.Status, body)
	}
	return err
}

// writeCertificate makes key.pem and cert.pem for 127.0.0.1.
func writeCertificate(dir string) (*x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	pool.AppendCertsFromPEM(text)
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), text, 0o644); err != nil {
		return nil, err
	}
	return pool, os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
}

func protocolTable(w io.Writer, results []protocolResult) {
	fmt.Fprintf(w, "\n### Protocols\n\nHello world from php-rrd, %d requests at a time; CPU of the daemon alone. The client is Go's and shares the\nprocessors, so requests/s say as much about it.\n\n", parallel)
	row(w, "", "requests/s", "CPU µs/request", "ratio")
	row(w, "---", "---", "---", "---")
	for _, r := range results {
		mid, _, _ := ratio(r.spent, results[0].spent)
		row(w, r.name, spread(r.rate, digits), spread(r.spent, digits), fmt.Sprintf("%.2f", mid))
	}
}
