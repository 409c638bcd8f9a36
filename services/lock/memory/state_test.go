package memory

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rr-systemd/rrd/services/lock"
)

// fakeClock makes the clock of the machine that of the bubble.
func fakeClock(t *testing.T) {
	start := time.Now()
	monotonic = func() (int64, error) { return int64(time.Since(start)) + 12345, nil }
}

func TestRestart(t *testing.T) {
	real := monotonic
	defer func() { monotonic = real }()
	bubble(t, func(l table) {
		fakeClock(l.T)
		hold := func(resource, id string, mode lock.Mode, ttl time.Duration) uint64 {
			g, err := l.Acquire(l.Context(), lock.Request{Resource: resource, ID: id, Mode: mode, TTL: ttl})
			if !g.OK || err != nil {
				l.Fatal(g, err)
			}
			return g.Token
		}
		hold("short", "a", lock.Write, 3*time.Second)
		token := hold("written", "a", lock.Write, 10*time.Second)
		hold("read", "a", lock.Read, 10*time.Second+time.Millisecond)
		hold("read", "b", lock.Read, 20*time.Second)
		hold("\xff\x00", "\xfe", lock.Write, lock.MaxTTL)
		time.Sleep(time.Second)
		var saved bytes.Buffer
		if err := l.Save(&saved); err != nil {
			l.Fatal(err)
		}
		time.Sleep(4 * time.Second) // nobody runs

		next := table{l.T, New()}
		if err := next.Restore(saved.Bytes()); err != nil {
			l.Fatal(err)
		}
		exists := func(resource, id string, want bool) {
			l.Helper()
			ok, _ := next.Exists(l.Context(), resource, id)
			l.is(fmt.Sprintf("%q of %q", id, resource), ok, want)
		}
		exists("short", "*", false)
		exists("written", "a", true)
		exists("\xff\x00", "\xfe", true)
		g, _ := next.Acquire(l.Context(), lock.Request{Resource: "new", ID: "a", TTL: time.Hour})
		if g.Token <= token {
			l.Errorf("token %d after %d", g.Token, token)
		}
		g, _ = next.Acquire(l.Context(), lock.Request{Resource: "read", ID: "c", Mode: lock.Write, TTL: time.Hour})
		l.is("a writer beside the readers", g.OK, false)
		// To the nanosecond.
		time.Sleep(5*time.Second - 1)
		exists("written", "a", true)
		time.Sleep(1)
		exists("written", "*", false)
		exists("read", "a", true)
		time.Sleep(time.Millisecond)
		exists("read", "a", false)
		exists("read", "b", true)
		if err := next.Close(); err != nil {
			l.Error(err)
		}
		synctest.Wait()
	})
}

func TestStateThatCannotBeRead(t *testing.T) {
	encode := func(st state) []byte {
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(&st); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	writer := savedHold{Resource: "r", ID: "a", Expires: 1 << 62}
	reader := savedHold{Resource: "r", ID: "b", Mode: lock.Read, Expires: 1 << 62}
	for name, data := range map[string][]byte{
		"empty":                nil,
		"garbage":              []byte("garbage"),
		"another version":      encode(state{Version: 2}),
		"two writers":          encode(state{Version: 1, Holds: []savedHold{writer, writer}}),
		"a writer and readers": encode(state{Version: 1, Holds: []savedHold{writer, reader}}),
		"readers and a writer": encode(state{Version: 1, Holds: []savedHold{reader, writer}}),
		"an unknown mode":      encode(state{Version: 1, Holds: []savedHold{{Resource: "r", Mode: 7}}}),
	} {
		l := New()
		if err := l.Restore(data); err == nil {
			t.Errorf("%s: no error", name)
		}
		if s := l.Stats(); s != (Stats{}) {
			t.Errorf("%s: %+v is held", name, s)
		}
		_ = l.Close()
	}
}

func FuzzRestore(f *testing.F) {
	l := New()
	for i := range 3 {
		_, _ = l.Acquire(f.Context(), lock.Request{Resource: "r", ID: fmt.Sprint(i), Mode: lock.Read, TTL: time.Hour})
	}
	var saved bytes.Buffer
	if err := l.Save(&saved); err != nil {
		f.Fatal(err)
	}
	_ = l.Close()
	f.Add(saved.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		l := New()
		_ = l.Restore(data)
		if err := l.Save(new(bytes.Buffer)); err != nil {
			t.Error(err)
		}
		_ = l.Close()
	})
}
