package boltdb

import (
	"errors"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// committer makes one transaction of all changes that wait while the one before
// is written to the disk, which is what takes time: calls that come alone are as
// quick as bbolt is, many at once share the disk's work. bbolt's own Batch would
// let a call that comes alone wait for others.
type committer struct {
	db *bolt.DB

	writing sync.Mutex // held by the one who commits
	mu      sync.Mutex
	waiting []*change
}

// change is what one call does. Calls of one transaction are done in the order of
// arrival, and one that fails fails them all: apply must not fail for reasons of
// its own.
type change struct {
	apply func(*bolt.Tx) error
	done  bool // guarded by committer.writing
	err   error
}

// errAborted: bbolt panicked, as it does when the file is damaged.
var errAborted = errors.New("the transaction was aborted")

// commit applies a change and returns when it is on the disk.
func (c *committer) commit(apply func(*bolt.Tx) error) error {
	own := &change{apply: apply}
	c.mu.Lock()
	c.waiting = append(c.waiting, own)
	c.mu.Unlock()

	c.writing.Lock()
	defer c.writing.Unlock()
	if own.done {
		return own.err
	}
	c.mu.Lock()
	all := c.waiting
	c.waiting = nil
	c.mu.Unlock()
	err := errAborted // unless Update returns
	defer func() {
		for _, other := range all {
			other.done, other.err = true, err
		}
	}()
	err = c.db.Update(func(tx *bolt.Tx) error {
		for _, other := range all {
			if err := other.apply(tx); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}
