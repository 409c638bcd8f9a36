package memory_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rr-systemd/rrd/services/kv"
	"github.com/rr-systemd/rrd/services/kv/kvtest"
	"github.com/rr-systemd/rrd/services/kv/memory"
)

func TestStorage(t *testing.T) {
	kvtest.Run(t, memory.New(memory.Config{}), kvtest.Kind{ListsAll: true, KeepsText: true, Until: kvtest.Poll})
}

func TestStorageWithBound(t *testing.T) {
	kvtest.Run(t, memory.New(memory.Config{MaxMemory: 64 << 20}), kvtest.Kind{ListsAll: true, KeepsText: true, Until: kvtest.Poll})
}

func key(i int) string { return fmt.Sprintf("key-%06d", i) }

func value(n int) []byte { return bytes.Repeat([]byte("v"), n) }

// set writes one key.
func set(t testing.TB, s *memory.Storage, key string, value []byte, x kv.Expiry) {
	t.Helper()
	if err := s.Set(t.Context(), []kv.Item{{Key: key, Value: value, Expiry: x}}); err != nil {
		t.Fatal(err)
	}
}

func has(t testing.TB, s *memory.Storage, keys ...string) int {
	t.Helper()
	found, err := s.Has(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// A key is there until its very nanosecond, and its memory is free soon after.
func TestExpiryIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = s.Run(ctx) })
		defer running.Wait()
		defer cancel()
		tick := func(d time.Duration) { <-time.After(d) }

		tick(10 * time.Second) // Run sleeps by now
		set(t, s, "short", value(10), kvtest.Exact(1500*time.Microsecond))
		set(t, s, "long", value(10), kvtest.Exact(5*time.Second))
		set(t, s, "moved", value(10), kvtest.Exact(time.Hour))
		set(t, s, "stays", value(10), kv.Expiry{})
		tick(1500*time.Microsecond - 1)
		if has(t, s, "short") != 1 {
			t.Error("gone too early")
		}
		tick(1)
		if has(t, s, "short") != 0 {
			t.Error("there too long")
		}
		if err := s.MExpire(ctx, []kv.Item{{Key: "moved", Expiry: kvtest.Exact(10 * time.Second)}}); err != nil {
			t.Fatal(err)
		}
		tick(12 * time.Second)
		synctest.Wait()
		if st := s.Stats(); st.Items != 1 || st.Expired != 3 {
			t.Errorf("%+v, want one key and three that expired", st)
		}
	})
}

// Timers that come and go all the time do not put the sweep off.
func TestSweepIsNotPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = s.Run(ctx) })
		defer running.Wait()
		defer cancel()
		set(t, s, "ends", nil, kvtest.Exact(2*time.Second))
		for range 50 {
			set(t, s, "again", nil, kvtest.Exact(time.Hour))
			<-time.After(100 * time.Millisecond)
			if err := s.Delete(ctx, []string{"again"}); err != nil {
				t.Fatal(err)
			}
		}
		if st := s.Stats(); st.Items != 0 {
			t.Errorf("%+v, want no key", st)
		}
	})
}

func TestClearIsFinal(t *testing.T) {
	s := memory.New(memory.Config{MaxMemory: 1 << 20})
	for i := range 100 {
		set(t, s, key(i), value(10), kvtest.Exact(time.Hour))
	}
	if err := s.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Items != 0 || st.Bytes != 0 {
		t.Errorf("%+v after Clear", st)
	}
	set(t, s, key(1), value(10), kv.Expiry{})
	if has(t, s, key(1)) != 1 {
		t.Error("a key written after Clear is gone")
	}
}

func TestSetIsAllOrNothing(t *testing.T) {
	s := memory.New(memory.Config{MaxMemory: 64 << 10})
	err := s.Set(t.Context(), []kv.Item{{Key: "a"}, {Key: "large", Value: value(64 << 10)}})
	if !errors.Is(err, memory.ErrTooLarge) || has(t, s, "a", "large") != 0 {
		t.Errorf("%v, %d keys", err, has(t, s, "a", "large"))
	}
}

func TestBlankKeysAreNotKept(t *testing.T) {
	s := memory.New(memory.Config{})
	set(t, s, "", value(1), kv.Expiry{})
	set(t, s, " \t", value(1), kv.Expiry{})
	if st := s.Stats(); st.Items != 0 {
		t.Errorf("%+v", st)
	}
}

