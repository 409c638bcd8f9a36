package redis_test

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rr-systemd/rrd/services/kv"
	"github.com/rr-systemd/rrd/services/kv/kvtest"
	"github.com/rr-systemd/rrd/services/kv/redis"
	"github.com/rr-systemd/rrd/tests/brokers"
)

func open(t testing.TB, c redis.Config) *redis.Storage {
	t.Helper()
	c.Defaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := redis.New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func set(t testing.TB, s *redis.Storage, items ...kv.Item) {
	t.Helper()
	if err := s.Set(t.Context(), items); err != nil {
		t.Fatal(err)
	}
}

func item(key, value string) kv.Item { return kv.Item{Key: key, Value: []byte(value)} }

// kind is how the driver differs. PSR-16 clients need no text of their own back.
var kind = kvtest.Kind{Missing: redis.ErrNoKey, Until: kvtest.Poll}

func TestStorage(t *testing.T) {
	r := brokers.Redis(t)
	t.Run("plain", func(t *testing.T) { kvtest.Run(t, open(t, redis.Config{Addrs: []string{r.Addr}}), kind) })
	t.Run("prefix", func(t *testing.T) {
		kvtest.Run(t, open(t, redis.Config{Addrs: []string{r.Addr}, Prefix: `app[1]*\:`}), kind)
	})
}

func TestPasswordAndDB(t *testing.T) {
	r := brokers.Redis(t, "--requirepass", "secret")
	s := open(t, redis.Config{Addrs: []string{r.Addr}, Password: "secret", DB: 3})
	set(t, s, item("a", "1"))
	if got := brokers.RedisCLI(t, r.Addr, "-a", "secret", "--no-auth-warning", "-n", "3", "get", "a"); got != "1" {
		t.Errorf("in database 3: %q", got)
	}
	wrong := open(t, redis.Config{Addrs: []string{r.Addr}, Password: "wrong", MaxRetries: -1})
	if _, err := wrong.Has(t.Context(), []string{"a"}); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("wrong password: %v", err)
	}
	if err := wrong.Ping(t.Context()); err == nil {
		t.Error("Ping with a wrong password")
	}
}

// Only the keys with the prefix are seen and removed.
func TestPrefix(t *testing.T) {
	r := brokers.Redis(t)
	a := open(t, redis.Config{Addrs: []string{r.Addr}, Prefix: "a*:"})
	all := open(t, redis.Config{Addrs: []string{r.Addr}})
	set(t, a, item("k", "1"))
	set(t, all, item("k", "2"), item("ab:k", "3"))
	if got := brokers.RedisCLI(t, r.Addr, "get", "a*:k"); got != "1" {
		t.Errorf("got %q", got)
	}
	if err := a.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := all.Has(t.Context(), []string{"k", "ab:k", "a*:k"}); err != nil || !slices.Equal(got, []string{"k", "ab:k"}) {
		t.Errorf("%q, %v", got, err)
	}
}

// Expiries go to the server with milliseconds; a past one deletes.
func TestExpiries(t *testing.T) {
	r := brokers.Redis(t)
	s := open(t, redis.Config{Addrs: []string{r.Addr}})
	far, _ := kv.ParseExpiry("9999-12-31T23:59:59Z")
	set(t, s, kv.Item{Key: "half", Expiry: kvtest.Exact(90*time.Second + 500*time.Millisecond)}, kv.Item{Key: "far", Expiry: far}, item("past", "1"))
	set(t, s, kv.Item{Key: "past", Expiry: kvtest.In(-time.Hour)})
	var rest int
	if _, err := fmt.Sscan(brokers.RedisCLI(t, r.Addr, "pttl", "half"), &rest); err != nil || rest > 90_500 || rest < 60_000 {
		t.Errorf("%d ms are left, %v", rest, err)
	}
	if got := brokers.RedisCLI(t, r.Addr, "exists", "past"); got != "0" {
		t.Errorf("an expired key exists: %s", got)
	}
	if got, err := s.TTL(t.Context(), []string{"far"}); err != nil || len(got) != 1 || got[0].Expiry.At.Year() < 2300 {
		t.Errorf("%v, %v", got, err)
	}
	// All keys are tried before the error.
	set(t, s, item("there", "1"))
	if err := s.MExpire(t.Context(), []kv.Item{{Key: "nope", Expiry: kvtest.In(time.Hour)}, {Key: "there", Expiry: kvtest.In(time.Hour)}}); !errors.Is(err, redis.ErrNoKey) || !strings.Contains(err.Error(), "nope") {
		t.Errorf("MExpire: %v", err)
	}
	if got := brokers.RedisCLI(t, r.Addr, "ttl", "there"); got == "-1" {
		t.Error("the key after the missing one has no expiry")
	}
}

