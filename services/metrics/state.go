package metrics

import (
	"encoding/gob"
	"fmt"
	"io"
	"maps"
	"slices"
)

// saved is a collector as the next process gets it: gob, one after the other.
// Values of another definition than the present one are dropped.
type saved struct {
	Name       string
	Configured bool
	Collector  Collector
	Series     []savedSeries
}

type savedSeries struct {
	Labels []string
	Value  float64
	Count  uint64
	Above  []uint64
}

// Save writes all collectors and their values.
func (s *Service) Save(w io.Writer) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	enc := gob.NewEncoder(w)
	for _, name := range slices.Sorted(maps.Keys(s.collectors)) {
		if err := enc.Encode(s.collectors[name].saved()); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) saved() *saved {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &saved{Name: c.name, Configured: c.configured, Collector: c.Collector}
	for _, s := range c.series {
		out.Series = append(out.Series, savedSeries{s.labels, s.value, s.count, s.above})
	}
	return out
}

// Restore takes over what Save wrote. A collector of the application is declared
// again; one of the configuration only gets its values back, if it is still
// there and means the same.
func (s *Service) Restore(r io.Reader) error {
	dec := gob.NewDecoder(r)
	for {
		var one saved
		switch err := dec.Decode(&one); {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("cannot read the metrics from before the restart: %w", err)
		}
		if c := s.again(&one); c != nil {
			c.restore(one.Series)
		}
	}
}

// again finds or declares the collector whose values these are; nil if it is not
// wanted any more.
func (s *Service) again(one *saved) *collector {
	c := s.find(one.Name)
	if c == nil && !one.Configured {
		fresh, err := newCollector(one.Name, one.Collector)
		if err == nil {
			err = s.register(fresh)
		}
		if err != nil {
			s.log.Warn("a metric from before the restart is dropped", "metric", one.Name, "error", err)
			return nil
		}
		return fresh
	}
	if c == nil || !c.sameAs(&one.Collector) {
		s.log.Info("the values of a metric from before the restart are dropped: its definition has changed", "metric", one.Name)
		return nil
	}
	return c
}

// sameAs tells whether values can be taken over.
func (c *collector) sameAs(o *Collector) bool {
	return c.Namespace == o.Namespace && c.Subsystem == o.Subsystem && c.Type == o.Type &&
		slices.Equal(c.Labels, o.Labels) && slices.Equal(c.Buckets, o.Buckets)
}

func (c *collector) restore(list []savedSeries) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, old := range list {
		s, err := c.at(old.Labels)
		if err != nil || len(old.Above) != len(s.above) {
			continue // not written by Save
		}
		s.value, s.count = old.Value, old.Count
		copy(s.above, old.Above)
	}
}
