package memory

import "time"

// A resource has one timer, for the hold that ends first. Every method looks at
// the clock itself, so the timer is only there for those that wait and for the
// memory: nothing goes wrong when it is late or early.

// arm makes sure that the timer fires when the next hold ends.
func (s *shard) arm(r *resource, now time.Time) {
	if s.closed {
		return
	}
	if r.timer != nil {
		if !r.due.Before(r.armed) && r.armed.After(now) {
			return // it fires before, and is armed again then
		}
		s.disarm(r)
	}
	r.armed = r.due
	s.owner.timers.Add(1)
	r.timer = time.AfterFunc(r.due.Sub(now), func() {
		defer s.owner.timers.Done()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.resources[r.name] == r && !s.closed {
			s.settle(r, time.Now())
		}
	})
}

func (s *shard) disarm(r *resource) {
	if r.timer != nil && r.timer.Stop() {
		s.owner.timers.Done()
	}
	r.timer = nil
}
