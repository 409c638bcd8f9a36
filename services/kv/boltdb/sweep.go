package boltdb

import (
	"bytes"
	"context"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/services/kv"
)

// sweepBatch is how many keys one transaction of a sweep looks at, so that none
// holds the file for long.
const sweepBatch = 10_000

// sweeps knows when the first key expires, so that a file without such keys is
// never read through.
type sweeps struct {
	mu   sync.Mutex
	next time.Time // zero: no key expires
}

// init asks for a sweep: what is in the file is not known at the start.
func (s *sweeps) init() { s.next = time.Unix(1, 0) }

// need notes that a key expires at t.
func (s *sweeps) need(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !t.IsZero() && (s.next.IsZero() || t.Before(s.next)) {
		s.next = t
	}
}

// take tells whether a sweep is due, and forgets what it knew: the sweep will
// tell what it leaves.
func (s *sweeps) take(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next.IsZero() || s.next.After(now) {
		return false
	}
	s.next = time.Time{}
	return true
}

func earlier(t time.Time, x kv.Expiry) time.Time {
	if !x.Never() && (t.IsZero() || x.At.Before(t)) {
		return x.At
	}
	return t
}

// Run removes expired keys from the file until ctx ends. Nobody sees them in the
// meantime.
func (s *Storage) Run(ctx context.Context) error {
	tick := time.NewTicker(s.config.interval())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if !s.sweeps.take(now) {
				continue
			}
			if err := s.sweep(ctx, now); err != nil {
				s.log.Error("cannot remove expired keys", "file", s.config.File, logkey.Error, err)
				s.sweeps.need(now)
			}
		}
	}
}

// sweep reads the whole bucket, a batch after the other.
func (s *Storage) sweep(ctx context.Context, now time.Time) error {
	var from []byte
	for ctx.Err() == nil {
		gone, next, err := s.expired(from, now)
		if err != nil {
			return err
		}
		if len(gone) > 0 {
			err = s.commit.commit(func(tx *bolt.Tx) error { return s.remove(tx, gone, now) })
		}
		if err != nil || next == nil {
			return err
		}
		from = next
	}
	return nil
}

// expired finds expired keys among the next of the bucket; next is where to go on,
// nil at the end.
func (s *Storage) expired(from []byte, now time.Time) (gone [][]byte, next []byte, err error) {
	var first time.Time
	err = s.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(s.bucket).Cursor()
		n := 0
		for key, data := c.Seek(from); key != nil; key, data = c.Next() {
			if n++; n > sweepBatch {
				next = bytes.Clone(key)
				break
			}
			_, _, x, err := parseValue(data)
			switch {
			case err != nil: // not ours to remove
			case x.Passed(now):
				gone = append(gone, bytes.Clone(key))
			default:
				first = earlier(first, x)
			}
		}
		return nil
	})
	s.sweeps.need(first)
	return gone, next, err
}

// remove deletes keys that are still expired.
func (s *Storage) remove(tx *bolt.Tx, keys [][]byte, now time.Time) error {
	b := tx.Bucket(s.bucket)
	for _, key := range keys {
		if _, _, x, err := parseValue(b.Get(key)); err != nil || !x.Passed(now) {
			continue
		}
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	return nil
}
