package http

import "sync/atomic"

// budget is the memory that the bodies of all requests and answers share. What
// finds no room goes to disk. It is safe for concurrent use.
type budget struct{ left atomic.Int64 }

func newBudget(bytes int64) *budget {
	b := new(budget)
	b.left.Store(bytes)
	return b
}

// take takes n bytes if there are so many.
func (b *budget) take(n int64) bool {
	if b.left.Add(-n) < 0 {
		b.left.Add(n)
		return false
	}
	return true
}

// force takes n bytes for what has to be in memory.
func (b *budget) force(n int64) { b.left.Add(-n) }

func (b *budget) give(n int64) { b.left.Add(n) }
