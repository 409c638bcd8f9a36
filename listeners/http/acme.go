package http

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// acmeManager obtains and renews certificates in the background (RFC 8555). The
// daemon serves meanwhile: a CA that is out of reach stops neither its start nor
// plain HTTP. RoadRunner blocks its start for up to 30 days, and does not renew.
//
// A nil manager has no certificate and answers no challenge.
type acmeManager struct {
	cfg   ACME
	magic atomic.Pointer[certmagic.Config]     // nil before run
	http  atomic.Pointer[certmagic.ACMEIssuer] // the same; answers http-01
	log   *slog.Logger

	mu       sync.Mutex
	problems map[string]string // by domain
}

// newACME makes the folder of the certificates, for this user only.
func newACME(c ACME, log *slog.Logger) (*acmeManager, error) {
	c.defaults()
	if err := os.MkdirAll(c.CacheDir, 0o700); err != nil {
		return nil, fmt.Errorf("http.ssl.acme.cache_dir: cannot make the folder of the certificates: %w", err)
	}
	info, err := os.Stat(c.CacheDir)
	if err != nil {
		return nil, fmt.Errorf("http.ssl.acme.cache_dir: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		// RoadRunner makes it for everybody to list.
		if err := os.Chmod(c.CacheDir, 0o700); err != nil {
			return nil, fmt.Errorf("http.ssl.acme.cache_dir: others may look into the folder of the keys (mode %04o): %w", mode, err)
		}
	}
	return &acmeManager{cfg: c, log: log, problems: make(map[string]string)}, nil
}

// run keeps the certificates until ctx ends.
func (a *acmeManager) run(ctx context.Context) error {
	logger := zap.New(zapToSlog{handler: a.log.Handler()})
	var config *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil },
		Logger:           logger,
	})
	defer cache.Stop()
	config = certmagic.New(cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: a.cfg.CacheDir},
		Logger:  logger,
		OnEvent: a.event,
		// Clients without SNI, such as health checks by address.
		DefaultServerName: a.cfg.Domains[0],
	})
	issuer, err := a.issuer(config, logger)
	if err != nil {
		return err
	}
	// Instead of certmagic's default issuer, which asks for real certificates.
	config.Issuers = []certmagic.Issuer{issuer}
	a.http.Store(issuer)
	a.magic.Store(config)
	if err := config.ManageAsync(ctx, a.cfg.Domains); err != nil {
		return fmt.Errorf("cannot manage the certificates of %s: %w", strings.Join(a.cfg.Domains, ", "), err)
	}
	<-ctx.Done()
	return nil
}

func (a *acmeManager) issuer(config *certmagic.Config, logger *zap.Logger) (*certmagic.ACMEIssuer, error) {
	template := certmagic.ACMEIssuer{
		CA:                      certmagic.LetsEncryptStagingCA,
		Email:                   a.cfg.Email,
		Agreed:                  true,
		DisableHTTPChallenge:    a.cfg.ChallengeType != challengeHTTP,
		DisableTLSALPNChallenge: a.cfg.ChallengeType != challengeTLSALPN,
		AltHTTPPort:             a.cfg.AltHTTPPort,
		AltTLSALPNPort:          a.cfg.AltTLSALPNPort,
		Logger:                  logger,
	}
	switch {
	case a.cfg.Directory != "":
		template.CA = a.cfg.Directory
	case a.cfg.UseProductionEndpoint:
		template.CA = certmagic.LetsEncryptProductionCA
	}
	// certmagic tries again with a test CA if it is left empty and CA is its
	// default.
	template.TestCA = template.CA
	if a.cfg.DirectoryCA != "" {
		var err error
		if template.TrustedRoots, err = readCAs(a.cfg.DirectoryCA); err != nil {
			return nil, fmt.Errorf("http.ssl.acme.directory_ca: %w", err)
		}
	}
	return certmagic.NewACMEIssuer(config, template), nil
}

// event keeps what went wrong last, for the health of the daemon.
func (a *acmeManager) event(_ context.Context, event string, data map[string]any) error {
	domain, _ := data["identifier"].(string)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch event {
	case "cert_obtained":
		delete(a.problems, domain)
		a.log.Info("certificate obtained", "names", domain, "renewal", data["renewal"])
	case "cert_failed":
		a.problems[domain] = fmt.Sprint(data["error"])
		a.log.Error("cannot obtain a certificate, trying again later", "names", domain, logkey.Error, data["error"])
	}
	return nil
}

// problem says which certificates are missing, "" if none is.
func (a *acmeManager) problem() string {
	if a == nil {
		return ""
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []string
	for domain, why := range a.problems {
		why, _, _ = strings.Cut(why, "\n")
		list = append(list, "no certificate for "+domain+": "+why)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

var errNotYet = errors.New("the certificate is not there yet")

// getCertificate is for tls.Config. It also has the certificates by which
// tlsalpn-01 is answered.
func (a *acmeManager) getCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if magic := a.magic.Load(); magic != nil {
		return magic.GetCertificate(hello)
	}
	return nil, errNotYet
}

// answersTLS tells whether the TLS listener answers challenges.
func (a *acmeManager) answersTLS() bool { return a != nil && a.cfg.ChallengeType == challengeTLSALPN }

// wrap answers challenges of http-01 before h, also before a redirect.
func (a *acmeManager) wrap(h http.Handler) http.Handler {
	if a == nil || a.cfg.ChallengeType != challengeHTTP {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What is none of ours, such as another server's challenge, is the
		// application's.
		if issuer := a.http.Load(); issuer != nil && issuer.HandleHTTPChallenge(w, r) {
			return
		}
		h.ServeHTTP(w, r)
	})
}