// The bound holds, and what was used last stays.
func TestEviction(t *testing.T) {
	const bound = 1 << 20
	s := memory.New(memory.Config{MaxMemory: bound})
	for i := range 200 {
		set(t, s, fmt.Sprint("kept-", i), value(100), kv.Expiry{})
	}
	kept := make([]string, 200)
	for i := range kept {
		kept[i] = fmt.Sprint("kept-", i)
	}
	for i := range 20_000 {
		if i%500 == 0 {
			if n := has(t, s, kept...); n != 200 {
				t.Fatalf("%d of 200 keys that are in use are left after %d others", n, i)
			}
		}
		set(t, s, key(i), value(200), kv.Expiry{})
		if st := s.Stats(); i%1000 == 0 && st.Bytes > bound {
			t.Fatalf("%d bytes, the bound is %d", st.Bytes, bound)
		}
	}
	// The others are the latest, in an unbroken row.
	st := s.Stats()
	recent := st.Items - 200
	if st.Evicted == 0 || recent < 1000 {
		t.Fatalf("%+v", st)
	}
	for i := 20_000 - recent; i < 20_000; i++ {
		if has(t, s, key(i)) != 1 {
			t.Fatalf("key %d of the latest %d is gone", i, recent)
		}
	}
	if has(t, s, key(20_000-recent-1)) != 0 {
		t.Error("a key is there twice, or the order is wrong")
	}
}

// What has expired goes before what is alive.
func TestEvictionPrefersExpired(t *testing.T) {
	s := memory.New(memory.Config{MaxMemory: 64 << 10})
	var alive []string
	for i := range 100 {
		set(t, s, key(i), nil, kv.Expiry{})
		alive = append(alive, key(i))
	}
	for i := range 1000 {
		set(t, s, fmt.Sprint("brief-", i), nil, kvtest.Exact(time.Microsecond))
	}
	if n := has(t, s, alive...); n != len(alive) {
		t.Errorf("%d of %d keys are left", n, len(alive))
	}
}

// Random calls at once: nothing is lost, no count goes wrong (run with -race).
func TestConcurrent(t *testing.T) {
	s := memory.New(memory.Config{MaxMemory: 256 << 10})
	ctx, cancel := context.WithCancel(t.Context())
	var running, calls sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	for w := range 8 {
		calls.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			own := fmt.Sprint("own-", w)
			for i := range 3000 {
				k := key(r.IntN(500))
				var err error
				switch r.IntN(7) {
				case 0:
					err = s.Set(ctx, []kv.Item{{Key: k, Value: value(r.IntN(500)), Expiry: kvtest.Exact(time.Duration(r.IntN(3000)) * time.Microsecond)}})
				case 1:
					err = s.Set(ctx, []kv.Item{{Key: k, Value: value(r.IntN(500))}})
				case 2:
					_, err = s.MGet(ctx, []string{k, key(r.IntN(500))})
				case 3:
					_, err = s.TTL(ctx, []string{k})
				case 4:
					err = s.Delete(ctx, []string{k})
				case 5:
					err = s.MExpire(ctx, []kv.Item{{Key: k, Expiry: kvtest.Exact(time.Millisecond)}})
				case 6:
					want := fmt.Sprint(i)
					if err = s.Set(ctx, []kv.Item{{Key: own, Value: []byte(want)}}); err == nil {
						var got []kv.Item
						if got, err = s.MGet(ctx, []string{own}); err == nil && len(got) == 1 && string(got[0].Value) != want {
							err = fmt.Errorf("read %q, wrote %q", got[0].Value, want)
						}
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	calls.Wait()
	cancel()
	running.Wait()
	if err := s.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Items != 0 || st.Bytes != 0 {
		t.Errorf("%+v after Clear", st)
	}
}

// 10,000 new expiries of one key leave nothing behind (RoadRunner has a timer and
// a goroutine for each).
func TestManyExpiriesOfOneKey(t *testing.T) {
	s := memory.New(memory.Config{})
	for range 10_000 {
		set(t, s, "a", value(10), kvtest.In(time.Hour))
	}
	if st := s.Stats(); st.Items != 1 || st.Bytes > 400 {
		t.Errorf("%+v", st)
	}
}

func TestSaveAndLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.Config{})
		const n = 100_000
		ends := map[string]time.Time{}
		for i := range n {
			x := kvtest.Exact(time.Duration(i+1) * time.Millisecond)
			if i%10 == 0 {
				x = kv.Expiry{}
			}
			set(t, s, key(i), []byte(key(i)), x)
			ends[key(i)] = x.At
		}
		var saved bytes.Buffer
		if err := s.Save(&saved); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Second) // the restart takes a while
		next := memory.New(memory.Config{})
		r := bufio.NewReader(bytes.NewReader(append(saved.Bytes(), "more"...)))
		if err := next.Load(r); err != nil {
			t.Fatal(err)
		}
		if rest, _ := r.Peek(4); string(rest) != "more" {
			t.Errorf("Load read too much or too little, %q is left", rest)
		}
		now := time.Now()
		var alive []string
		for k, end := range ends {
			if end.IsZero() || end.After(now) {
				alive = append(alive, k)
			}
		}
		if st := next.Stats(); st.Items != len(alive) {
			t.Fatalf("%d keys, want %d", st.Items, len(alive))
		}
		for batch := range slices.Chunk(alive, 1000) {
			got, err := next.MGet(t.Context(), batch)
			if err != nil || len(got) != len(batch) {
				t.Fatalf("%d of %d keys, %v", len(got), len(batch), err)
			}
			for _, item := range got {
				if string(item.Value) != item.Key {
					t.Fatalf("%s has %q", item.Key, item.Value)
				}
			}
		}
		// Each ends at its own nanosecond.
		for i := 50_001; i < 50_010; i++ {
			<-time.After(time.Until(ends[key(i)]) - 1)
			if has(t, next, key(i)) != 1 {
				t.Fatalf("%s is gone too early", key(i))
			}
			<-time.After(1)
			if has(t, next, key(i)) != 0 {
				t.Fatalf("%s is there too long", key(i))
			}
		}
	})
}

