package memcached_test

import (
	"testing"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/rr-systemd/rrd/services/kv"
	"github.com/rr-systemd/rrd/tests/brokers"
)

// A key through the storage against one through its client library alone.
func BenchmarkGet(b *testing.B) {
	addr := brokers.Memcached(b).Addr
	s, c := open(b, addr), memcache.New(addr)
	defer c.Close()
	set(b, s, kv.Item{Key: "a", Value: make([]byte, 100)})
	b.Run("storage", func(b *testing.B) {
		keys := []string{"a"}
		b.ReportAllocs()
		for b.Loop() {
			if got, err := s.MGet(b.Context(), keys); err != nil || len(got) != 1 {
				b.Fatal(got, err)
			}
		}
	})
	b.Run("gomemcache", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Get("a"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSet(b *testing.B) {
	addr := brokers.Memcached(b).Addr
	s, c := open(b, addr), memcache.New(addr)
	defer c.Close()
	value := make([]byte, 100)
	b.Run("storage", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			set(b, s, kv.Item{Key: "a", Value: value})
		}
	})
	b.Run("gomemcache", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Set(&memcache.Item{Key: "a", Value: value}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
