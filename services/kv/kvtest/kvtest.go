// Package kvtest is what every driver of kv must do, as one test.
package kvtest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/services/kv"
)

// Kind is how drivers may differ.
type Kind struct {
	// ListsAll: TTL also answers for keys that do not expire.
	ListsAll bool
	// KeepsText: TTL answers with the text that the client gave.
	KeepsText bool
	// NoTTL is the error of TTL, if there is no other answer.
	NoTTL error
	// Missing is the error of MExpire for a key that does not exist; nil: none.
	Missing error
	// Until polls until ok, for stores that notice the time by themselves.
	Until func(t testing.TB, what string, ok func() bool)
}

// In returns an expiry so far from now, in the form of the PHP client.
func In(d time.Duration) kv.Expiry { return kv.ExpiryAt(time.Now().Add(d)) }

// Exact returns an expiry so far from now, to the nanosecond.
func Exact(d time.Duration) kv.Expiry {
	x, err := kv.ParseExpiry(time.Now().Add(d).UTC().Format(time.RFC3339Nano))
	if err != nil {
		panic(err)
	}
	return x
}

// Run tests a storage, which is emptied.
func Run(t *testing.T, s kv.Storage, k Kind) {
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	has := func(want ...string) {
		t.Helper()
		got, err := s.Has(ctx, []string{"a", "b", "c", "nope"})
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("has %q, %v, want %q", got, err, want)
		}
	}
	get := func(key string) []byte {
		t.Helper()
		got, err := s.MGet(ctx, []string{key})
		if err != nil || len(got) > 1 {
			t.Fatalf("get %q: %v, %v", key, got, err)
		}
		if len(got) == 0 {
			return nil
		}
		return append([]byte{}, got[0].Value...)
	}

	must(s.Clear(ctx))
	has()
	must(s.Set(ctx, []kv.Item{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte("2"), Expiry: In(time.Hour)}, {Key: "c"}}))
	has("a", "b", "c")
	if l, ok := s.(kv.Lister); ok {
		must(s.Set(ctx, []kv.Item{{Key: "list:1"}, {Key: "list:2", Expiry: In(time.Hour)}, {Key: "list*"}}))
		for _, c := range []struct {
			prefix string
			limit  int
			want   int
		}{{"", 100, 6}, {"list:", 100, 2}, {"list*", 100, 1}, {"list", 2, 2}, {"none", 5, 0}} {
			keys, err := l.Keys(ctx, c.prefix, c.limit)
			if err != nil || len(keys) != c.want || slices.ContainsFunc(keys, func(k string) bool { return !strings.HasPrefix(k, c.prefix) }) {
				t.Fatalf("keys with %q, at most %d: %q, %v", c.prefix, c.limit, keys, err)
			}
		}
		must(s.Delete(ctx, []string{"list:1", "list:2", "list*"}))
	}
	got, err := s.MGet(ctx, []string{"c", "nope", "b", "a"})
	must(err)
	slices.SortFunc(got, func(a, b kv.Item) int { return cmp.Compare(a.Key, b.Key) })
	if len(got) != 3 || string(got[0].Value) != "1" || string(got[1].Value) != "2" || len(got[2].Value) != 0 {
		t.Fatalf("got %v", got)
	}

	// Values come back byte for byte; the last of a key wins.
	for _, value := range []string{"", "b:0;", "\x00\xff\r\n\x00", "END\r\n", string(bytes.Repeat([]byte("x"), 100_000))} {
		must(s.Set(ctx, []kv.Item{{Key: "a", Value: []byte("lost")}, {Key: "a", Value: []byte(value)}}))
		if got := get("a"); string(got) != value {
			t.Fatalf("got %.20q, want %.20q", got, value)
		}
	}

	// TTL and MExpire.
	if k.NoTTL != nil {
		if _, err := s.TTL(ctx, []string{"a"}); !errors.Is(err, k.NoTTL) {
			t.Fatalf("TTL: %v", err)
		}
	} else {
		ttl(t, s, k)
	}
	must(s.MExpire(ctx, []kv.Item{{Key: "b", Expiry: In(-time.Hour)}}))
	has("a", "c")
	if err := s.MExpire(ctx, []kv.Item{{Key: "nope", Expiry: In(time.Hour)}}); !errors.Is(err, k.Missing) {
		t.Fatalf("MExpire of a missing key: %v", err)
	}
	has("a", "c")

	// What is past is gone at once.
	must(s.Set(ctx, []kv.Item{{Key: "a", Value: []byte("old"), Expiry: In(-time.Hour)}, {Key: "b", Value: []byte("old"), Expiry: Exact(-time.Nanosecond)}}))
	k.Until(t, "past items are gone", func() bool { return get("a") == nil && get("b") == nil })

	// Keys end at their time.
	must(s.Set(ctx, []kv.Item{{Key: "a", Value: []byte("1"), Expiry: Exact(300 * time.Millisecond)}, {Key: "b", Value: []byte("2")}}))
	k.Until(t, "a ends", func() bool { return get("a") == nil })
	has("b", "c")

	// Set without an expiry takes the old one away; so does Delete.
	must(s.Set(ctx, []kv.Item{{Key: "a", Value: []byte("1"), Expiry: Exact(400 * time.Millisecond)}, {Key: "b", Value: []byte("1"), Expiry: Exact(400 * time.Millisecond)}, {Key: "c", Expiry: Exact(400 * time.Millisecond)}}))
	must(s.Delete(ctx, []string{"b", "nope"}))
	must(s.Set(ctx, []kv.Item{{Key: "a", Value: []byte("stays")}, {Key: "b", Value: []byte("stays")}}))
	k.Until(t, "c ends", func() bool { return get("c") == nil })
	if string(get("a")) != "stays" || string(get("b")) != "stays" {
		t.Fatalf("a %q, b %q", get("a"), get("b"))
	}

	must(s.Delete(ctx, []string{"a", "nope"}))
	has("b")
	var many []kv.Item
	for i := range 2500 {
		many = append(many, kv.Item{Key: fmt.Sprint("key-", i), Value: []byte("v")})
	}
	must(s.Set(ctx, many))
	must(s.Clear(ctx))
	has()
	must(s.Set(ctx, []kv.Item{{Key: "a", Value: []byte("after")}}))
	if left, err := s.Has(ctx, []string{"a", "key-0", "key-1234", "key-2499"}); err != nil || !slices.Equal(left, []string{"a"}) {
		t.Fatalf("after Clear: %q, %v", left, err)
	}
}

