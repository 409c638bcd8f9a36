package http

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	drainTick = 5 * time.Millisecond
	// drainIdle is how long an idle connection of a draining server may still
	// send a request, which is then answered with "Connection: close". A busy
	// client uses its connections within that time; closing earlier would race
	// with it.
	drainIdle = 250 * time.Millisecond
	// drainNew is how long a connection that has never sent a byte is waited
	// for. Its request may be on the way, or it was opened ahead by a browser.
	drainNew = time.Second
)

// Shutdown stops without losing a request. It
//
//  1. stops accepting and waits for Serve to return: from then on every
//     accepted connection is known;
//  2. answers what still comes on open connections, and asks the clients to
//     close them; releases connections once they are idle (see conn);
//     meanwhile HTTP/3 ends by GOAWAY (see http3Server.shutdown);
//  3. when HTTP/1 and FastCGI are over, lets net/http say GOAWAY to HTTP/2
//     connections, and ends those without streams (see drainHTTP2).
//
// http.Server.Shutdown by itself closes a connection unanswered whose request
// is read after it began (golang.org/issue/75591), so it comes last. When ctx
// ends first, its error is returned and the rest stays open; call Close.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopServing()
	s.stopAccepting()
	served := make(chan struct{})
	go func() { // ends with the Serve calls, at the latest in Close
		s.running.Wait()
		close(served)
	}()
	select {
	case <-served:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.closeListeners()
	var group errgroup.Group
	if s.h3 != nil {
		group.Go(func() error { return s.h3.shutdown(ctx) })
	}
	group.Go(func() error {
		if err := s.drainHTTP1(ctx); err != nil {
			return err
		}
		return s.drainHTTP2(ctx)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	s.stopOnce.Do(func() { close(s.stopped) })
	return nil
}

// lull is how long a connection has been in its state, as the drain saw it.
type lull struct {
	changes uint32
	since   time.Time
}

// drainHTTP1 returns when no connection of HTTP/1 or FastCGI is left.
func (s *Server) drainHTTP1(ctx context.Context) error {
	lulls := make(map[*conn]lull)
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for {
		now, left := time.Now(), 0
		s.conns.all(func(c *conn) {
			if c.http2.Load() {
				return
			}
			left++
			changes := c.changes.Load()
			l, seen := lulls[c]
			if !seen || l.changes != changes {
				lulls[c] = lull{changes, now}
				return
			}
			wait := drainIdle
			switch http.ConnState(c.state.Load()) {
			case http.StateNew:
				wait = drainNew
			case http.StateIdle:
			default:
				return
			}
			if now.Sub(l.since) >= wait {
				c.release()
			}
		})
		if left == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// drainHTTP2 lets net/http say GOAWAY to the connections that are left, and
// returns when none is. After GOAWAY a client opens no more streams; net/http
// waits a second for it to close, which most do not do. Here a connection without
// streams ends when it has been quiet for drainIdle since.
func (s *Server) drainHTTP2(ctx context.Context) error {
	before := make(map[*conn]uint32)
	s.conns.all(func(c *conn) { before[c] = c.writes.Load() })
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.http.Shutdown(ctx) }()
	lulls := make(map[*conn]lull)
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
		}
		now, left := time.Now(), 0
		s.conns.all(func(c *conn) {
			left++
			// What is written to a connection without streams is GOAWAY.
			writes := c.writes.Load()
			if writes == before[c] || http.ConnState(c.state.Load()) != http.StateIdle {
				return
			}
			if l, seen := lulls[c]; !seen || l.changes != writes {
				lulls[c] = lull{writes, now}
			} else if now.Sub(l.since) >= drainIdle {
				c.release()
			}
		})
		if left == 0 {
			cancel() // it looks only every now and then
			<-done
			return nil
		}
	}
}
