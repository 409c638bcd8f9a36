package daemon

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The socket of a server that lives is never removed, even if the server has no
// time to accept.
func TestRemoveStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := removeStale(path); err != nil {
		t.Errorf("nothing there: %v", err)
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	open := true
	defer func() {
		if open {
			syscall.Close(fd)
		}
	}()
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for full := false; !full; { // until the backlog is full
		err := removeStale(path)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("a server that lives: %v", err)
		}
		c, err := net.Dial("unix", path)
		if full = err != nil; !full {
			defer c.Close()
		}
	}
	if err := removeStale(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a server with a full backlog: %v", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the socket of a server that lives is gone: %v", err)
	}
	syscall.Close(fd)
	open = false
	if err := removeStale(path); err != nil {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("a stale socket is left")
	}
}
