package daemon

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
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
