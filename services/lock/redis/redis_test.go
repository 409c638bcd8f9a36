package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rr-systemd/rrd/services/lock"
	"github.com/rr-systemd/rrd/services/lock/locktest"
	"github.com/rr-systemd/rrd/tests/brokers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daemon is a driver at work, as one of several machines has it.
type daemon struct {
	*testing.T
	*Locks
	die func() // the process ends and says nothing
}

// start makes a driver. prepare sees it before it runs.
func start(t *testing.T, c Config, prepare ...func(*Locks)) daemon {
	t.Helper()
	c.Defaults()
	l, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range prepare {
		p(l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	d := daemon{t, l, func() {
		cancel()
		running.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}}
	t.Cleanup(d.die)
	return d
}

func at(s *brokers.Server) Config { return Config{Addrs: []string{s.Addr}, MaxRetries: 1} }

func (d daemon) ask(mode lock.Mode, id string, ttl, wait time.Duration) lock.Grant {
	d.Helper()
	g, err := d.Acquire(d.Context(), lock.Request{Resource: "r", ID: id, Mode: mode, TTL: ttl, Wait: wait})
	if err != nil {
		d.Errorf("%s lock of %s: %v", mode, id, err)
	}
	return g
}

// waits asks in the background, and returns when the request is in the queue.
func (d daemon) waits(mode lock.Mode, id string) <-chan lock.Grant {
	d.Helper()
	before := d.queue()
	answer := make(chan lock.Grant, 1)
	go func() { answer <- d.ask(mode, id, time.Hour, time.Hour) }()
	d.eventually(id+" waits", func() bool { return d.queue() > before })
	return answer
}

func (d daemon) queue() int {
	d.Helper()
	r, err := d.describe(d.Context(), "r")
	if err != nil {
		d.Error(err)
	}
	return r.Waiting
}

func (d daemon) is(what string, got, want bool) {
	d.Helper()
	if got != want {
		d.Errorf("%s: %v, want %v", what, got, want)
	}
}

func (d daemon) exists(id string) bool {
	d.Helper()
	ok, err := d.Exists(d.Context(), "r", id)
	if err != nil {
		d.Error(err)
	}
	return ok
}

func (d daemon) release(id string) bool {
	d.Helper()
	ok, err := d.Release(d.Context(), "r", id)
	if err != nil {
		d.Error(err)
	}
	return ok
}

func (d daemon) eventually(what string, condition func() bool) {
	d.Helper()
	deadline := time.After(30 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			d.Fatalf("not within 30 s: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestLinearizable(t *testing.T) {
	s := brokers.Redis(t)
	locktest.Linearizable(t, 8, func(round int) []lock.Locker {
		c := at(s)
		c.Prefix = fmt.Sprint(round, ":")
		return []lock.Locker{start(t, c), start(t, c)}
	})
}

func TestMutualExclusion(t *testing.T) {
	s := brokers.Redis(t)
	locktest.MutualExclusion(t, start(t, at(s)), start(t, at(s)))
}

// TestRules are those of the memory driver, over two daemons.
func TestRules(t *testing.T) {
	s := brokers.Redis(t)
	a, b := start(t, at(s)), start(t, at(s))
	forced, _ := a.ForceRelease(t.Context(), "r")
	a.is("ForceRelease of what was never used", forced, false)
	first := a.ask(lock.Read, "a", time.Hour, 0)
	a.is("a reads", first.OK, true)
	b.is("b reads", b.ask(lock.Read, "b", time.Hour, 0).OK, true)
	b.is("b reads twice", b.ask(lock.Read, "b", time.Minute, 0).OK, true)
	writer := b.waits(lock.Write, "w")
	a.is("a reader behind a writer that waits", a.ask(lock.Read, "c", time.Hour, 0).OK, false)
	upgrade := a.waits(lock.Write, "a")
	list, err := a.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Name != "r" || list[0].Mode != "read" || list[0].Waiting != 2 || len(list[0].Holders) != 3 {
		t.Errorf("%+v, %v", list, err)
	} else if h := list[0].Holders[0]; h.ID != "a" || h.Token != first.Token || h.TTL > 3600 || h.TTL < 3000 {
		t.Errorf("%+v", h)
	}
	a.is("b is released on the other machine", a.release("b"), true)
	a.is("b still reads", b.exists("b"), true)
	a.is("b is released again", a.release("b"), true)
	a.is("and once more", a.release("b"), false)
	promoted := <-upgrade
	a.is("the only reader is promoted before who came first", promoted.OK && promoted.Token > first.Token, true)
	forced, _ = b.ForceRelease(t.Context(), "r")
	b.is("ForceRelease", forced, true)
	last := <-writer
	b.is("then the writer", last.OK && last.Token > promoted.Token, true)
	b.is("w holds it", a.exists("w") && a.exists(lock.AnyID) && !a.exists("a"), true)
	b.is("w is released", b.release("w"), true)
	forced, _ = a.ForceRelease(t.Context(), "r")
	a.is("ForceRelease of what is known", forced, true)
	if list, err := a.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestStrangeNames: names and ids are bytes.
func TestStrangeNames(t *testing.T) {
	s := brokers.Redis(t)
	c := at(s)
	c.Prefix = `app[1]*\:`
	d := start(t, c)
	for _, name := range []string{"", "{}", "}{", "\xff\x00\n", "*", `a\b`} {
		if g, err := d.Acquire(t.Context(), lock.Request{Resource: name, ID: name + "\xfe", TTL: lock.MaxTTL - time.Hour}); !g.OK || err != nil {
			t.Errorf("%q: %v %v", name, g, err)
		}
	}
	list, err := d.List(t.Context())
	if err != nil || len(list) != 6 || !slices.ContainsFunc(list, func(r lock.Resource) bool { return r.Name == "\xff\x00\n" && r.Holders[0].ID == "\xff\x00\n\xfe" }) {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestTTL: Redis ends a lock, whoever is alive, and who waits gets it then.
func TestTTL(t *testing.T) {
	s := brokers.Redis(t)
	a, b := start(t, at(s)), start(t, at(s))
	short := a.ask(lock.Write, "a", 300*time.Millisecond, 0)
	a.die()
	begin := time.Now()
	g := b.ask(lock.Write, "b", time.Hour, time.Hour)
	b.is("b waits for a's ttl", g.OK && g.Token > short.Token, true)
	if took := time.Since(begin); took > usual.lease {
		t.Errorf("after %s", took)
	}
	ok, err := b.Extend(t.Context(), "r", "b", 100*time.Millisecond)
	b.is("b is given less time", ok && err == nil, true)
	ok, _ = b.Extend(t.Context(), "r", "a", time.Hour)
	b.is("a has no lock to extend", ok, false)
	b.eventually("b's time is over", func() bool { return !b.exists("b") })
}

// TestWakeUp: who waits on another machine need not try by itself.
func TestWakeUp(t *testing.T) {
	s := brokers.Redis(t)
	never := func(l *Locks) { l.times.poll, l.times.patience = time.Hour, 2*time.Hour }
	a, b := start(t, at(s), never), start(t, at(s), never)
	a.eventually("both listen", func() bool {
		return strings.Count(brokers.RedisCLI(t, s.Addr, "pubsub", "channels"), "rrd:lock-wake:") == 2
	})
	a.ask(lock.Write, "a", time.Hour, 0)
	waits := b.waits(lock.Write, "b")
	a.release("a")
	b.is("b is woken", (<-waits).OK, true)
}

// TestLostWakeUp: a message that did not come costs a poll.
func TestLostWakeUp(t *testing.T) {
	s := brokers.Redis(t)
	a := start(t, at(s))
	deaf := start(t, at(s), func(l *Locks) { l.times.poll = 20 * time.Millisecond })
	brokers.RedisCLI(t, s.Addr, "acl", "setuser", "default", "resetchannels")
	brokers.RedisCLI(t, s.Addr, "client", "kill", "type", "pubsub")
	a.ask(lock.Write, "a", time.Hour, 0)
	waits := deaf.waits(lock.Write, "b")
	brokers.RedisCLI(t, s.Addr, "acl", "setuser", "default", "allchannels")
	a.release("a")
	deaf.is("b finds out", (<-waits).OK, true)
}

// TestWaiterThatGoesAway leaves the queue, and whoever stands behind it is served.
func TestWaiterThatGoesAway(t *testing.T) {
	s := brokers.Redis(t)
	a, b := start(t, at(s)), start(t, at(s))
	a.ask(lock.Read, "a", time.Hour, 0)
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan error, 1)
	go func() {
		_, err := b.Acquire(ctx, lock.Request{Resource: "r", ID: "gone", TTL: time.Hour, Wait: time.Hour})
		told <- err
	}()
	b.eventually("it waits", func() bool { return b.queue() == 1 && b.Waiting() == 1 })
	behind := a.waits(lock.Read, "behind")
	cancel()
	if err := <-told; !errors.Is(err, lock.ErrGone) {
		t.Error(err)
	}
	a.is("who stood behind reads", (<-behind).OK, true)
	a.is("the queue is empty", a.queue() == 0 && b.Waiting() == 0, true)
	if g, err := b.Acquire(ctx, lock.Request{Resource: "other", ID: "gone", TTL: time.Hour}); g.OK || !errors.Is(err, lock.ErrGone) {
		t.Error(g, err)
	}
}

// TestDaemonThatDies in the queue neither keeps the others waiting nor gets the
// lock for good.
func TestDaemonThatDies(t *testing.T) {
	s := brokers.Redis(t)
	quick := func(l *Locks) {
		l.times = times{poll: 20 * time.Millisecond, patience: 500 * time.Millisecond, lease: time.Minute}
	}
	a, dead := start(t, at(s), quick), start(t, at(s), quick)
	a.ask(lock.Write, "a", time.Hour, 0)
	// What a daemon leaves behind that dies while it waits.
	if _, _, err := dead.try(t.Context(), lock.Request{Resource: "r", ID: "dead", Mode: lock.Write}, dead.nonce(), time.Hour.Microseconds(), false, false); err != nil {
		t.Fatal(err)
	}
	dead.die()
	behind := a.waits(lock.Write, "b")
	a.release("a")
	a.is("b gets it in the end", (<-behind).OK, true)
}

func TestDrain(t *testing.T) {
	s := brokers.Redis(t)
	d := start(t, at(s))
	d.ask(lock.Write, "a", time.Hour, 0)
	told := make(chan error, 1)
	go func() {
		_, err := d.Acquire(t.Context(), lock.Request{Resource: "r", ID: "b", TTL: time.Hour, Wait: time.Hour})
		told <- err
	}()
	d.eventually("it waits", func() bool { return d.queue() == 1 })
	d.Drain()
	if err := <-told; !errors.Is(err, lock.ErrStopping) {
		t.Error(err)
	}
	d.is("nobody waits", d.queue() == 0, true)
}

// TestLease: a lock without a time to live lasts as long as its daemon, and the
// next process takes it over.
func TestLease(t *testing.T) {
	s := brokers.Redis(t)
	short := func(l *Locks) { l.times.lease = 600 * time.Millisecond }
	a, other := start(t, at(s), short), start(t, at(s), short)
	a.ask(lock.Write, "a", lock.DefaultTTL, 0)
	outlives := func(d daemon, id string) {
		t.Helper()
		begin := time.Now()
		d.eventually("the lease is over", func() bool {
			d.is(id+" holds it", other.exists(id), true)
			return time.Since(begin) > time.Second
		})
	}
	outlives(a, "a")
	var saved strings.Builder
	if err := a.Save(&saved); err != nil {
		t.Fatal(err)
	}
	a.die()
	next := start(t, at(s), short, func(l *Locks) {
		if err := l.Restore([]byte(saved.String())); err != nil {
			t.Error(err)
		}
	})
	outlives(next, "a")
	next.die()
	other.eventually("it ends with its daemon", func() bool { return !other.exists("a") })
	if err := other.Restore([]byte("garbage")); err == nil {
		t.Error("garbage is restored")
	}

	// Extend may make a lease of a lock, and the other way.
	other.ask(lock.Write, "b", time.Hour, 0)
	for _, ttl := range []time.Duration{lock.DefaultTTL, time.Hour} {
		if ok, err := other.Extend(t.Context(), "r", "b", ttl); !ok || err != nil {
			t.Error(ok, err)
		}
		outlives(other, "b")
	}
	if n := other.Leased(); n != 0 {
		t.Errorf("%d are renewed", n)
	}
}

// TestAnswerThatIsLost: the client sends a command again, which is the same as
// once.
func TestAnswerThatIsLost(t *testing.T) {
	s := brokers.Redis(t)
	d := start(t, at(s))
	q := lock.Request{Resource: "r", ID: "a", Mode: lock.Write}
	nonce := d.nonce()
	first, _, err := d.try(t.Context(), q, nonce, 1e9, false, true)
	again, _, err2 := d.try(t.Context(), q, nonce, 1e9, false, true)
	if first == 0 || again != first || err != nil || err2 != nil {
		t.Error(first, again, err, err2)
	}
	nonce = d.nonce()
	for range 2 {
		if err := d.call(t.Context(), "r", "release", nonce, "a").Err(); err != nil {
			t.Error(err)
		}
	}
	// One that is never heard of.
	nonce = d.nonce()
	_, _, _ = d.try(t.Context(), q, nonce, 1e9, false, true)
	if err := d.leave(t.Context(), "r", nonce, ErrStore); err != ErrStore {
		t.Error(err)
	}
	d.eventually("it is withdrawn", func() bool { return !d.exists("a") })
}

// TestRedisIsKilled: while it is away nothing is granted and all calls fail, those
// that wait too; then everything works on. Tokens grow, although it forgot them.
func TestRedisIsKilled(t *testing.T) {
	s := brokers.Redis(t)
	a, b := start(t, at(s)), start(t, at(s))
	before := a.ask(lock.Write, "a", time.Hour, 0)
	told := make(chan error, 1)
	go func() {
		_, err := b.Acquire(t.Context(), lock.Request{Resource: "r", ID: "b", TTL: time.Hour, Wait: time.Hour})
		told <- err
	}()
	b.eventually("b waits", func() bool { return b.queue() == 1 })
	s.Kill()
	if err := <-told; !errors.Is(err, ErrStore) || !strings.HasPrefix(err.Error(), "the lock store cannot be used: ") {
		t.Errorf("who waited was told %v", err)
	}
	if g, err := a.Acquire(t.Context(), lock.Request{Resource: "free", ID: "a", TTL: time.Hour}); g.OK || !errors.Is(err, ErrStore) {
		t.Error(g, err)
	}
	for name, call := range map[string]func() (bool, error){
		"Release":      func() (bool, error) { return a.Release(t.Context(), "r", "a") },
		"ForceRelease": func() (bool, error) { return a.ForceRelease(t.Context(), "r") },
		"Exists":       func() (bool, error) { return a.Exists(t.Context(), "r", "a") },
		"Extend":       func() (bool, error) { return a.Extend(t.Context(), "r", "a", time.Hour) },
		"List":         func() (bool, error) { l, err := a.List(t.Context()); return l != nil, err },
	} {
		if ok, err := call(); ok || !errors.Is(err, ErrStore) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	s.Start()
	var after lock.Grant
	a.eventually("locks work again", func() bool {
		g, err := a.Acquire(t.Context(), lock.Request{Resource: "r", ID: "a", TTL: time.Hour})
		after = g
		return err == nil && g.OK
	})
	a.is("the token grew", after.Token > before.Token, true)
	b.eventually("b's daemon listens again", func() bool {
		return strings.Contains(brokers.RedisCLI(t, s.Addr, "pubsub", "channels"), b.daemon)
	})
	waits := b.waits(lock.Write, "b")
	a.release("a")
	b.is("b gets it", (<-waits).OK, true)
}

func TestCluster(t *testing.T) {
	var c Config
	for _, n := range brokers.RedisCluster(t) {
		c.Addrs = append(c.Addrs, n.Addr)
	}
	a, b := start(t, c), start(t, c)
	for i := range 30 {
		q := lock.Request{Resource: fmt.Sprintf("{%d}}", i), ID: "a", TTL: time.Hour}
		if g, err := a.Acquire(t.Context(), q); !g.OK || err != nil {
			t.Fatal(g, err)
		}
	}
	if list, err := b.List(t.Context()); err != nil || len(list) != 30 {
		t.Errorf("%d resources, %v", len(list), err)
	}
	a.ask(lock.Write, "a", time.Hour, 0)
	waits := b.waits(lock.Write, "b")
	a.release("a")
	b.is("b gets it", (<-waits).OK, true)
}
