// Package rpctest runs an RPC server for a test.
package rpctest

import (
	"net"
	"path/filepath"
	"testing"

	wire "github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/rpc"
)

// Listen returns a unix socket and its DSN.
func Listen(t testing.TB) (net.Listener, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rpc.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return l, "unix://" + path
}

// Serve runs a server on a unix socket until the test ends and returns its DSN.
func Serve(t testing.TB, opts rpc.Options, register func(*rpc.Server)) string {
	t.Helper()
	l, dsn := Listen(t)
	opts.Listeners = append(opts.Listeners, l)
	s := rpc.New(opts)
	register(s)
	ended := make(chan error, 1)
	ctx := t.Context()
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return dsn
}

// Dial connects to a server until the test ends.
func Dial(t testing.TB, dsn string) *wire.Client {
	t.Helper()
	c, err := wire.Dial(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
