package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// The watchdog is fed while dispatch works and starves while it fails or hangs.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Daemon{log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		var fed atomic.Int64
		var probe atomic.Value // func(context.Context) error
		works := func(context.Context) error { return nil }
		probe.Store(works)
		done := make(chan struct{})
		go func() {
			defer close(done)
			d.heartbeat(ctx, time.Second, func(ctx context.Context) error { return probe.Load().(func(context.Context) error)(ctx) },
				func() error { fed.Add(1); return nil })
		}()
		// after lets n seconds pass and tells how often the watchdog was fed.
		after := func(n int) int64 {
			before := fed.Load()
			<-time.After(time.Duration(n) * time.Second)
			synctest.Wait()
			return fed.Load() - before
		}
		<-time.After(time.Millisecond) // between two ticks
		if fed.Load() != 1 {
			t.Errorf("fed %d times at the beginning", fed.Load())
		}
		if n := after(10); n != 10 {
			t.Errorf("fed %d times in 10 s while healthy", n)
		}
		probe.Store(func(context.Context) error { return errors.New("requests wait while workers are free") })
		if n := after(10); n != 0 {
			t.Errorf("fed %d times in 10 s while dispatch fails", n)
		}
		probe.Store(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		if n := after(10); n != 0 {
			t.Errorf("fed %d times in 10 s while dispatch is slow", n)
		}
		stuck := make(chan struct{})
		probe.Store(func(context.Context) error { <-stuck; return nil }) // heeds no deadline: a lock
		if n := after(10); n != 0 {
			t.Errorf("fed %d times in 10 s while dispatch hangs", n)
		}
		probe.Store(works)
		close(stuck)
		if n := after(10); n < 9 {
			t.Errorf("fed %d times in 10 s after dispatch has recovered", n)
		}
		cancel()
		<-done
	})
}

// A daemon that accepts connections and reads requests, but whose dispatcher
// stands still, does not feed the watchdog: that it lives is not enough.
func TestWatchdogStarvesWhenDispatchStalls(t *testing.T) {
	stall := filepath.Join(bin, "stall")
	if out, err := exec.Command("go", "build", "-o", stall, "./testdata/stall").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	a := newSite(t, plain)
	a.prog = []string{stall}
	m := newManager(t, filepath.Join(a.dir, "notify"))
	a.unit(m, []string{"WATCHDOG_USEC=400000"})
	fed := func() int { return m.count("WATCHDOG=1") }
	await(t, "the watchdog is fed", func() bool { return fed() >= 3 })

	a.signal(syscall.SIGUSR1)
	await(t, "the stall", func() bool { return a.output.has("the dispatcher is stalled") })
	// Each beat takes half of the time that systemd grants; the first may have
	// been under way.
	before := fed()
	for range 5 {
		<-time.After(200 * time.Millisecond)
		c, err := net.Dial("unix", filepath.Join(a.dir, "http.sock"))
		if err != nil {
			t.Fatal("no connection is accepted:", err)
		}
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: app\r\n\r\n")); err != nil {
			t.Error(err)
		}
		defer c.Close()
	}
	if n := fed() - before; n > 1 {
		t.Errorf("the watchdog was fed %d times in 1 s", n)
	}
	a.signal(syscall.SIGTRAP) // what systemd sends: WatchdogSignal=
	if code := a.wait(); code != 2 {
		t.Errorf("exit status %d", code)
	}
	if !a.output.has("sync.(*Mutex)") && !a.output.has("sync.Mutex") {
		t.Error("the goroutines are not in the log")
	}
}