// The server's errors come through: a key of another type, no keys for DEL, no
// memory.
func TestServerErrors(t *testing.T) {
	r := brokers.Redis(t)
	s := open(t, redis.Config{Addrs: []string{r.Addr}})
	brokers.RedisCLI(t, r.Addr, "lpush", "list", "x")
	if _, err := s.MGet(t.Context(), []string{"list"}); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), nil); err == nil || err.Error() != "ERR wrong number of arguments for 'del' command" {
		t.Error(err)
	}
	brokers.RedisCLI(t, r.Addr, "config", "set", "maxmemory", "1")
	if err := s.Set(t.Context(), []kv.Item{item("a", "1")}); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Error(err)
	}
}

// A server that is killed in the middle: clear errors while it is away, and the
// same storage works when it is back; nothing that was read is wrong.
func TestServerIsKilled(t *testing.T) {
	r := brokers.Redis(t)
	s := open(t, redis.Config{Addrs: []string{r.Addr}, MaxRetries: 1, MaxRetryBackoff: 10 * time.Millisecond})
	kvtest.Survive(t, s, r.Kill, r.Start)
}

// A server that hangs is given up after the time of the configuration.
func TestServerHangs(t *testing.T) {
	r := brokers.Redis(t)
	s := open(t, redis.Config{Addrs: []string{r.Addr}, MaxRetries: -1, ReadTimeout: 200 * time.Millisecond, DialTimeout: 200 * time.Millisecond})
	set(t, s, item("a", "1"))
	r.Pause()
	defer r.Resume()
	if _, err := s.MGet(t.Context(), []string{"a"}); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("%v, want a timeout", err)
	}
	r.Resume()
	kvtest.Poll(t, "it answers again", func() bool {
		got, err := s.MGet(t.Context(), []string{"a"})
		return err == nil && len(got) == 1 && string(got[0].Value) == "1"
	})
}

func TestCluster(t *testing.T) {
	nodes := brokers.RedisCluster(t)
	var addrs []string
	for _, n := range nodes {
		addrs = append(addrs, n.Addr)
	}
	s := open(t, redis.Config{Addrs: addrs})
	kvtest.Run(t, s, kind)
	kvtest.Run(t, open(t, redis.Config{Addrs: addrs, Prefix: "app:"}), kind)

	// Keys in all slots in one call; Clear empties every node.
	var items []kv.Item
	var keys []string
	for i := range 300 {
		items = append(items, item(fmt.Sprint("k", i), fmt.Sprint(i)))
		keys = append(keys, items[i].Key)
	}
	set(t, s, items...)
	got, err := s.MGet(t.Context(), keys)
	if err != nil || len(got) != 300 || string(got[299].Value) != "299" {
		t.Fatalf("%d items, %v", len(got), err)
	}
	for _, n := range nodes {
		if brokers.RedisCLI(t, n.Addr, "dbsize") == "0" {
			t.Error("a node has no key")
		}
	}
	if err := s.Delete(t.Context(), keys[:150]); err != nil {
		t.Fatal(err)
	}
	if left, err := s.Has(t.Context(), keys); err != nil || len(left) != 150 {
		t.Fatalf("%d keys are left, %v", len(left), err)
	}
	if err := s.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if got := brokers.RedisCLI(t, n.Addr, "dbsize"); got != "0" {
			t.Errorf("a node has %s keys after Clear", got)
		}
	}

	// One node goes and comes back.
	kvtest.Survive(t, s, nodes[0].Kill, nodes[0].Start)
}

