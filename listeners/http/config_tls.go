package http

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rr-systemd/rrd/ipc/address"
)

// DefaultTLSAddress is where TLS is served when http.ssl.address is left out
// and no socket was inherited, as in RoadRunner.
const DefaultTLSAddress = "127.0.0.1:443"

// SSL is the section http.ssl.
type SSL struct {
	// Address is host:port, or tcp://host:port. Only TCP.
	Address string `cfg:"address"`
	// Key and Cert are PEM files, the certificate first in its chain. They are
	// read again when they change. TLS is served when both are set, or ACME.
	Key  string `cfg:"key"`
	Cert string `cfg:"cert"`
	// Redirect answers requests without TLS with a redirect to TLS.
	Redirect bool `cfg:"redirect"`
	// RootCA is a PEM file with the CAs of client certificates. No other CA is
	// trusted (RoadRunner adds those of the system).
	RootCA string `cfg:"root_ca"`
	// ClientAuthType is a key of clientAuthTypes.
	ClientAuthType string `cfg:"client_auth_type"`
	ACME           *ACME  `cfg:"acme"`

	// Extensions to RoadRunner's keys.

	// MinVersion is "1.2" (default) or "1.3".
	MinVersion string `cfg:"min_version"`
	// HSTS is the Strict-Transport-Security field of redirects, "off" for none.
	// The default is RoadRunner's: a year, with subdomains and preload.
	HSTS string `cfg:"hsts"`
	// RedirectHosts are the hosts to which a redirect may lead. A request for
	// another one is sent to the first of them. Empty: whatever Host says.
	RedirectHosts []string `cfg:"redirect_hosts"`
}

// ACME is the section http.ssl.acme: certificates from a CA that speaks ACME
// (RFC 8555), obtained and renewed in the background.
type ACME struct {
	// CacheDir keeps the account, keys and certificates, readable only for the
	// daemon's user. Default: acme in the state directory of the unit; without
	// one rr_cache_dir, as in RoadRunner.
	CacheDir string   `cfg:"cache_dir"`
	Email    string   `cfg:"email"`
	Domains  []string `cfg:"domains"`
	// ChallengeType is "http-01" (default) or "tlsalpn-01".
	ChallengeType string `cfg:"challenge_type"`
	// AltHTTPPort is where the HTTP challenge is answered, if that is not where
	// http.address answers it. Default 80.
	AltHTTPPort int `cfg:"alt_http_port"`
	// AltTLSALPNPort is the same for the TLS challenge. Default 443.
	AltTLSALPNPort int `cfg:"alt_tlsalpn_port"`
	// UseProductionEndpoint asks Let's Encrypt for real certificates; else its
	// staging environment is used.
	UseProductionEndpoint bool `cfg:"use_production_endpoint"`

	// Extensions to RoadRunner's keys.

	// Directory is the URL of another CA's directory.
	Directory string `cfg:"directory"`
	// DirectoryCA is a PEM file with the CA of that URL's own certificate.
	DirectoryCA string `cfg:"directory_ca"`
}

// HTTP3 is the section http.http3.
type HTTP3 struct {
	// Address is host:port, UDP.
	Address string `cfg:"address"`
	// Key and Cert may be left out: then those of http.ssl are used.
	Key  string `cfg:"key"`
	Cert string `cfg:"cert"`

	// Extensions to RoadRunner's keys.

	// ZeroRTT accepts requests in the first packet of a resumed connection. An
	// attacker can replay them, so only GET, HEAD and OPTIONS are served then.
	ZeroRTT bool `cfg:"zero_rtt"`
	// AdvertisePort is the UDP port in Alt-Svc, if it differs from the one that
	// is listened on, behind a port forwarding.
	AdvertisePort int `cfg:"advertise_port"`
}

// FCGI is the section http.fcgi.
type FCGI struct {
	// Address is host:port, tcp://host:port or unix://path.
	Address string `cfg:"address"`
}

// Values of http.ssl.client_auth_type.
var clientAuthTypes = map[string]tls.ClientAuthType{
	"":                               tls.NoClientCert,
	"no_client_cert":                 tls.NoClientCert,
	"no_client_certs":                tls.NoClientCert, // as RoadRunner's manual spells it
	"request_client_cert":            tls.RequestClientCert,
	"require_any_client_cert":        tls.RequireAnyClientCert,
	"verify_client_cert_if_given":    tls.VerifyClientCertIfGiven,
	"require_and_verify_client_cert": tls.RequireAndVerifyClientCert,
}

// Challenges of ACME.
const (
	challengeHTTP    = "http-01"
	challengeTLSALPN = "tlsalpn-01"
)

const (
	defaultHSTS = "max-age=31536000; includeSubDomains; preload"
	noHSTS      = "off"
)

// Enabled tells whether there is a certificate to serve TLS with. Without one
// RoadRunner leaves the section out, and so does rrd, with a warning.
func (s *SSL) Enabled() bool { return s != nil && (s.Key != "" && s.Cert != "" || s.ACME != nil) }

// HasCertificate tells whether HTTP/3 has a certificate, its own or that of TLS.
func (c *Config) HasCertificate() bool {
	return c.HTTP3 != nil && c.HTTP3.Key != "" && c.HTTP3.Cert != "" || c.SSL.Enabled()
}

