package http

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/quic-go/quic-go"
)

// resetKey makes the key of stateless resets (RFC 9000, 10.3), by which a client
// learns that its connection ended with the process before this one. So it must
// be the same over restarts: it is derived from the key of the certificate, or
// kept beside the certificates of ACME, which change theirs.
func (id *identity) resetKey() (*quic.StatelessResetKey, error) {
	key := new(quic.StatelessResetKey)
	if c := id.current.Load(); len(c.Certificates) > 0 {
		secret, err := x509.MarshalPKCS8PrivateKey(c.Certificates[0].PrivateKey)
		if err != nil {
			return nil, fmt.Errorf("%s.key: %w", id.section, err)
		}
		b, err := hkdf.Key(sha256.New, secret, nil, "rrd QUIC stateless reset", len(key))
		if err != nil {
			return nil, fmt.Errorf("%s.key: %w", id.section, err)
		}
		copy(key[:], b)
		return key, nil
	}
	file := filepath.Join(id.acme.cfg.CacheDir, "quic-reset.key")
	b, err := os.ReadFile(file)
	if err == nil && len(b) == len(key) {
		copy(key[:], b)
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("http.ssl.acme.cache_dir: %w", err)
	}
	_, _ = rand.Read(key[:]) // never fails
	if err := os.WriteFile(file, key[:], 0o600); err != nil {
		return nil, fmt.Errorf("http.ssl.acme.cache_dir: %w", err)
	}
	return key, nil
}
