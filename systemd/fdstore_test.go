package systemd

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStore(t *testing.T) {
	noLeak(t)
	m := newManager(t, true)
	n := m.notifier()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	name := StoreName("listen", "http", l.Addr().String())
	if err := n.Store(name, l.(*net.TCPListener)); err != nil {
		t.Fatal(err)
	}
	msg := m.read()
	if msg.text != "FDSTORE=1\nFDPOLL=0\nFDNAME="+name || len(msg.files) != 1 {
		t.Fatalf("got %+v", msg)
	}
	l.Close()

	// The next process gets it back by its name.
	r := start(t, "list", []string{"LISTEN_PID=self", "LISTEN_FDS=1", "LISTEN_FDNAMES=" + name}, msg.files[0])
	if !slices.Equal(r.Stored, []string{name}) {
		t.Errorf("stored %q", r.Stored)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Error("the stored socket does not listen:", err)
	} else {
		c.Close()
	}

	f := memfd(t, "state")
	if err := n.Store("state", f); err != nil {
		t.Fatal(err)
	}
	var here, there unix.Stat_t
	got := m.read()
	if err := errors.Join(unix.Fstat(int(f.Fd()), &here), unix.Fstat(int(got.files[0].Fd()), &there)); err != nil || here.Ino != there.Ino {
		t.Error("another file arrived:", err)
	}
	if err := n.Remove(name); err != nil {
		t.Fatal(err)
	}
	if got := m.read(); got.text != "FDSTOREREMOVE=1\nFDNAME="+name {
		t.Errorf("got %q", got.text)
	}
}

func TestStoreRefusesBadNames(t *testing.T) {
	m := newManager(t, false)
	n := m.notifier()
	f := memfd(t, "")
	for _, name := range []string{"", "a:b", "a\nFDSTOREREMOVE=1", "\x7f", "ü", strings.Repeat("x", 256)} {
		if err := n.Store(name, f); !errors.Is(err, ErrName) {
			t.Errorf("Store %q: %v", name, err)
		}
		if err := n.Remove(name); !errors.Is(err, ErrName) {
			t.Errorf("Remove %q: %v", name, err)
		}
	}
	m.silent()
	for _, name := range []string{"http", "tcp.main", "a b~", strings.Repeat("x", 255)} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
}

func TestStoreClosed(t *testing.T) {
	m := newManager(t, false)
	n := m.notifier()
	f := memfd(t, "")
	f.Close()
	if err := n.Store("x", f); err == nil {
		t.Error("a closed file was stored")
	}
	m.silent()
}

func TestStoreName(t *testing.T) {
	name := StoreName("listen", "http", "unix:///run/rr/a%b.sock")
	if want := "store/listen/http/unix%3A%2F%2F%2Frun%2Frr%2Fa%25b.sock"; name != want {
		t.Errorf("%q, want %q", name, want)
	}
	for _, bad := range []string{"http", "store", "store/%", "store/%2", "store/%2g", "store/%2a"} {
		if parts, ok := ParseStoreName(bad); ok {
			t.Errorf("%q was taken for %q", bad, parts)
		}
	}
}

func FuzzStoreName(f *testing.F) {
	f.Add("listen", "127.0.0.1:80")
	f.Add("", "/")
	f.Add("%3A", "\x00\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		name := StoreName(a, b)
		parts, ok := ParseStoreName(name)
		if !ok || !slices.Equal(parts, []string{a, b}) {
			t.Errorf("%q: %q", name, parts)
		}
		if err := CheckName(name); err != nil && len(name) <= maxName {
			t.Error(err)
		}
		ParseStoreName(storePrefix + a) // must not panic
	})
}
