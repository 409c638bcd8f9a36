package boltdb

import bolt "go.etcd.io/bbolt"

// Stored counts what is in the file, expired or not.
func (s *Storage) Stored() (n int) {
	_ = s.db.View(func(tx *bolt.Tx) error {
		n = tx.Bucket(s.bucket).Stats().KeyN
		return nil
	})
	return n
}
