package pool

import (
	"sort"
	"sync/atomic"
	"time"
)

// WaitBounds are the upper bounds of the classes in which Waits counts; one
// class more is for all that is longer.
var WaitBounds = [...]time.Duration{
	time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute,
}

// Waits is how long requests have waited for a worker since the pool began. A
// request that found a free worker has waited for no time.
type Waits struct {
	// Counts has the requests of each class (not those of the classes below).
	Counts [len(WaitBounds) + 1]uint64
	Sum    time.Duration
	// Full, Late and GaveUp are requests that got no worker: max_queue_size
	// requests waited already; allocate_timeout or the deadline of the request
	// passed; its client went away.
	Full, Late, GaveUp uint64
}

// waits counts. A request that need not wait pays for one atomic addition.
type waits struct {
	counts             [len(WaitBounds) + 1]atomic.Uint64
	sum                atomic.Int64
	full, late, gaveUp atomic.Uint64
}

func (w *waits) add(d time.Duration) {
	w.counts[sort.Search(len(WaitBounds), func(i int) bool { return d <= WaitBounds[i] })].Add(1)
	w.sum.Add(int64(d))
}

func (w *waits) none() { w.counts[0].Add(1) }

// Waits counts the waits of requests.
func (p *Pool) Waits() Waits {
	w := Waits{
		Sum: time.Duration(p.waits.sum.Load()), Full: p.waits.full.Load(), Late: p.waits.late.Load(), GaveUp: p.waits.gaveUp.Load(),
	}
	for i := range w.Counts {
		w.Counts[i] = p.waits.counts[i].Load()
	}
	return w
}
