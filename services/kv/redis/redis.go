// Package redis keeps keys in a Redis server, a cluster, or a server that
// sentinels watch.
//
// Calls with several keys are pipelines: in a cluster one for each node, so keys
// may be in any slot.
package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rr-systemd/rrd/services/kv"
	"github.com/rr-systemd/rrd/services/redisconn"
)

// ErrNoKey: MExpire was called for a key that does not exist.
var ErrNoKey = errors.New("no such key")

// Config and TLS are kv.NAME.config of a redis storage. With Prefix kv.Clear
// removes only the keys that have it.
type (
	Config = redisconn.Config
	TLS    = redisconn.TLS
)

// Storage is a kv.Storage.
type Storage struct {
	client redis.UniversalClient
	prefix string
}

var _ kv.Storage = (*Storage)(nil)

// New makes a client; the servers need not run yet. The error is about the files
// of TLS and begins with the key.
func New(c Config, log *slog.Logger) (*Storage, error) {
	client, err := redisconn.New(c, log)
	if err != nil {
		return nil, err
	}
	return &Storage{client: client, prefix: c.Prefix}, nil
}

// Close closes the connections.
func (s *Storage) Close() error { return s.client.Close() }

// Ping asks the server whether it is there.
func (s *Storage) Ping(ctx context.Context) error { return s.client.Ping(ctx).Err() }

// pipelined sends one command a key and calls each with its answer, in order.
// redis.Nil is an answer.
func pipelined[K any, C redis.Cmder](ctx context.Context, s *Storage, keys []K, send func(redis.Pipeliner, K) C, each func(K, C) error) error {
	if len(keys) == 0 {
		return nil
	}
	p := s.client.Pipeline()
	commands := make([]C, len(keys))
	for i, key := range keys {
		commands[i] = send(p, key)
	}
	_, failure := p.Exec(ctx)
	for _, c := range commands {
		if err := c.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	// The error of Exec is that of the first command, or it could not be sent,
	// which is not always noted in the commands.
	if failure != nil && !errors.Is(failure, redis.Nil) {
		return failure
	}
	for i, c := range commands {
		if err := each(keys[i], c); err != nil {
			return err
		}
	}
	return nil
}

// Has implements kv.Storage.
func (s *Storage) Has(ctx context.Context, keys []string) ([]string, error) {
	found := make([]string, 0, len(keys))
	err := pipelined(ctx, s, keys,
		func(p redis.Pipeliner, key string) *redis.IntCmd { return p.Exists(ctx, s.prefix+key) },
		func(key string, c *redis.IntCmd) error {
			if c.Val() > 0 {
				found = append(found, key)
			}
			return nil
		})
	return found, err
}

// MGet implements kv.Storage.
func (s *Storage) MGet(ctx context.Context, keys []string) ([]kv.Item, error) {
	found := make([]kv.Item, 0, len(keys))
	err := pipelined(ctx, s, keys,
		func(p redis.Pipeliner, key string) *redis.StringCmd { return p.Get(ctx, s.prefix+key) },
		func(key string, c *redis.StringCmd) error {
			if value, err := c.Bytes(); err == nil {
				found = append(found, kv.Item{Key: key, Value: value})
			}
			return nil
		})
	return found, err
}

// Set implements kv.Storage. Expiries are sent as what is left of them, so that
// the clocks of the two machines may differ.
func (s *Storage) Set(ctx context.Context, items []kv.Item) error {
	now := time.Now()
	return pipelined(ctx, s, items,
		func(p redis.Pipeliner, item kv.Item) redis.Cmder {
			key := s.prefix + item.Key
			switch {
			case item.Expiry.Never():
				return p.Set(ctx, key, item.Value, 0)
			case item.Expiry.Passed(now):
				return p.Del(ctx, key)
			}
			// go-redis would round to seconds what has more than one.
			return p.Do(ctx, "set", key, item.Value, "px", left(item.Expiry, now))
		},
		func(kv.Item, redis.Cmder) error { return nil })
}

// MExpire implements kv.Storage. All keys are tried; ErrNoKey if one does not
// exist.
func (s *Storage) MExpire(ctx context.Context, items []kv.Item) error {
	now := time.Now()
	return pipelined(ctx, s, items,
		func(p redis.Pipeliner, item kv.Item) *redis.Cmd {
			key := s.prefix + item.Key
			if item.Expiry.Passed(now) {
				return p.Do(ctx, "del", key)
			}
			return p.Do(ctx, "pexpire", key, left(item.Expiry, now))
		},
		func(item kv.Item, c *redis.Cmd) error {
			if n, err := c.Int64(); err != nil || n == 0 {
				return fmt.Errorf("%w: %.64s", ErrNoKey, item.Key)
			}
			return nil
		})
}

// left is the rest of an expiry in milliseconds, at least one and no more than
// 292 years.
func left(x kv.Expiry, now time.Time) int64 {
	const most = math.MaxInt64 / int64(time.Millisecond) // what a Duration can say
	return min(max(1, x.At.UnixMilli()-now.UnixMilli()), most)
}

// TTL implements kv.Storage. Keys without an expiry are left out; the others
// have it in UTC, to the second.
func (s *Storage) TTL(ctx context.Context, keys []string) ([]kv.Item, error) {
	found := make([]kv.Item, 0, len(keys))
	err := pipelined(ctx, s, keys,
		func(p redis.Pipeliner, key string) *redis.DurationCmd { return p.PTTL(ctx, s.prefix+key) },
		func(key string, c *redis.DurationCmd) error {
			if rest := c.Val(); rest > 0 { // -1: no expiry, -2: no key
				found = append(found, kv.Item{Key: key, Expiry: kv.ExpiryAt(time.Now().Add(rest))})
			}
			return nil
		})
	return found, err
}

// Delete implements kv.Storage. Without keys the server's error is the answer, as
// in RoadRunner.
func (s *Storage) Delete(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return s.client.Del(ctx).Err()
	}
	return pipelined(ctx, s, keys,
		func(p redis.Pipeliner, key string) *redis.IntCmd { return p.Del(ctx, s.prefix+key) },
		func(string, *redis.IntCmd) error { return nil })
}

