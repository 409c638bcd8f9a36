package http

import (
	"crypto/x509"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// tlsFiles are the PEM files of an identity.
type tlsFiles struct {
	key, cert string // both empty: the certificate comes from ACME
	rootCA    string // of clients; empty: none is verified
}

// readCAs reads a PEM file with at least one certificate. Those of the system
// are not added: they would let in whoever a public CA knows.
func readCAs(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("no certificate in %s: it must be in PEM form", file)
	}
	return pool, nil
}

// stamp tells one state of a file from another.
type stamp struct {
	modified int64
	size     int64
	inode    any
}

type stamps [3]stamp

// stamps follow symbolic links: certbot and Kubernetes replace those.
func (f tlsFiles) stamps() (s stamps) {
	for i, name := range []string{f.key, f.cert, f.rootCA} {
		if name == "" {
			continue
		}
		if info, err := os.Stat(name); err == nil {
			s[i] = stamp{info.ModTime().UnixNano(), info.Size(), inode(info)}
		}
	}
	return s
}

// inode is the identity of a file, nil if the file system has none.
func inode(info fs.FileInfo) any {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return [2]uint64{uint64(st.Dev), st.Ino}
	}
	return nil
}
