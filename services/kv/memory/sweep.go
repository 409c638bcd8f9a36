package memory

import (
	"context"
	"math"
	"time"
)

const (
	// sweepEvery is the shortest time between two sweeps. It bounds how long an
	// expired key keeps its memory, not how long it is seen.
	sweepEvery = time.Second
	// sweepBatch is how many keys go under one hold of a shard's lock.
	sweepBatch = 1000
)

// Run frees the memory of expired keys until ctx ends. It sleeps as long as no
// key has an expiry.
func (s *Storage) Run(ctx context.Context) error {
	timer := time.NewTimer(sweepEvery)
	defer timer.Stop()
	running := true
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			if running {
				continue // the timer may not be put off again and again
			}
		case <-timer.C:
			running = s.sweep(time.Now().UnixNano())
			if !running {
				continue
			}
		}
		timer.Reset(sweepEvery)
		running = true
	}
}

// sweep drops what has expired and tells whether more will.
func (s *Storage) sweep(wall int64) (more bool) {
	for i := range s.shards {
		sh := &s.shards[i]
		for sh.next.Load() <= wall {
			sh.mu.Lock()
			sh.sweep(wall, sweepBatch)
			sh.mu.Unlock()
		}
		more = more || sh.next.Load() != math.MaxInt64
	}
	return more
}
