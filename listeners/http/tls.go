package http

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// suites of TLS 1.2 are those with forward secrecy and authenticated encryption,
// as in RoadRunner; those of 1.3 and the key exchanges are Go's choice, which
// follows the state of the art (RoadRunner's list leaves post-quantum out).
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

const acmeProtocol = "acme-tls/1" // RFC 8737

// identity is how the server shows who it is, and whom it lets in: certificate,
// key, CAs of clients. All of it can be replaced while connections are open:
// each handshake takes what is in force then.
type identity struct {
	section string // http.ssl or http.http3, for messages
	min     uint16
	auth    tls.ClientAuthType
	acme    *acmeManager // nil: files
	log     *slog.Logger

	current atomic.Pointer[tls.Config]

	mu     sync.Mutex
	files  tlsFiles
	loaded stamps // of the files in force
	failed stamps // of files that cannot be used: said once
}

// newIdentity reads the files. s is nil when TLS is not configured, then
// HTTP/3 has its own certificate and no rules about clients.
func newIdentity(section string, s *SSL, files tlsFiles, acme *acmeManager, log *slog.Logger) (*identity, error) {
	id := &identity{section: section, min: tls.VersionTLS12, acme: acme, log: log}
	if s != nil {
		id.auth = clientAuthTypes[s.ClientAuthType]
		if s.MinVersion == "1.3" {
			id.min = tls.VersionTLS13
		}
	}
	commit, err := id.prepare(files)
	if err != nil {
		return nil, err
	}
	commit()
	return id, nil
}

// prepare reads the files; what it returns puts them in force.
func (id *identity) prepare(files tlsFiles) (commit func(), err error) {
	seen := files.stamps() // before reading: a later change is seen again
	c := &tls.Config{
		MinVersion:   id.min,
		CipherSuites: suites,
		ClientAuth:   id.auth,
		NextProtos:   []string{"h2", "http/1.1"},
		// A resumed session would skip the certificate of a client whose CA is not
		// trusted any more.
		SessionTicketsDisabled: id.auth != tls.NoClientCert,
	}
	if files.rootCA != "" {
		if c.ClientCAs, err = readCAs(files.rootCA); err != nil {
			return nil, fmt.Errorf("http.ssl.root_ca: %w", err)
		}
	}
	if files.cert == "" {
		c.GetCertificate = id.acme.getCertificate
	} else {
		pair, err := tls.LoadX509KeyPair(files.cert, files.key)
		if err != nil {
			return nil, fmt.Errorf("%s.cert: cannot use the certificate %s with the key %s: %w", id.section, files.cert, files.key, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return func() {
		id.mu.Lock()
		defer id.mu.Unlock()
		id.files, id.loaded, id.failed = files, seen, stamps{}
		id.current.Store(c)
		id.report(c)
	}, nil
}

// managed tells whether the certificate comes from ACME.
func (id *identity) managed() bool {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.files.cert == ""
}

// report logs which certificate is in force from now on.
func (id *identity) report(c *tls.Config) {
	if len(c.Certificates) == 0 {
		return
	}
	leaf := c.Certificates[0].Leaf
	attrs := []any{logkey.Key, id.section + ".cert", "names", leaf.DNSNames, "not_after", leaf.NotAfter}
	if time.Now().After(leaf.NotAfter) {
		id.log.Warn("the certificate has expired", attrs...)
		return
	}
	id.log.Debug("certificate in force", attrs...)
}

// check reads the files again if one of them has changed. What cannot be read
// leaves what is in force, and is logged once: as a rule it is a renewal that
// has replaced one of the files so far.
func (id *identity) check() {
	id.mu.Lock()
	files, loaded, failed := id.files, id.loaded, id.failed
	id.mu.Unlock()
	now := files.stamps()
	if now == loaded {
		return
	}
	commit, err := id.prepare(files)
	if err == nil {
		commit()
		id.log.Info("certificate files have changed, they are in force", logkey.Key, id.section)
		return
	}
	if now == failed {
		return
	}
	id.mu.Lock()
	id.failed = now
	id.mu.Unlock()
	id.log.Error("certificate files have changed and cannot be used, the old ones stay in force", logkey.Error, err)
}

// config is for a listener. Its protocols may be replaced (HTTP/3 does).
func (id *identity) config() *tls.Config {
	return &tls.Config{
		MinVersion: id.min,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			// The CA that checks a domain has no client certificate. A connection
			// that offers nothing but this protocol carries no request (tlsListener).
			if id.acme.answersTLS() && len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmeProtocol {
				return &tls.Config{
					MinVersion: id.min, NextProtos: []string{acmeProtocol}, GetCertificate: id.acme.getCertificate,
					SessionTicketsDisabled: true,
				}, nil
			}
			return id.current.Load(), nil
		},
	}
}
