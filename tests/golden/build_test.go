package golden_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// binaries are the programs under test and what they need.
type binaries struct {
	rr, worker string
	cert, key  string
	dir        string // folder for the servers' folders
}

// build builds rrd, rrctl (linked as rr) and the worker into dir.
func build(dir string) (*binaries, error) {
	args := []string{"build"}
	if raceEnabled {
		args = append(args, "-race")
	}
	for _, pkg := range []string{"cmd/rrd", "cmd/rrctl", "tests/golden/remoteworker"} {
		cmd := exec.Command("go", append(args, "-o", filepath.Join(dir, filepath.Base(pkg)), "github.com/rr-systemd/rrd/"+pkg)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("cannot build %s: %w\n%s", pkg, err, out)
		}
	}
	b := &binaries{
		rr: filepath.Join(dir, "rr"), worker: filepath.Join(dir, "remoteworker"),
		cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"),
		dir: dir,
	}
	if err := os.Symlink("rrctl", b.rr); err != nil {
		return nil, err
	}
	return b, b.selfSigned()
}

func (b *binaries) selfSigned() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example.test"}, DNSNames: []string{"example.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(b.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
		os.WriteFile(b.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}
