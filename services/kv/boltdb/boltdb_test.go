package boltdb_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/rr-systemd/rrd/services/kv"
	"github.com/rr-systemd/rrd/services/kv/boltdb"
	"github.com/rr-systemd/rrd/services/kv/kvtest"
)

func open(t testing.TB, file string, change ...func(*boltdb.Config)) *boltdb.Storage {
	t.Helper()
	c := boltdb.Config{File: file, Permissions: 0o600, Interval: 1}
	for _, f := range change {
		f(&c)
	}
	c.Defaults()
	s, err := boltdb.New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newFile(t testing.TB) string { return filepath.Join(t.TempDir(), "kv.db") }

func set(t testing.TB, s *boltdb.Storage, items ...kv.Item) {
	t.Helper()
	if err := s.Set(t.Context(), items); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s *boltdb.Storage, key string) string {
	t.Helper()
	got, err := s.MGet(t.Context(), []string{key})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 {
		return "none"
	}
	return string(got[0].Value)
}

// rows are the keys in the file; the storage must be closed.
func rows(t testing.TB, file, bucket string) map[string]string {
	t.Helper()
	db, err := bolt.Open(file, 0o600, &bolt.Options{ReadOnly: true, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := map[string]string{}
	if err := db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error { out[string(k)] = string(v); return nil })
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStorage(t *testing.T) {
	kvtest.Run(t, open(t, newFile(t)), kvtest.Kind{KeepsText: true, Until: kvtest.Poll})
}

// Expiries are in the file: RoadRunner's keys stay for ever after a restart.
func TestExpirySurvivesReopening(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	x := kvtest.Exact(700 * time.Millisecond)
	hour := kvtest.In(time.Hour)
	set(t, s, kv.Item{Key: "short", Value: []byte("1"), Expiry: x}, kv.Item{Key: "long", Value: []byte("2"), Expiry: hour}, kv.Item{Key: "ever", Value: []byte("3")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, file)
	if got, err := s.TTL(t.Context(), []string{"long", "ever"}); err != nil || len(got) != 1 || got[0].Expiry.Text != hour.Text || !got[0].Expiry.At.Equal(hour.At.Truncate(time.Nanosecond)) {
		t.Fatalf("%+v, %v", got, err)
	}
	kvtest.Poll(t, "short ends", func() bool { return get(t, s, "short") == "none" })
	if time.Now().Before(x.At) {
		t.Error("gone too early")
	}
	if get(t, s, "long")+get(t, s, "ever") != "23" {
		t.Error("the others are gone")
	}
}

// The sweep takes expired keys out of the file, also those from before the start,
// and never one that was written anew.
func TestSweep(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	var old []kv.Item
	for i := range 25_000 {
		old = append(old, kv.Item{Key: fmt.Sprintf("old-%05d", i), Expiry: kvtest.Exact(time.Millisecond)})
	}
	set(t, s, old...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, file)
	set(t, s, kv.Item{Key: "old-00001", Value: []byte("anew")}, kv.Item{Key: "later", Expiry: kvtest.Exact(1200 * time.Millisecond)}, kv.Item{Key: "ever"})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	sum := func() int { return s.Stored() }
	kvtest.Poll(t, "only two keys are left in the file", func() bool { return sum() == 2 })
	cancel()
	running.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := rows(t, file, "default"); len(got) != 2 || got["old-00001"] == "" || got["ever"] == "" {
		t.Errorf("%q", got)
	}
}

// The file is RoadRunner's, in both directions (the bytes are recorded).
func TestRoadRunnersFile(t *testing.T) {
	file := newFile(t)
	db, err := bolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("default"))
		if err == nil {
			err = b.Put([]byte("k1"), []byte("\x05\x0a\x00\x02v1"))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, file)
	if got := get(t, s, "k1"); got != "v1" {
		t.Errorf("read %q", got)
	}
	x := kvtest.In(time.Hour)
	if err := s.MExpire(t.Context(), []kv.Item{{Key: "k1", Expiry: x}}); err != nil {
		t.Fatal(err)
	}
	set(t, s, kv.Item{Key: "k2", Value: []byte("s:3:\"abc\";")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	got := rows(t, file, "default")
	if got["k2"] != "\x0d\x0a\x00\x0as:3:\"abc\";" || !strings.HasPrefix(got["k1"], "\x05\x0a\x00\x02v1\x01") || !strings.HasSuffix(got["k1"], x.Text) {
		t.Errorf("%q", got)
	}
}

func TestSetIsAllOrNothing(t *testing.T) {
	s := open(t, newFile(t))
	for _, bad := range []string{"", strings.Repeat("k", bolt.MaxKeySize+1)} {
		if err := s.Set(t.Context(), []kv.Item{{Key: "a"}, {Key: bad}}); err == nil || get(t, s, "a") != "none" {
			t.Errorf("key of %d bytes: %v", len(bad), err)
		}
	}
	if err := s.Set(t.Context(), []kv.Item{{Key: ""}}); err == nil || err.Error() != "key required" {
		t.Error(err)
	}
	set(t, s, kv.Item{Key: "  "})
	if n := s.Stored(); n != 0 {
		t.Errorf("%d keys", n)
	}
}

// A caller is told when its change is not on the disk.
func TestCommitErrorIsReported(t *testing.T) {
	s := open(t, newFile(t))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(t.Context(), []kv.Item{{Key: "a"}}); err == nil {
		t.Error("no error")
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// Calls that come together share transactions, and each gets what it wrote.
func TestConcurrent(t *testing.T) {
	s := open(t, newFile(t))
	var calls sync.WaitGroup
	for w := range 50 {
		calls.Go(func() {
			for i := range 10 {
				key := fmt.Sprintf("%d-%d", w, i)
				if err := s.Set(t.Context(), []kv.Item{{Key: key, Value: []byte(key)}}); err != nil {
					t.Error(err)
				}
				if got := get(t, s, key); got != key {
					t.Errorf("read %q, wrote %q", got, key)
				}
				if i%2 == 0 {
					if err := s.Delete(t.Context(), []string{key}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	calls.Wait()
	if n := s.Stored(); n != 250 {
		t.Errorf("%d keys, want 250", n)
	}
}

func TestBucket(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	set(t, s, kv.Item{Key: "a", Value: []byte("1"), Expiry: kvtest.In(time.Hour)})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// What RoadRunner kept in "default" in spite of the configuration moves.
	s = open(t, file, func(c *boltdb.Config) { c.Bucket = "rr" })
	if got := get(t, s, "a"); got != "1" {
		t.Errorf("got %q", got)
	}
	set(t, s, kv.Item{Key: "b"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := rows(t, file, "rr"); len(got) != 2 {
		t.Errorf("bucket rr: %q", got)
	}
	if got := rows(t, file, "default"); len(got) != 0 {
		t.Errorf("bucket default: %q", got)
	}
}

func TestPermissions(t *testing.T) {
	file := newFile(t)
	if err := open(t, file, func(c *boltdb.Config) { c.Permissions = 0o640 }).Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, file, func(c *boltdb.Config) { c.Permissions = 0o777 }).Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v: those of a file that is there stay", info.Mode(), err)
	}
	for mode, ok := range map[int64]bool{0o755: true, 0o600: true, 755: false, 600: false, -1: false} {
		c := boltdb.Config{Permissions: mode}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%d: %v", mode, err)
		}
	}
	if err := (&boltdb.Config{Interval: -1}).Validate(); err == nil {
		t.Error("a negative interval")
	}
}

func TestOpenErrors(t *testing.T) {
	file := newFile(t)
	if err := os.WriteFile(file, []byte(strings.Repeat("no bbolt file ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	c := boltdb.Config{File: file}
	c.Defaults()
	if _, err := boltdb.New(c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), file) {
		t.Error(err)
	}
}

// A Set through the storage against one with bbolt alone: mostly the disk.
func BenchmarkSet(b *testing.B) {
	value := make([]byte, 100)
	b.Run("storage", func(b *testing.B) {
		s := open(b, newFile(b))
		for i := 0; b.Loop(); i++ {
			set(b, s, kv.Item{Key: fmt.Sprint(i % 1000), Value: value})
		}
	})
	b.Run("bbolt", func(b *testing.B) {
		db := bare(b)
		for i := 0; b.Loop(); i++ {
			put(b, db, fmt.Sprint(i%1000), value)
		}
	})
	b.Run("storage/100-callers", func(b *testing.B) {
		s := open(b, newFile(b))
		b.SetParallelism(50)
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				set(b, s, kv.Item{Key: fmt.Sprint(i % 1000), Value: value})
			}
		})
	})
	b.Run("bbolt/100-callers", func(b *testing.B) {
		db := bare(b)
		b.SetParallelism(50)
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				put(b, db, fmt.Sprint(i%1000), value)
			}
		})
	})
}

func BenchmarkGet(b *testing.B) {
	b.Run("storage", func(b *testing.B) {
		s := open(b, newFile(b))
		set(b, s, kv.Item{Key: "a", Value: make([]byte, 100)})
		keys := []string{"a"}
		for b.Loop() {
			if got, err := s.MGet(b.Context(), keys); err != nil || len(got) != 1 {
				b.Fatal(got, err)
			}
		}
	})
	b.Run("bbolt", func(b *testing.B) {
		db := bare(b)
		put(b, db, "a", make([]byte, 100))
		for b.Loop() {
			var got []byte
			if err := db.View(func(tx *bolt.Tx) error {
				got = append(got, tx.Bucket([]byte("b")).Get([]byte("a"))...)
				return nil
			}); err != nil || len(got) != 100 {
				b.Fatal(err)
			}
		}
	})
}

func bare(b *testing.B) *bolt.DB {
	db, err := bolt.Open(newFile(b), 0o600, nil)
	if err == nil {
		err = db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("b")); return err })
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return db
}

func put(b *testing.B, db *bolt.DB, key string, value []byte) {
	if err := db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("b")).Put([]byte(key), value) }); err != nil {
		b.Fatal(err)
	}
}
