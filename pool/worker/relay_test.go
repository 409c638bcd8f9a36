package worker

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// A relay socket that somebody listens on is left alone; one whose owner is gone
// is replaced.
func TestRelayReplacesOnlyStaleSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if _, err := ListenRelay("unix://" + path); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("took over a live socket: %v", err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Fatalf("the live socket is gone: %v", err)
	} else {
		c.Close()
	}
	l.Close()
	r, err := ListenRelay("unix://" + path)
	if err != nil {
		t.Fatalf("a stale socket is in the way: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
