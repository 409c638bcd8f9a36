package ipc

import "sync/atomic"

// Line counts the payloads of one kind, those of a route for example, while they
// wait for a worker. Its limit keeps one kind from filling a queue that others
// share. It is safe for concurrent use.
type Line struct {
	most    int64
	waiting atomic.Int64
}

// NewLine makes a line in which at most so many payloads wait.
func NewLine(most int) *Line { return &Line{most: int64(most)} }

// Enter takes a place, false if there is none. A nil line has room for all.
func (l *Line) Enter() bool {
	if l == nil {
		return true
	}
	if l.waiting.Add(1) > l.most {
		l.waiting.Add(-1)
		return false
	}
	return true
}

// Leave gives the place back that Enter has given.
func (l *Line) Leave() {
	if l != nil {
		l.waiting.Add(-1)
	}
}
