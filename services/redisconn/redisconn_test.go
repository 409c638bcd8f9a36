package redisconn_test

import (
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rr-systemd/rrd/services/redisconn"
)

// TestOptions: every key of the section arrives at the client. RoadRunner gives
// max_retry_backoff for both bounds of the backoff.
func TestOptions(t *testing.T) {
	c := redisconn.Config{
		Addrs: []string{"127.0.0.1:1"}, DB: 2, Username: "u", Password: "p",
		MaxRetries: 4, MinRetryBackoff: 5 * time.Millisecond, MaxRetryBackoff: 6 * time.Millisecond,
		DialTimeout: 7 * time.Second, ReadTimeout: 8 * time.Second, WriteTimeout: 9 * time.Second,
		PoolSize: 10, MaxConnAge: 12 * time.Second, PoolTimeout: 13 * time.Second, IdleTimeout: 14 * time.Second,
	}
	o := client(t, c).(*redis.Client).Options()
	got := redisconn.Config{
		Addrs: []string{o.Addr}, DB: o.DB, Username: o.Username, Password: o.Password,
		MaxRetries: o.MaxRetries, MinRetryBackoff: o.MinRetryBackoff, MaxRetryBackoff: o.MaxRetryBackoff,
		DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout,
		PoolSize: o.PoolSize, MaxConnAge: o.ConnMaxLifetime, PoolTimeout: o.PoolTimeout, IdleTimeout: o.ConnMaxIdleTime,
	}
	equal(t, got, c)

	// Where a cluster reads.
	for _, c := range []redisconn.Config{
		{Addrs: []string{"127.0.0.1:1", "127.0.0.1:2"}, ReadOnly: true},
		{Addrs: []string{"127.0.0.1:1", "127.0.0.1:2"}, ReadOnly: true, RouteByLatency: true},
		{Addrs: []string{"127.0.0.1:1", "127.0.0.1:2"}, ReadOnly: true, RouteRandomly: true},
	} {
		o := client(t, c).(*redis.ClusterClient).Options()
		equal(t, redisconn.Config{Addrs: o.Addrs, ReadOnly: o.ReadOnly, RouteByLatency: o.RouteByLatency, RouteRandomly: o.RouteRandomly}, c)
	}
	// With sentinels, routes take a client of all servers that they know.
	for _, c := range []redisconn.Config{
		{Addrs: []string{"127.0.0.1:1"}, MasterName: "m", RouteByLatency: true},
		{Addrs: []string{"127.0.0.1:1"}, MasterName: "m", RouteRandomly: true},
	} {
		if _, ok := client(t, c).(*redis.ClusterClient); !ok {
			t.Errorf("%+v: no client of several servers", c)
		}
	}
}

func TestDefaults(t *testing.T) {
	var c redisconn.Config
	c.Defaults()
	o := client(t, c).(*redis.Client).Options()
	if o.Addr != "127.0.0.1:6379" || o.MaxRetries != 3 || o.MinRetryBackoff != 8*time.Millisecond || o.MaxRetryBackoff != 512*time.Millisecond ||
		o.DialTimeout != 5*time.Second || o.ReadTimeout != 3*time.Second || o.WriteTimeout != 3*time.Second || o.PoolTimeout != 4*time.Second || o.MinIdleConns != 0 {
		t.Errorf("%+v", o)
	}
}

func client(t *testing.T, c redisconn.Config) redis.UniversalClient {
	t.Helper()
	got, err := redisconn.New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = got.Close() })
	return got
}

func equal(t *testing.T, got, want redisconn.Config) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