// A bound that was lowered holds after the restart, and the latest keys stay.
func TestLoadIntoLess(t *testing.T) {
	s := memory.New(memory.Config{MaxMemory: 8 << 20})
	set(t, s, "huge", value(200<<10), kv.Expiry{})
	for i := range 5000 {
		set(t, s, key(i), value(100), kv.Expiry{})
	}
	has(t, s, key(0)) // used last
	var saved bytes.Buffer
	if err := s.Save(&saved); err != nil {
		t.Fatal(err)
	}
	next := memory.New(memory.Config{MaxMemory: 128 << 10})
	if err := next.Load(bufio.NewReader(&saved)); err != nil {
		t.Fatal(err)
	}
	if st := next.Stats(); st.Bytes > 128<<10 || st.Items < 100 {
		t.Errorf("%+v", st)
	}
	if has(t, next, key(0), key(4999)) != 2 || has(t, next, "huge", key(1)) != 0 {
		t.Error("the wrong keys are left")
	}
}

// FuzzLoad: whatever was saved, Load neither panics nor takes memory for what is
// not there.
func FuzzLoad(f *testing.F) {
	s := memory.New(memory.Config{})
	_ = s.Set(context.Background(), []kv.Item{{Key: "a", Value: []byte("1")}, {Key: "b", Expiry: kvtest.In(time.Hour)}})
	var saved bytes.Buffer
	if err := s.Save(&saved); err != nil {
		f.Fatal(err)
	}
	f.Add(saved.Bytes())
	f.Add([]byte{})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f, 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := memory.New(memory.Config{MaxMemory: 64 << 10})
		_ = s.Load(bufio.NewReader(bytes.NewReader(data)))
		if st := s.Stats(); st.Bytes > 64<<10 || st.Bytes < 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestConfig(t *testing.T) {
	for max, ok := range map[int64]bool{0: true, 1 << 30: true, 64 << 10: true, 1: false, -1: false} {
		if err := (&memory.Config{MaxMemory: max}).Validate(); (err == nil) != ok {
			t.Errorf("max_memory %d: %v", max, err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	for _, bound := range []int64{0, 1 << 30} {
		b.Run(fmt.Sprintf("max_memory=%d", bound), func(b *testing.B) {
			s := memory.New(memory.Config{MaxMemory: bound})
			for i := range 10_000 {
				set(b, s, key(i), value(100), kv.Expiry{})
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				keys := []string{""}
				for i := 0; pb.Next(); i++ {
					keys[0] = key(i % 10_000)
					if _, err := s.MGet(b.Context(), keys); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func BenchmarkSetWithEviction(b *testing.B) {
	s := memory.New(memory.Config{MaxMemory: 4 << 20})
	v := value(100)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		set(b, s, key(i), v, kv.Expiry{})
	}
}
