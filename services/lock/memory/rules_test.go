package memory

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rr-systemd/rrd/services/lock"
)

// table is the locks of a test, in a bubble of synctest.
type table struct {
	*testing.T
	*Locks
}

func bubble(t *testing.T, test func(table)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := table{t, New()}
		test(l)
		synctest.Wait() // those whose time is over have their answer
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (l table) ask(mode lock.Mode, id string, ttl, wait time.Duration) bool {
	l.Helper()
	g, err := l.Acquire(l.Context(), lock.Request{Resource: "r", ID: id, Mode: mode, TTL: ttl, Wait: wait})
	if err != nil {
		l.Errorf("%s lock of %s: %v", mode, id, err)
	}
	return g.OK
}

func (l table) write(id string) bool { l.Helper(); return l.ask(lock.Write, id, time.Hour, 0) }
func (l table) read(id string) bool  { l.Helper(); return l.ask(lock.Read, id, time.Hour, 0) }

// waits asks in the background; the channel gets the answer. It returns when
// the request is in the queue, or answered.
func (l table) waits(mode lock.Mode, id string, wait time.Duration) <-chan bool {
	answer := make(chan bool, 1)
	go func() { answer <- l.ask(mode, id, time.Hour, wait) }()
	synctest.Wait()
	return answer
}

func (l table) is(what string, got, want bool) {
	l.Helper()
	if got != want {
		l.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (l table) released(id string, want bool) {
	l.Helper()
	ok, _ := l.Release(l.Context(), "r", id)
	l.is("release of "+id, ok, want)
	synctest.Wait()
}

func (l table) exists(id string, want bool) {
	l.Helper()
	ok, _ := l.Exists(l.Context(), "r", id)
	l.is("exists "+id, ok, want)
}

func (l table) pending(what string, answer <-chan bool) {
	l.Helper()
	synctest.Wait()
	select {
	case ok := <-answer:
		l.Errorf("%s was answered: %v", what, ok)
	default:
	}
}

// TestReadersThatUpgradeWait: RoadRunner leaves the resource unusable for ever
// when this wait times out.
func TestReadersThatUpgradeWait(t *testing.T) {
	bubble(t, func(l table) {
		l.is("a reads", l.read("a"), true)
		l.is("b reads", l.read("b"), true)
		upgrade := l.waits(lock.Write, "a", time.Minute)
		l.pending("upgrade beside another reader", upgrade)
		ok, _ := l.Extend(l.Context(), "r", "b", time.Hour)
		l.is("readers can be extended meanwhile", ok, true)
		l.released("b", true)
		l.is("a is promoted", <-upgrade, true)
		l.is("nobody reads now", l.read("c"), false)
		l.released("a", true)
		l.exists("*", false)
	})
	bubble(t, func(l table) {
		l.read("a")
		l.read("b")
		l.is("upgrade that times out", l.ask(lock.Write, "a", time.Hour, time.Second), false)
		l.released("a", true)
		l.released("b", true)
		l.is("the resource is usable", l.write("c"), true)
	})
}

// TestUpgradeOvertakes: in RoadRunner the reader waits behind a writer that waits
// for the reader.
func TestUpgradeOvertakes(t *testing.T) {
	bubble(t, func(l table) {
		l.read("a")
		writer := l.waits(lock.Write, "w", time.Minute)
		l.is("the only reader is promoted at once", l.write("a"), true)
		l.pending("the other writer", writer)
		l.released("a", true)
		l.is("then the other", <-writer, true)
	})
	bubble(t, func(l table) {
		l.read("a")
		l.read("b")
		writer := l.waits(lock.Write, "w", time.Minute)
		upgrade := l.waits(lock.Write, "a", time.Minute)
		l.released("b", true)
		l.is("the reader first", <-upgrade, true)
		l.pending("the other writer", writer)
		l.released("a", true)
		l.is("then the other", <-writer, true)
	})
}

func TestNotReentrant(t *testing.T) {
	bubble(t, func(l table) {
		l.write("a")
		l.is("the same id", l.write("a"), false)
		l.is("the same id reads", l.read("a"), false)
		l.released("a", true)
		l.released("a", false)
	})
}

// TestReadingTwice: RoadRunner counts both and can release only the second.
func TestReadingTwice(t *testing.T) {
	bubble(t, func(l table) {
		l.ask(lock.Read, "a", time.Minute, 0)
		l.ask(lock.Read, "a", time.Hour, 0)
		l.released("a", true)
		time.Sleep(2 * time.Minute)
		l.exists("a", true) // the one that lasts longer is left
		l.is("a writer", l.write("w"), false)
		l.released("a", true)
		l.released("a", false)
		l.is("a writer", l.write("w"), true)
	})
}

func TestFirstComeFirstServed(t *testing.T) {
	bubble(t, func(l table) {
		l.write("holder")
		kinds := []lock.Mode{lock.Read, lock.Read, lock.Write, lock.Read, lock.Write, lock.Write, lock.Read, lock.Read}
		var answers []<-chan bool
		for i, m := range kinds {
			answers = append(answers, l.waits(m, fmt.Sprint(i), time.Minute))
		}
		l.is("a reader behind the queue", l.read("late"), false)
		l.released("holder", true)
		// Each group holds at a time, the later ones wait.
		for _, group := range [][]int{{0, 1}, {2}, {3}, {4}, {5}, {6, 7}} {
			for _, i := range group {
				l.is(fmt.Sprint(i), <-answers[i], true)
			}
			for i := group[len(group)-1] + 1; i < len(answers); i++ {
				l.pending(fmt.Sprint(i), answers[i])
			}
			for _, i := range group {
				l.released(fmt.Sprint(i), true)
			}
		}
	})
}

// TestWriterThatGivesUp lets the readers behind it pass.
func TestWriterThatGivesUp(t *testing.T) {
	bubble(t, func(l table) {
		l.read("a")
		writer := l.waits(lock.Write, "w", time.Second)
		reader := l.waits(lock.Read, "b", time.Minute)
		l.pending("the reader behind the writer", reader)
		l.is("the writer", <-writer, false)
		l.is("the reader", <-reader, true)
	})
}

func TestTimeToLive(t *testing.T) {
	bubble(t, func(l table) {
		l.ask(lock.Write, "a", time.Second, 0)
		waiting := l.waits(lock.Write, "b", time.Minute)
		time.Sleep(time.Second - time.Nanosecond)
		l.exists("a", true)
		time.Sleep(time.Nanosecond)
		l.exists("a", false)
		l.is("who waits gets it at that moment", <-waiting, true)
		if ok, _ := l.Extend(l.Context(), "r", "b", time.Second); !ok {
			l.Error("b cannot be extended")
		}
		time.Sleep(time.Second)
		l.exists("*", false)
		ok, _ := l.Extend(l.Context(), "r", "b", time.Second)
		l.is("extending what has ended", ok, false)
		l.released("b", false)
	})
	bubble(t, func(l table) {
		l.ask(lock.Write, "a", time.Minute, 0)
		ok, _ := l.Extend(l.Context(), "r", "a", time.Hour)
		l.is("extend", ok, true)
		time.Sleep(59 * time.Minute)
		l.exists("a", true)
	})
}

// TestEndOfWaitAndOfLockAtOnce: the lock that ends in the same moment counts.
func TestEndOfWaitAndOfLockAtOnce(t *testing.T) {
	bubble(t, func(l table) {
		l.ask(lock.Write, "a", time.Second, 0)
		l.is("b", l.ask(lock.Write, "b", time.Hour, time.Second), true)
	})
}

func TestForceRelease(t *testing.T) {
	bubble(t, func(l table) {
		ok, _ := l.ForceRelease(l.Context(), "r")
		l.is("never used", ok, false)
		l.read("a")
		l.read("b")
		writer := l.waits(lock.Write, "w", time.Minute)
		ok, _ = l.ForceRelease(l.Context(), "r")
		l.is("held", ok, true)
		l.is("who waits gets it", <-writer, true)
		l.exists("a", false)
		l.released("w", true)
		ok, _ = l.ForceRelease(l.Context(), "r")
		l.is("used before", ok, true)
	})
}

// TestNothingIsKept: RoadRunner never frees a resource.
func TestNothingIsKept(t *testing.T) {
	bubble(t, func(l table) {
		for i := range 3 * shards * knownSize / 2 {
			q := lock.Request{Resource: fmt.Sprint(i), ID: "a", TTL: time.Second}
			if i%2 == 0 {
				q.TTL = time.Hour
			}
			if g, err := l.Acquire(l.Context(), q); !g.OK || err != nil {
				l.Fatal(g, err)
			}
			if i%2 == 0 {
				_, _ = l.Release(l.Context(), q.Resource, "a")
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		known := 0
		for i := range l.shards {
			s := &l.shards[i]
			if len(s.resources) > 0 {
				l.Errorf("%d resources are kept", len(s.resources))
			}
			known += len(s.known.young) + len(s.known.old)
		}
		if known > 2*shards*knownSize {
			l.Errorf("%d names are remembered", known)
		}
	})
}

// TestCallerGoesAway: it leaves the queue, and what was granted to nobody is
// free again.
func TestCallerGoesAway(t *testing.T) {
	bubble(t, func(l table) {
		l.write("a")
		ctx, cancel := context.WithCancel(l.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := l.Acquire(ctx, lock.Request{Resource: "r", ID: "gone", TTL: time.Hour, Wait: time.Hour})
			gone <- err
		}()
		synctest.Wait()
		behind := l.waits(lock.Write, "b", time.Minute)
		cancel()
		if err := <-gone; !errors.Is(err, lock.ErrGone) {
			l.Error(err)
		}
		l.released("a", true)
		l.is("the next", <-behind, true)
	})
	bubble(t, func(l table) {
		l.write("a")
		ctx, cancel := context.WithCancel(l.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := l.Acquire(ctx, lock.Request{Resource: "r", ID: "gone", TTL: time.Hour, Wait: time.Hour})
			gone <- err
		}()
		synctest.Wait()
		// Both at once: whatever its goroutine sees first, nobody is left with
		// the lock.
		cancel()
		_, _ = l.Release(l.Context(), "r", "a")
		if err := <-gone; !errors.Is(err, lock.ErrGone) {
			l.Error(err)
		}
		l.is("the lock is free", l.write("b"), true)
	})
}

func TestDrainEndsWaits(t *testing.T) {
	bubble(t, func(l table) {
		l.write("a")
		ended := make(chan error, 1)
		ask := func() {
			_, err := l.Acquire(l.Context(), lock.Request{Resource: "r", ID: "b", TTL: time.Hour, Wait: time.Hour})
			ended <- err
		}
		go ask()
		synctest.Wait()
		l.Drain()
		go ask()
		for range 2 {
			if err := <-ended; !errors.Is(err, lock.ErrStopping) {
				l.Error(err)
			}
		}
		l.exists("a", true)
		if s := l.Stats(); s.Waiting != 0 || s.Holders != 1 {
			l.Error(s)
		}
	})
}

func TestClosed(t *testing.T) {
	bubble(t, func(l table) {
		l.write("a")
		_ = l.Close()
		if _, err := l.Acquire(l.Context(), lock.Request{Resource: "s", ID: "b", TTL: time.Hour}); !errors.Is(err, ErrClosed) {
			l.Error(err)
		}
	})
}

func TestTokensGrow(t *testing.T) {
	bubble(t, func(l table) {
		last := uint64(time.Now().UnixMicro())
		for range 100 {
			g, err := l.Acquire(l.Context(), lock.Request{Resource: "r", ID: "a", TTL: time.Hour})
			if err != nil || g.Token <= last {
				l.Fatal(g, err)
			}
			last = g.Token
			l.released("a", true)
		}
	})
}

func TestList(t *testing.T) {
	bubble(t, func(l table) {
		if list, err := l.List(l.Context()); len(list) != 0 || list == nil || err != nil {
			l.Error(list, err)
		}
		l.read("a")
		l.read("b")
		l.waits(lock.Write, "w", time.Second)
		list, err := l.List(l.Context())
		if err != nil || len(list) != 1 {
			l.Fatal(list, err)
		}
		r := list[0]
		if r.Name != "r" || r.Mode != "read" || r.Waiting != 1 || len(r.Holders) != 2 || r.Holders[0].ID != "a" || r.Holders[0].TTL != 3600 {
			l.Errorf("%+v", r)
		}
		time.Sleep(time.Second)
	})
}
