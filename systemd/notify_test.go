package systemd

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNotify(t *testing.T) {
	for _, abstract := range []bool{false, true} {
		t.Run(map[bool]string{false: "path", true: "abstract"}[abstract], func(t *testing.T) {
			noLeak(t)
			m := newManager(t, abstract)
			n := m.notifier()
			if !n.Enabled() {
				t.Fatal("not enabled")
			}
			if v, ok := os.LookupEnv("NOTIFY_SOCKET"); ok {
				t.Errorf("NOTIFY_SOCKET=%q is still set", v)
			}
			for _, c := range []struct {
				err  error
				want string
			}{
				{n.Ready("http 4/4 idle"), "READY=1\nSTATUS=http 4/4 idle"},
				{n.Status("a\nMAINPID=1\x00\xffü\x7f"), "STATUS=a MAINPID=1 \uFFFDü "},
				{n.Stopping(), "STOPPING=1"},
				{n.Watchdog(), "WATCHDOG=1"},
				{n.WatchdogTrigger(), "WATCHDOG=trigger"},
				{n.ExtendTimeout(1500 * time.Millisecond), "EXTEND_TIMEOUT_USEC=1500000"},
				{n.ExtendTimeout(-1), "EXTEND_TIMEOUT_USEC=0"},
				{n.MainPID(42), "MAINPID=42"},
			} {
				if c.err != nil {
					t.Error(c.want, c.err)
				}
				if got := m.read(); got.text != c.want || len(got.files) > 0 {
					t.Errorf("got %+v, want %q", got, c.want)
				}
			}
		})
	}
}

func TestStatusIsBounded(t *testing.T) {
	m := newManager(t, false)
	n := m.notifier()
	if err := n.Status("x" + strings.Repeat("ü", 5000)); err != nil {
		t.Fatal(err)
	}
	if got := m.read().text; len(got) > 4096 || !strings.HasSuffix(got, "ü") {
		t.Errorf("%d bytes, end %q", len(got), got[len(got)-4:])
	}
}

func TestReloading(t *testing.T) {
	m := newManager(t, false)
	n := m.notifier()
	before := monotonic(t)
	if err := n.Reloading(); err != nil {
		t.Fatal(err)
	}
	text := m.read().text
	usec, ok := strings.CutPrefix(text, "RELOADING=1\nMONOTONIC_USEC=")
	got, err := strconv.ParseInt(usec, 10, 64)
	if !ok || err != nil || got < before || got > monotonic(t) {
		t.Errorf("message %q, clock was %d", text, before)
	}
}

func monotonic(t *testing.T) int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano() / 1000
}

func TestBarrier(t *testing.T) {
	noLeak(t)
	m := newManager(t, false)
	n := m.notifier()
	done := make(chan error)
	go func() { done <- n.Barrier(t.Context()) }()
	msg := m.read()
	if msg.text != "BARRIER=1" || len(msg.files) != 1 {
		t.Fatalf("got %+v", msg)
	}
	select {
	case err := <-done:
		t.Fatal("Barrier returned before the manager closed the descriptor:", err)
	default:
	}
	msg.files[0].Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- n.Barrier(ctx) }()
	m.read()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Without a manager everything succeeds and nothing happens.
func TestNoManager(t *testing.T) {
	noLeak(t)
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "1000000")
	made, err := NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	f, _ := tcp(t)
	for _, n := range []*Notifier{made, nil} {
		if n.Enabled() || n.WatchdogInterval() != 0 {
			t.Error("enabled without NOTIFY_SOCKET")
		}
		for _, err := range []error{
			n.Ready(""), n.Reloading(), n.Stopping(), n.Status(""), n.Watchdog(), n.WatchdogTrigger(),
			n.ExtendTimeout(0), n.MainPID(1), n.Barrier(t.Context()), n.Store("x", f), n.Remove("x"),
		} {
			if err != nil {
				t.Error(err)
			}
		}
	}
}

func TestManagerGone(t *testing.T) {
	noLeak(t)
	m := newManager(t, false)
	n := m.notifier()
	m.conn.Close()
	f, _ := tcp(t)
	for _, err := range []error{n.Watchdog(), n.Barrier(t.Context()), n.Store("x", f)} {
		if err == nil || !strings.Contains(err.Error(), m.addr) {
			t.Errorf("error %v does not name the socket", err)
		}
	}
}

func TestBadNotifySocket(t *testing.T) {
	for _, addr := range []string{"vsock:2:1", "relative", "@", "/"} {
		t.Setenv("NOTIFY_SOCKET", addr)
		if _, err := NewNotifier(); !errors.Is(err, ErrNotifySocket) || !strings.Contains(err.Error(), addr) {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

func TestWatchdogInterval(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
		bad       bool
	}{
		{"", "", 0, false},
		{"", "x", 0, false},
		{"30000000", "", 30 * time.Second, false},
		{"500000", "7", 500 * time.Millisecond, false},
		{"500000", "8", 0, false},
		{"500000", "x", 0, true},
		{"0", "7", 0, true},
		{"-1", "", 0, true},
		{"10s", "", 0, true},
		{"18446744073709551615", "", 0, true},
	} {
		got, err := watchdogInterval(c.usec, c.pid, 7)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
}
