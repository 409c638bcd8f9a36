// Package boltdb keeps keys in a file of bbolt, in RoadRunner's form.
package boltdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/rr-systemd/rrd/services/kv"
)

const (
	// defaultBucket is where RoadRunner keeps the keys, whatever is configured.
	defaultBucket = "default"
	// lockWait is how long New waits for another process that has the file open.
	lockWait = 20 * time.Second
)

// Storage is a kv.Storage. A call that writes returns when it is on the disk.
type Storage struct {
	db     *bolt.DB
	bucket []byte
	config Config
	log    *slog.Logger
	commit committer
	sweeps sweeps
}

var _ kv.Storage = (*Storage)(nil)

// New opens the file, or creates it. It takes no longer than 20 s if another
// process has it open.
func New(c Config, log *slog.Logger) (*Storage, error) {
	db, err := bolt.Open(c.File, c.mode(), &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("cannot open %s: another process has it open; a file is for one storage of one server", c.File)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", c.File, err)
	}
	s := &Storage{db: db, bucket: []byte(c.Bucket), config: c, log: log, commit: committer{db: db}}
	s.sweeps.init()
	if err := db.Update(s.prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot prepare %s: %w", c.File, err), db.Close())
	}
	return s, nil
}

// prepare creates the bucket. Keys that RoadRunner wrote into its own bucket,
// although another was configured, move into it.
func (s *Storage) prepare(tx *bolt.Tx) error {
	if tx.Bucket(s.bucket) != nil {
		return nil
	}
	b, err := tx.CreateBucket(s.bucket)
	if err != nil {
		return err
	}
	old := tx.Bucket([]byte(defaultBucket))
	if string(s.bucket) == defaultBucket || old == nil {
		return nil
	}
	if err := old.ForEach(b.Put); err != nil {
		return err
	}
	return tx.DeleteBucket([]byte(defaultBucket))
}

// Close closes the file, when running calls have ended. It is idempotent.
func (s *Storage) Close() error { return s.db.Close() }

// view reads the keys that are there and have not expired.
func (s *Storage) view(keys []string, each func(key string, value []byte, x kv.Expiry)) error {
	now := time.Now()
	return s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(s.bucket)
		for _, key := range keys {
			data := b.Get([]byte(key))
			if data == nil {
				continue
			}
			_, value, x, err := parseValue(data)
			if err != nil {
				return fmt.Errorf("cannot read %.64q: %w", key, err)
			}
			if !x.Passed(now) {
				each(key, value, x)
			}
		}
		return nil
	})
}

// Has implements kv.Storage.
func (s *Storage) Has(_ context.Context, keys []string) ([]string, error) {
	found := make([]string, 0, len(keys))
	err := s.view(keys, func(key string, _ []byte, _ kv.Expiry) { found = append(found, key) })
	return found, err
}

// MGet implements kv.Storage.
func (s *Storage) MGet(_ context.Context, keys []string) ([]kv.Item, error) {
	found := make([]kv.Item, 0, len(keys))
	err := s.view(keys, func(key string, value []byte, _ kv.Expiry) {
		found = append(found, kv.Item{Key: key, Value: bytes.Clone(value)}) // the file may move
	})
	return found, err
}

// TTL implements kv.Storage. Keys without an expiry are left out.
func (s *Storage) TTL(_ context.Context, keys []string) ([]kv.Item, error) {
	found := make([]kv.Item, 0, len(keys))
	err := s.view(keys, func(key string, _ []byte, x kv.Expiry) {
		if !x.Never() {
			found = append(found, kv.Item{Key: key, Expiry: x})
		}
	})
	return found, err
}

// Set implements kv.Storage: all items or none. A blank key is accepted, as in
// RoadRunner, and not kept, since no call could read or delete it; an empty one
// is refused, as bbolt does.
func (s *Storage) Set(_ context.Context, items []kv.Item) error {
	type row struct{ key, value []byte }
	rows := make([]row, 0, len(items))
	now := time.Now()
	var next time.Time // when the first of them expires
	for _, item := range items {
		switch {
		case item.Key == "":
			return berrors.ErrKeyRequired
		case len(item.Key) > bolt.MaxKeySize:
			return berrors.ErrKeyTooLarge
		case len(item.Value) > bolt.MaxValueSize-1024:
			return berrors.ErrValueTooLarge
		case kv.Blank(item.Key):
			continue
		}
		r := row{key: []byte(item.Key)}
		if !item.Expiry.Passed(now) {
			r.value = appendValue(nil, item.Value, item.Expiry)
			next = earlier(next, item.Expiry)
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil
	}
	err := s.commit.commit(func(tx *bolt.Tx) error {
		b := tx.Bucket(s.bucket)
		for _, r := range rows {
			var err error
			if r.value == nil {
				err = b.Delete(r.key)
			} else {
				err = b.Put(r.key, r.value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	s.sweeps.need(next)
	return err
}

// MExpire implements kv.Storage; a key that does not exist stays so.
func (s *Storage) MExpire(_ context.Context, items []kv.Item) error {
	now := time.Now()
	err := s.commit.commit(func(tx *bolt.Tx) error {
		b := tx.Bucket(s.bucket)
		for _, item := range items {
			data := b.Get([]byte(item.Key))
			if data == nil {
				continue
			}
			message, _, x, err := parseValue(data)
			switch {
			case err != nil:
				// It is not this call's to judge, and a failure would be that of
				// others in the transaction, too.
				continue
			case x.Passed(now) || item.Expiry.Passed(now):
				err = b.Delete([]byte(item.Key))
			default:
				err = b.Put([]byte(item.Key), appendExpiry(bytes.Clone(message), item.Expiry))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	var next time.Time
	for _, item := range items {
		next = earlier(next, item.Expiry)
	}
	s.sweeps.need(next)
	return err
}

// Delete implements kv.Storage.
func (s *Storage) Delete(_ context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	return s.commit.commit(func(tx *bolt.Tx) error {
		b := tx.Bucket(s.bucket)
		for _, key := range keys {
			if err := b.Delete([]byte(key)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Clear implements kv.Storage.
func (s *Storage) Clear(context.Context) error {
	return s.commit.commit(func(tx *bolt.Tx) error {
		if err := tx.DeleteBucket(s.bucket); err != nil {
			return err
		}
		_, err := tx.CreateBucket(s.bucket)
		return err
	})
}

// Keys implements kv.Lister.
func (s *Storage) Keys(_ context.Context, prefix string, limit int) ([]string, error) {
	now := time.Now()
	var keys []string
	err := s.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(s.bucket).Cursor()
		for k, data := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)) && len(keys) < limit; k, data = c.Next() {
			if data == nil {
				continue // a bucket, of somebody else
			}
			_, _, x, err := parseValue(data)
			if err != nil {
				return fmt.Errorf("cannot read %.64q: %w", k, err)
			}
			if !x.Passed(now) {
				keys = append(keys, string(k))
			}
		}
		return nil
	})
	return keys, err
}
