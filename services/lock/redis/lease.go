package redis

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// keep makes this daemon renew a lock that has no time to live.
func (l *Locks) keep(resource, nonce string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leased[nonce] = resource
}

func (l *Locks) forget(m map[string]string, nonce string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(m, nonce)
}

// Leased is how many locks this daemon renews.
func (l *Locks) Leased() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.leased)
}

// mostLeft bounds what a Redis that is away for long leaves behind; the times to
// live end the rest.
const mostLeft = 10_000

// leave withdraws a request whose caller will not know what came of it, in Run when
// Redis has just failed.
func (l *Locks) leave(ctx context.Context, resource, nonce string, failure error) error {
	if !errors.Is(failure, ErrStore) && l.withdraw(context.WithoutCancel(ctx), resource, nonce) == nil {
		return failure
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.left) < mostLeft {
		l.left[nonce] = resource
	}
	return failure
}

func (l *Locks) withdraw(ctx context.Context, resource, nonce string) error {
	return l.call(ctx, resource, "leave", nonce).Err()
}

// Run wakes who waits, renews leases and withdraws what could not be withdrawn at
// once, until ctx ends.
func (l *Locks) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { l.listen(ctx); return nil })
	g.Go(func() error { l.tend(ctx); return nil })
	return g.Wait()
}

// listen wakes who waits. The client subscribes anew when a connection is lost.
func (l *Locks) listen(ctx context.Context) {
	messages := l.client.Subscribe(ctx, l.channel+l.daemon)
	defer messages.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-messages.Channel():
			if !ok {
				return // Close came first
			}
			l.mu.Lock()
			if wake := l.waiting[m.Payload]; wake != nil {
				select {
				case wake <- struct{}{}:
				default: // it is woken already
				}
			}
			l.mu.Unlock()
		}
	}
}

// tend does what is due, again and again. That Redis is away is told once, at the
// start too.
func (l *Locks) tend(ctx context.Context) {
	tick := time.NewTicker(min(l.times.poll, l.times.lease/3))
	defer tick.Stop()
	failure := l.client.Ping(ctx).Err()
	if failure != nil && ctx.Err() == nil {
		l.log.Warn("the lock store cannot be reached", logkey.Error, failure)
	}
	var renewed time.Time
	for {
		err := l.withdrawAll(ctx)
		if err == nil && time.Since(renewed) >= l.times.lease/3 {
			if err = l.renewAll(ctx); err == nil {
				renewed = time.Now()
			}
		}
		if err != nil && failure == nil && ctx.Err() == nil {
			l.log.Warn("the lock store fails; locks without a ttl end "+l.times.lease.String()+" after they were renewed", logkey.Error, err)
		}
		failure = err
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (l *Locks) withdrawAll(ctx context.Context) error {
	for nonce, resource := range l.copyOf(l.left) {
		if err := l.withdraw(ctx, resource, nonce); err != nil {
			return err
		}
		l.forget(l.left, nonce)
	}
	return nil
}

// renewAll forgets the locks that have ended.
func (l *Locks) renewAll(ctx context.Context) error {
	for nonce, resource := range l.copyOf(l.leased) {
		ok, err := l.call(ctx, resource, "renew", nonce, l.times.lease.Microseconds()).Bool()
		if err != nil {
			return err
		}
		if !ok {
			l.forget(l.leased, nonce)
		}
	}
	return nil
}

func (l *Locks) copyOf(m map[string]string) map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(m)
}

// state is what the next process renews. Locks themselves are in Redis.
type state struct{ Leased map[string]string }

// Save writes which locks have no time to live.
func (l *Locks) Save(w io.Writer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return gob.NewEncoder(w).Encode(state{l.leased})
}

// Restore takes over what Save wrote. It is called once, before Run.
func (l *Locks) Restore(data []byte) error {
	var s state
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&s); err != nil {
		return fmt.Errorf("cannot read the locks from before the restart: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(l.leased, s.Leased)
	return nil
}
