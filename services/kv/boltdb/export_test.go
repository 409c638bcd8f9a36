package boltdb

import bolt "go.etcd.io/bbolt"

// Keys counts what is in the file, expired or not.
func (s *Storage) Keys() (n int) {
	_ = s.db.View(func(tx *bolt.Tx) error {
		n = tx.Bucket(s.bucket).Stats().KeyN
		return nil
	})
	return n
}