// The master dies: calls fail until the sentinels have made the replica the
// master, then they work, with the data.
func TestSentinel(t *testing.T) {
	m := brokers.RedisSentinel(t)
	s := open(t, redis.Config{Addrs: m.Addrs(), MasterName: "mymaster", MaxRetries: 1})
	kvtest.Run(t, s, kind)
	set(t, s, item("kept", "1"))
	kvtest.Poll(t, "the replica has the key", func() bool { return brokers.RedisCLI(t, m.Replica.Addr, "get", "kept") == "1" })
	m.Master.Kill()
	kvtest.Poll(t, "the replica is written to", func() bool {
		return s.Set(t.Context(), []kv.Item{item("new", "2")}) == nil
	})
	got, err := s.MGet(t.Context(), []string{"kept", "new"})
	if err != nil || len(got) != 2 || string(got[0].Value)+string(got[1].Value) != "12" {
		t.Errorf("%v, %v", got, err)
	}
	if brokers.RedisCLI(t, m.Replica.Addr, "get", "new") != "2" {
		t.Error("the key is not on the former replica")
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	ca := brokers.NewCA(t)
	ca.Write(t, file("ca.pem"))
	ca.Issue(t, file("server.pem"), file("server.key"), "127.0.0.1")
	ca.Issue(t, file("client.pem"), file("client.key"), "client")
	r := brokers.RedisTLS(t, file("server.pem"), file("server.key"), file("ca.pem"))
	conf := func(tls redis.TLS) redis.Config {
		return redis.Config{Addrs: []string{r.Addr}, TLS: &tls, MaxRetries: -1}
	}

	s := open(t, conf(redis.TLS{Cert: file("client.pem"), Key: file("client.key"), RootCA: file("ca.pem")}))
	kvtest.Run(t, s, kind)
	// The client's certificate is read for each connection.
	ca.Issue(t, file("client.pem"), file("client.key"), "client, renewed")
	set(t, open(t, conf(redis.TLS{Cert: file("client.pem"), Key: file("client.key"), RootCA: file("ca.pem")})), item("a", "1"))

	for name, tls := range map[string]redis.TLS{
		"unknown authority":     {Cert: file("client.pem"), Key: file("client.key")},
		"no client certificate": {RootCA: file("ca.pem")},
	} {
		if err := open(t, conf(tls)).Ping(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for want, tls := range map[string]redis.TLS{
		"tls.root_ca: open ":    {RootCA: file("none")},
		"has no certificate":    {RootCA: file("client.key")},
		"tls.cert: ":            {Cert: file("ca.pem"), Key: file("client.key")},
		"tls: cert and key bel": {Cert: file("ca.pem")},
	} {
		c := conf(tls)
		err := c.Validate()
		if err == nil {
			_, err = redis.New(c, slog.New(slog.DiscardHandler))
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestUnreachable(t *testing.T) {
	s := open(t, redis.Config{Addrs: []string{brokers.FreeAddr(t)}, MaxRetries: -1})
	if _, err := s.Has(t.Context(), []string{"a"}); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	for want, c := range map[string]redis.Config{
		"addrs: ": {Addrs: []string{"nonsense"}},
		"db: ":    {DB: -1},
	} {
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	var c redis.Config
	c.Defaults()
	if c.Addrs[0] != "127.0.0.1:6379" || c.WriteTimeout != 3*time.Second || c.Validate() != nil {
		t.Errorf("%+v", c)
	}
}

// Every storage has its own series.
func TestMetrics(t *testing.T) {
	r := brokers.Redis(t)
	registry := prometheus.NewRegistry()
	for _, name := range []string{"one", "two"} {
		s := open(t, redis.Config{Addrs: []string{r.Addr}})
		set(t, s, item("a", name))
		registry.MustRegister(s.Collector(name))
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
		if len(f.GetMetric()) != 2 {
			t.Errorf("%s has %d series", f.GetName(), len(f.GetMetric()))
		}
	}
	want := []string{
		"rr_redis_pool_conn_idle_current", "rr_redis_pool_conn_stale_total", "rr_redis_pool_conn_total_current",
		"rr_redis_pool_hit_total", "rr_redis_pool_miss_total", "rr_redis_pool_timeout_total",
	}
	if !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
}
