package redis_test

import (
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/rr-systemd/rrd/services/kv"
	"github.com/rr-systemd/rrd/services/kv/redis"
	"github.com/rr-systemd/rrd/tests/brokers"
)

// A key through the storage against one through its client library alone.
func BenchmarkGet(b *testing.B) {
	addr := brokers.Redis(b).Addr
	s, c := open(b, redis.Config{Addrs: []string{addr}}), goredis.NewClient(&goredis.Options{Addr: addr})
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
	b.Run("go-redis", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Get(b.Context(), "a").Bytes(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSet(b *testing.B) {
	addr := brokers.Redis(b).Addr
	s, c := open(b, redis.Config{Addrs: []string{addr}}), goredis.NewClient(&goredis.Options{Addr: addr})
	defer c.Close()
	value := make([]byte, 100)
	b.Run("storage", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			set(b, s, kv.Item{Key: "a", Value: value})
		}
	})
	b.Run("go-redis", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Set(b.Context(), "a", value, 0).Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