// Clear implements kv.Storage: the whole database goes, on every master of a
// cluster; with a prefix only the keys that have it.
func (s *Storage) Clear(ctx context.Context) error {
	clear := func(ctx context.Context, node redis.Cmdable) error { return node.FlushDB(ctx).Err() }
	if s.prefix != "" {
		clear = s.clearPrefix
	}
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return clear(ctx, node) })
	}
	return clear(ctx, s.client)
}

// globChars have a meaning in the pattern of SCAN.
var globChars = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

func (s *Storage) clearPrefix(ctx context.Context, node redis.Cmdable) error {
	const batch = 1000
	keys := make([]string, 0, batch)
	remove := func() error {
		if len(keys) == 0 {
			return nil
		}
		_, err := node.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, key := range keys {
				p.Del(ctx, key) // one slot each
			}
			return nil
		})
		keys = keys[:0]
		return err
	}
	scan := node.Scan(ctx, 0, globChars.Replace(s.prefix)+"*", batch).Iterator()
	for scan.Next(ctx) {
		if keys = append(keys, scan.Val()); len(keys) == batch {
			if err := remove(); err != nil {
				return err
			}
		}
	}
	return errors.Join(scan.Err(), remove())
}

// Keys implements kv.Lister, by SCAN, which does not hold the server up.
func (s *Storage) Keys(ctx context.Context, prefix string, limit int) ([]string, error) {
	var mu sync.Mutex
	found := make(map[string]bool) // SCAN may give a key twice
	scan := func(ctx context.Context, node redis.Cmdable) error {
		it := node.Scan(ctx, 0, globChars.Replace(s.prefix+prefix)+"*", 1000).Iterator()
		for it.Next(ctx) {
			mu.Lock()
			full := len(found) >= limit
			if !full {
				found[strings.TrimPrefix(it.Val(), s.prefix)] = true
			}
			mu.Unlock()
			if full {
				return nil
			}
		}
		return it.Err()
	}
	var err error
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return scan(ctx, node) })
	} else {
		err = scan(ctx, s.client)
	}
	return slices.Collect(maps.Keys(found)), err
}