func (c *Config) tlsDefaults() {
	if s := c.SSL; s != nil {
		if s.MinVersion == "" {
			s.MinVersion = "1.2"
		}
		if s.HSTS == "" {
			s.HSTS = defaultHSTS
		}
		if a := s.ACME; a != nil {
			a.defaults()
		}
	}
}

func (a *ACME) defaults() {
	if a.CacheDir == "" {
		a.CacheDir = "rr_cache_dir"
		// systemd lists several with colons; ours is the first.
		if state, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); state != "" {
			a.CacheDir = filepath.Join(state, "acme")
		}
	}
	if a.ChallengeType == "" {
		a.ChallengeType = challengeHTTP
	}
	if a.AltHTTPPort == 0 {
		a.AltHTTPPort = 80
	}
	if a.AltTLSALPNPort == 0 {
		a.AltTLSALPNPort = 443
	}
}

// validateTLS checks ssl, http3 and fcgi. All of it fails closed: what looks
// like a rule about who may connect is an error when it cannot be enforced.
func (c *Config) validateTLS() error {
	if c.SSL != nil {
		if err := c.SSL.validate(); err != nil {
			return err
		}
	}
	if h := c.HTTP3; h != nil {
		switch {
		case (h.Key == "") != (h.Cert == ""):
			return errors.New("http.http3: a certificate needs both key and cert; leave both out to use those of http.ssl")
		case h.Address != "" && !c.HasCertificate():
			return errors.New("http.http3.cert: HTTP/3 needs a certificate: set key and cert here or in http.ssl, or http.ssl.acme")
		case h.AdvertisePort < 0 || h.AdvertisePort > 65535:
			return fmt.Errorf("http.http3.advertise_port: %d is no port: use 1..65535", h.AdvertisePort)
		}
		if h.Address != "" {
			if err := address.HostPort(h.Address); err != nil {
				return fmt.Errorf("http.http3.address: %w", err)
			}
		}
		if err := filesExist("http3", h.Key, h.Cert); err != nil {
			return err
		}
	}
	return nil
}

func (s *SSL) validate() error {
	if strings.HasPrefix(s.Address, "unix:") {
		return fmt.Errorf("http.ssl.address: %q is a unix socket, where TLS is not served; write host:port or :port", s.Address)
	}
	if err := checkAddress("http.ssl.address", s.Address); err != nil {
		return err
	}
	kind, ok := clientAuthTypes[s.ClientAuthType]
	switch {
	case !ok:
		return fmt.Errorf("http.ssl.client_auth_type: unknown value %q: use no_client_cert, request_client_cert, require_any_client_cert, verify_client_cert_if_given or require_and_verify_client_cert", s.ClientAuthType)
	case kind >= tls.VerifyClientCertIfGiven && s.RootCA == "":
		return fmt.Errorf("http.ssl.root_ca: client certificates cannot be verified (client_auth_type: %s) without a CA: name its PEM file here", s.ClientAuthType)
	case s.MinVersion != "" && s.MinVersion != "1.2" && s.MinVersion != "1.3":
		return fmt.Errorf("http.ssl.min_version: %q is not served: use \"1.2\" or \"1.3\"", s.MinVersion)
	case s.Redirect && !s.Enabled():
		return errors.New("http.ssl.redirect: there is no TLS to redirect to: set http.ssl.key and http.ssl.cert, or http.ssl.acme")
	case strings.ContainsAny(s.HSTS, "\r\n"):
		return errors.New("http.ssl.hsts: the value of a header field has no line breaks")
	}
	if s.RootCA != "" {
		if _, err := os.Stat(s.RootCA); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("http.ssl.root_ca: root ca path provided, but root ca file '%s' does not exists", s.RootCA)
		}
	}
	if s.ACME != nil {
		return s.ACME.validate()
	}
	if s.Key != "" && s.Cert != "" {
		return filesExist("ssl", s.Key, s.Cert)
	}
	return nil
}

// filesExist reports what is not there in RoadRunner's words.
func filesExist(section, key, cert string) error {
	for _, f := range []struct{ what, path string }{{"key", key}, {"cert", cert}} {
		if f.path == "" {
			continue
		}
		if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("http.%s.%s: %s file '%s' does not exists", section, f.what, f.what, f.path)
		}
	}
	return nil
}

func (a *ACME) validate() error {
	switch {
	case a.Email == "":
		return errors.New("http.ssl.acme.email: email could not be empty: the CA writes there about problems")
	case len(a.Domains) == 0 || slices.Contains(a.Domains, ""):
		return errors.New("http.ssl.acme.domains: should be at least 1 domain, and none empty")
	case a.ChallengeType != "" && a.ChallengeType != challengeHTTP && a.ChallengeType != challengeTLSALPN:
		return fmt.Errorf("http.ssl.acme.challenge_type: unknown challenge %q: use %s or %s", a.ChallengeType, challengeHTTP, challengeTLSALPN)
	case a.Directory != "" && !strings.HasPrefix(a.Directory, "https://"):
		return fmt.Errorf("http.ssl.acme.directory: %q is no https URL", a.Directory)
	case a.DirectoryCA != "" && a.Directory == "":
		return errors.New("http.ssl.acme.directory_ca: it belongs to acme.directory, which is not set")
	}
	for key, port := range map[string]int{"alt_http_port": a.AltHTTPPort, "alt_tlsalpn_port": a.AltTLSALPNPort} {
		if port < 0 || port > 65535 {
			return fmt.Errorf("http.ssl.acme.%s: %d is no port: use 1..65535", key, port)
		}
	}
	return nil
}
