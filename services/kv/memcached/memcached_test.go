package memcached_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/rr-systemd/rrd/services/kv"
	"github.com/rr-systemd/rrd/services/kv/kvtest"
	"github.com/rr-systemd/rrd/services/kv/memcached"
	"github.com/rr-systemd/rrd/tests/brokers"
)

func open(t testing.TB, addrs ...string) *memcached.Storage {
	t.Helper()
	c := memcached.Config{Addr: addrs}
	c.Defaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := memcached.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func set(t testing.TB, s *memcached.Storage, items ...kv.Item) {
	t.Helper()
	if err := s.Set(t.Context(), items); err != nil {
		t.Fatal(err)
	}
}

var kind = kvtest.Kind{NoTTL: memcached.ErrTTL, Missing: memcache.ErrCacheMiss, Until: kvtest.Poll}

func TestStorage(t *testing.T) { kvtest.Run(t, open(t, brokers.Memcached(t).Addr), kind) }

// Keys are spread over all servers, and Clear empties all of them; RoadRunner's
// empties one.
func TestSeveralServers(t *testing.T) {
	servers := []*brokers.Server{brokers.Memcached(t), brokers.Memcached(t), brokers.Memcached(t)}
	s := open(t, servers[0].Addr, servers[1].Addr, servers[2].Addr)
	kvtest.Run(t, s, kind)
	var items []kv.Item
	var keys []string
	for i := range 200 {
		items = append(items, kv.Item{Key: fmt.Sprint("k", i), Value: []byte(fmt.Sprint(i))})
		keys = append(keys, items[i].Key)
	}
	set(t, s, items...)
	got, err := s.MGet(t.Context(), keys)
	if err != nil || len(got) != 200 || string(got[199].Value) != "199" {
		t.Fatalf("%d items, %v", len(got), err)
	}
	count := func(server *brokers.Server) (n int) {
		for _, key := range keys {
			if text, err := brokers.Ask(server.Addr, "get "+key+"\r\n", "END\r\n"); err != nil {
				t.Fatal(err)
			} else if strings.HasPrefix(text, "VALUE") {
				n++
			}
		}
		return n
	}
	for _, server := range servers {
		if count(server) == 0 {
			t.Error("a server has no key")
		}
	}
	if err := s.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, server := range servers {
		if n := count(server); n != 0 {
			t.Errorf("a server has %d keys after Clear", n)
		}
	}
}

func TestExpiries(t *testing.T) {
	server := brokers.Memcached(t)
	s := open(t, server.Addr)
	at := func(text string) kv.Expiry {
		x, err := kv.ParseExpiry(text)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	// Times that the protocol cannot say: after 2038, and so soon after 1970 that
	// memcached takes them for seconds from now.
	set(t, s, kv.Item{Key: "far", Expiry: at("2099-01-01T00:00:00Z")}, kv.Item{Key: "early", Expiry: at("1970-01-02T00:00:00Z")}, kv.Item{Key: "soon", Expiry: kvtest.In(100 * time.Second)})
	if got, err := s.Has(t.Context(), []string{"far", "early", "soon"}); err != nil || fmt.Sprint(got) != "[far soon]" {
		t.Errorf("%q, %v", got, err)
	}
	ttl := func(key string) (n int64) {
		text, err := brokers.Ask(server.Addr, "mg "+key+" t\r\n", "\r\n")
		if err == nil {
			_, err = fmt.Sscanf(text, "HD t%d", &n)
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return n
	}
	if n := ttl("soon"); n < 60 || n > 103 { // its clock goes by seconds
		t.Errorf("soon: %d s", n)
	}
	if n, want := ttl("far"), math.MaxInt32-time.Now().Unix(); n < want-60 || n > want+2 {
		t.Errorf("far: %d s, want about %d", n, want)
	}
	// All keys are tried before the error.
	if err := s.MExpire(t.Context(), []kv.Item{{Key: "nope", Expiry: kvtest.In(time.Hour)}, {Key: "soon", Expiry: kvtest.In(time.Hour)}}); !errors.Is(err, memcache.ErrCacheMiss) {
		t.Error(err)
	}
	if n := ttl("soon"); n < 1000 {
		t.Errorf("soon after MExpire: %d s", n)
	}
}

func TestBadKeys(t *testing.T) {
	s := open(t, brokers.Memcached(t).Addr)
	for _, key := range []string{"with space", "new\nline", strings.Repeat("k", 251), "\x7f"} {
		if err := s.Set(t.Context(), []kv.Item{{Key: key}}); !errors.Is(err, memcache.ErrMalformedKey) {
			t.Errorf("Set %.20q: %v", key, err)
		}
		if _, err := s.MGet(t.Context(), []string{"fine", key}); !errors.Is(err, memcache.ErrMalformedKey) {
			t.Errorf("MGet %.20q: %v", key, err)
		}
	}
	set(t, s, kv.Item{Key: strings.Repeat("k", 250)}, kv.Item{Key: "ключ"})
}

// A server that is killed in the middle: clear errors while it is away, and no
// error from old connections when it is back; nothing that was read is wrong.
func TestServerIsKilled(t *testing.T) {
	server := brokers.Memcached(t)
	s := open(t, server.Addr)
	// Several idle connections will be broken after the restart.
	var calls sync.WaitGroup
	for range 16 {
		calls.Go(func() { _, _ = s.Has(t.Context(), []string{"a"}) })
	}
	calls.Wait()
	server.Kill()
	if err := s.Set(t.Context(), []kv.Item{{Key: "a"}}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("while it is away: %v", err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("Ping while it is away")
	}
	server.Start()
	for range 32 {
		if _, err := s.Has(t.Context(), []string{"a"}); err != nil {
			t.Fatalf("after it came back: %v", err)
		}
	}
	kvtest.Survive(t, s, server.Kill, server.Start)
}

// A server that hangs is given up.
func TestServerHangs(t *testing.T) {
	server := brokers.Memcached(t)
	s := open(t, server.Addr)
	set(t, s, kv.Item{Key: "a"})
	server.Pause()
	defer server.Resume()
	if _, err := s.MGet(t.Context(), []string{"a"}); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("%v, want a timeout", err)
	}
	server.Resume()
	kvtest.Poll(t, "it answers again", func() bool {
		_, err := s.MGet(t.Context(), []string{"a"})
		return err == nil
	})
}

func TestConfig(t *testing.T) {
	var c memcached.Config
	c.Defaults()
	if fmt.Sprint(c.Addr) != "[127.0.0.1:11211]" || c.Validate() != nil {
		t.Errorf("%+v", c)
	}
	c.Addr = []string{"nonsense"}
	if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "addr: ") {
		t.Error(err)
	}
	c.Addr = []string{"127.0.0.1:99999"}
	if _, err := memcached.New(c); err == nil {
		t.Error("an impossible port")
	}
}
