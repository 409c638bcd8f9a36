// Package memory keeps keys in the memory of the daemon.
//
// The keys are spread over shards, each with a lock of its own, a map, a heap of
// the keys that expire and, with max_memory, a list in order of use. Expiry is
// exact: whoever finds an expired key drops it, and Run frees the memory of those
// that nobody asks for. Save and Load carry everything over a restart.
package memory

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rr-systemd/rrd/services/kv"
)

// ErrTooLarge: an item is larger than max_memory alone.
var ErrTooLarge = errors.New("larger than max_memory")

// shards is far more than there are CPUs, so that two calls rarely meet.
const shards = 128

// Storage is a kv.Storage. Run frees memory of expired keys; everything works
// without it, too.
type Storage struct {
	max    int64
	seed   maphash.Seed
	start  time.Time
	wake   chan struct{} // an expiry came where there was none
	shards [shards]shard

	bytes   atomic.Int64
	evicted atomic.Uint64
	expired atomic.Uint64
}

var _ kv.Prompt = (*Storage)(nil)

// New returns an empty storage.
func New(c Config) *Storage {
	s := &Storage{max: c.MaxMemory, seed: maphash.MakeSeed(), start: time.Now(), wake: make(chan struct{}, 1)}
	for i := range s.shards {
		s.shards[i].init(s)
	}
	return s
}

// Prompt implements kv.Prompt.
func (*Storage) Prompt() {}

// Stats are counts of a storage.
type Stats struct {
	Items   int
	Bytes   int64  // keys, values and what is needed to keep them
	Evicted uint64 // dropped for want of room since the start
	Expired uint64 // dropped at their time since the start
}

// Stats counts.
func (s *Storage) Stats() Stats {
	st := Stats{Bytes: s.bytes.Load(), Evicted: s.evicted.Load(), Expired: s.expired.Load()}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		st.Items += len(sh.items)
		sh.mu.Unlock()
	}
	return st
}

func (s *Storage) shard(key string) *shard {
	return &s.shards[maphash.String(s.seed, key)%shards]
}

// moment is now, for expiries and for the order of use.
type moment struct {
	wall int64 // nanoseconds since 1970
	used int64 // nanoseconds since the start of the storage, monotonic
}

func (s *Storage) now() moment {
	t := time.Now()
	return moment{wall: t.UnixNano(), used: int64(t.Sub(s.start))}
}

// Has implements kv.Storage.
func (s *Storage) Has(_ context.Context, keys []string) ([]string, error) {
	now := s.now()
	found := make([]string, 0, len(keys))
	for _, key := range keys {
		sh := s.shard(key)
		sh.mu.Lock()
		if sh.use(key, now) != nil {
			found = append(found, key)
		}
		sh.mu.Unlock()
	}
	return found, nil
}

// MGet implements kv.Storage.
func (s *Storage) MGet(_ context.Context, keys []string) ([]kv.Item, error) {
	now := s.now()
	found := make([]kv.Item, 0, len(keys))
	for _, key := range keys {
		sh := s.shard(key)
		sh.mu.Lock()
		if e := sh.use(key, now); e != nil {
			found = append(found, kv.Item{Key: key, Value: e.value})
		}
		sh.mu.Unlock()
	}
	return found, nil
}

// TTL implements kv.Storage. Keys without an expiry are in the answer, too.
func (s *Storage) TTL(_ context.Context, keys []string) ([]kv.Item, error) {
	now := s.now()
	found := make([]kv.Item, 0, len(keys))
	for _, key := range keys {
		sh := s.shard(key)
		sh.mu.Lock()
		// Asking for the time is no use of the value.
		if e := sh.find(key, now); e != nil {
			item := kv.Item{Key: key}
			if e.text != "" {
				item.Expiry = kv.Expiry{At: time.Unix(0, e.at), Text: e.text}
			}
			found = append(found, item)
		}
		sh.mu.Unlock()
	}
	return found, nil
}

// Set implements kv.Storage. It writes nothing if one of the items cannot be
// written. A blank key is accepted, as in RoadRunner, and not kept: no call
// could ever read or delete it.
func (s *Storage) Set(_ context.Context, items []kv.Item) error {
	if s.max > 0 {
		for i := range items {
			if n := sizeOf(&items[i]); n > s.max {
				return fmt.Errorf("cannot store %.64q of %d bytes: %w", items[i].Key, n, ErrTooLarge)
			}
		}
	}
	now := s.now()
	for i := range items {
		item := &items[i]
		if kv.Blank(item.Key) {
			continue
		}
		sh := s.shard(item.Key)
		sh.mu.Lock()
		sh.put(item, now)
		sh.mu.Unlock()
	}
	s.evict(now)
	return nil
}

// MExpire implements kv.Storage; a key that does not exist stays so.
func (s *Storage) MExpire(_ context.Context, items []kv.Item) error {
	now := s.now()
	for i := range items {
		sh := s.shard(items[i].Key)
		sh.mu.Lock()
		sh.expire(items[i].Key, items[i].Expiry, now)
		sh.mu.Unlock()
	}
	s.evict(now) // another text may be longer
	return nil
}

// Delete implements kv.Storage.
func (s *Storage) Delete(_ context.Context, keys []string) error {
	for _, key := range keys {
		sh := s.shard(key)
		sh.mu.Lock()
		if e := sh.items[key]; e != nil {
			sh.drop(e)
		}
		sh.mu.Unlock()
	}
	return nil
}

// Clear implements kv.Storage. What is written while it runs may stay.
func (s *Storage) Clear(context.Context) error {
	for i := range s.shards {
		s.shards[i].clear()
	}
	return nil
}

// evict drops what has expired, then the keys used longest ago, until there is
// room. Which shard has them is read without locks: the order is exact in one
// call at a time, and near enough when many write at once.
func (s *Storage) evict(now moment) {
	for s.max > 0 && s.bytes.Load() > s.max {
		var victim *shard
		oldest, expired := int64(math.MaxInt64), false
		for i := range s.shards {
			sh := &s.shards[i]
			if sh.next.Load() <= now.wall {
				victim, expired = sh, true
				break
			}
			if t := sh.oldest.Load(); t < oldest {
				victim, oldest = sh, t
			}
		}
		if victim == nil {
			return
		}
		victim.mu.Lock()
		if expired {
			victim.sweep(now.wall, sweepBatch)
		} else if victim.last != nil {
			victim.drop(victim.last)
			s.evicted.Add(1)
		}
		victim.mu.Unlock()
	}
}

// Keys implements kv.Lister.
func (s *Storage) Keys(_ context.Context, prefix string, limit int) ([]string, error) {
	now := s.now()
	var keys []string
	for i := range s.shards {
		if len(keys) >= limit {
			break
		}
		keys = s.shards[i].list(keys, prefix, limit, now)
	}
	return keys, nil
}

// list appends the keys with a prefix, up to limit in all.
func (sh *shard) list(keys []string, prefix string, limit int, now moment) []string {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for key, e := range sh.items {
		if len(keys) >= limit {
			break
		}
		if strings.HasPrefix(key, prefix) && !e.passed(now.wall) {
			keys = append(keys, key)
		}
	}
	return keys
}
