// Package memcached keeps keys in memcached servers.
package memcached

import (
	"context"
	"errors"
	"io"
	"math"
	"syscall"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/rr-systemd/rrd/services/kv"
)

const (
	// timeout of one exchange with a server; that of RoadRunner's client.
	timeout = 500 * time.Millisecond
	// idle connections that are kept per server. RoadRunner keeps 2, so that
	// more calls at a time dial anew again and again.
	idle = 32
)

// ErrTTL: memcached does not tell when a key expires. PHP's client looks for the
// name of the operation before it, and others for the text.
var ErrTTL = errors.New("not valid request for memcached, see https://github.com/memcached/memcached/issues/239")

// Storage is a kv.Storage.
type Storage struct{ client *memcache.Client }

var _ kv.Storage = (*Storage)(nil)

// New makes a client; the servers need not run yet. The error is an address whose
// name cannot be resolved.
func New(c Config) (*Storage, error) {
	servers := new(memcache.ServerList)
	if err := servers.SetServers(c.Addr...); err != nil {
		return nil, err
	}
	client := memcache.NewFromSelector(servers)
	client.Timeout, client.MaxIdleConns = timeout, idle
	return &Storage{client: client}, nil
}

// Close closes the connections.
func (s *Storage) Close() error { return s.client.Close() }

// Ping asks all servers whether they are there.
func (s *Storage) Ping(context.Context) error { return s.again(s.client.Ping) }

// again repeats a call whose connection was closed by the server, as all those
// kept are when it was restarted. Every call of this package may be repeated.
func (s *Storage) again(call func() error) error {
	err := call()
	for tries := 0; tries <= idle && lost(err); tries++ {
		err = call()
	}
	return err
}

func lost(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// get reads keys from all servers at once; a single key, the most frequent case,
// without the goroutine that each server gets.
func (s *Storage) get(keys []string) (items map[string]*memcache.Item, err error) {
	switch len(keys) {
	case 0:
		return nil, nil
	case 1:
		var item *memcache.Item
		err = s.again(func() error {
			item, err = s.client.Get(keys[0])
			return err
		})
		if errors.Is(err, memcache.ErrCacheMiss) {
			return nil, nil
		}
		return map[string]*memcache.Item{keys[0]: item}, err
	}
	err = s.again(func() error {
		items, err = s.client.GetMulti(keys)
		return err
	})
	return items, err
}

// Has implements kv.Storage.
func (s *Storage) Has(_ context.Context, keys []string) ([]string, error) {
	items, err := s.get(keys)
	if err != nil {
		return nil, err
	}
	found := make([]string, 0, len(items))
	for _, key := range keys {
		if items[key] != nil {
			found = append(found, key)
		}
	}
	return found, nil
}

// MGet implements kv.Storage.
func (s *Storage) MGet(_ context.Context, keys []string) ([]kv.Item, error) {
	items, err := s.get(keys)
	if err != nil {
		return nil, err
	}
	found := make([]kv.Item, 0, len(items))
	for _, key := range keys {
		if item := items[key]; item != nil {
			found = append(found, kv.Item{Key: key, Value: item.Value})
		}
	}
	return found, nil
}

// Set implements kv.Storage. Items before one that fails are written.
func (s *Storage) Set(_ context.Context, items []kv.Item) error {
	for _, item := range items {
		err := s.again(func() error {
			return s.client.Set(&memcache.Item{Key: item.Key, Value: item.Value, Expiration: expiration(item.Expiry, time.Now())})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// MExpire implements kv.Storage. All keys are tried; the error is that of the
// first that failed, memcache.ErrCacheMiss if it does not exist.
func (s *Storage) MExpire(_ context.Context, items []kv.Item) error {
	var first error
	for _, item := range items {
		err := s.again(func() error { return s.client.Touch(item.Key, expiration(item.Expiry, time.Now())) })
		if first == nil {
			first = err
		}
	}
	return first
}

// TTL implements kv.Storage and always fails.
func (s *Storage) TTL(context.Context, []string) ([]kv.Item, error) { return nil, ErrTTL }

// Delete implements kv.Storage.
func (s *Storage) Delete(_ context.Context, keys []string) error {
	for _, key := range keys {
		err := s.again(func() error { return s.client.Delete(key) })
		if err != nil && !errors.Is(err, memcache.ErrCacheMiss) {
			return err
		}
	}
	return nil
}

// Clear implements kv.Storage: all servers lose all of their keys, those of
// others too, as memcached knows no parts.
func (s *Storage) Clear(context.Context) error { return s.again(s.client.FlushAll) }

// expiration is memcached's form: seconds since 1970, 0 for never, negative for
// at once. Fractions are rounded up, so that what has less than a second left is
// still stored. Times after 2038, which the protocol cannot say, become the last
// that it can; small ones would count from now.
func expiration(x kv.Expiry, now time.Time) int32 {
	switch seconds := x.At.Unix(); {
	case x.Never():
		return 0
	case x.Passed(now):
		return -1
	case seconds >= math.MaxInt32:
		return math.MaxInt32
	default:
		if x.At.Nanosecond() > 0 {
			seconds++
		}
		return int32(seconds)
	}
}