func ttl(t *testing.T, s kv.Storage, k Kind) {
	t.Helper()
	ctx := t.Context()
	texts := func() map[string]string {
		t.Helper()
		got, err := s.TTL(ctx, []string{"a", "b", "nope"})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, item := range got {
			out[item.Key] = item.Expiry.Text
		}
		return out
	}
	hour := In(time.Hour)
	if err := s.Set(ctx, []kv.Item{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte("2"), Expiry: hour}}); err != nil {
		t.Fatal(err)
	}
	got := texts()
	if text, listed := got["a"]; listed != k.ListsAll || text != "" {
		t.Fatalf("TTL without expiry: %v", got)
	}
	if got["b"] != hour.Text {
		t.Fatalf("TTL %v, want %s", got, hour.Text)
	}
	day := In(24 * time.Hour)
	if err := s.MExpire(ctx, []kv.Item{{Key: "a", Expiry: day}, {Key: "b", Expiry: day}}); err != nil {
		t.Fatal(err)
	}
	if got = texts(); got["a"] != day.Text || got["b"] != day.Text {
		t.Fatalf("TTL after MExpire %v, want %s", got, day.Text)
	}
	if items, err := s.MGet(ctx, []string{"b"}); err != nil || len(items) != 1 || string(items[0].Value) != "2" {
		t.Fatalf("MExpire touched the value: %v, %v", items, err)
	}
	if k.KeepsText {
		for _, text := range []string{"2099-01-01T00:00:00Z", "2099-01-01T00:00:00.5+02:00"} {
			x, _ := kv.ParseExpiry(text)
			if err := s.Set(ctx, []kv.Item{{Key: "a", Expiry: x}}); err != nil || texts()["a"] != text {
				t.Fatalf("TTL %v, %v, want %s", texts(), err, text)
			}
		}
	}
	if err := s.Set(ctx, []kv.Item{{Key: "a", Value: []byte("1")}}); err != nil || texts()["a"] != "" {
		t.Fatalf("TTL after a Set without one: %v, %v", texts(), err)
	}
}

// Poll is Until with real time.
func Poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}
