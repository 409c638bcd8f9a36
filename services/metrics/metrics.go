// Package metrics is the RPC service "metrics", with which applications keep
// metrics of their own, and the page that Prometheus reads.
package metrics

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Service has the collectors of the application. They are found by the name
// they were declared with, without namespace and subsystem.
type Service struct {
	registry prometheus.Registerer
	log      *slog.Logger

	mu         sync.RWMutex
	collectors map[string]*collector
}

// New declares the collectors of the configuration, which is valid, in the
// registry. After an error it has taken them out again.
func New(c Config, registry prometheus.Registerer, log *slog.Logger) (*Service, error) {
	s := &Service{registry: registry, log: log, collectors: make(map[string]*collector)}
	for _, name := range slices.Sorted(maps.Keys(c.Collect)) {
		one, err := newCollector(name, c.Collect[name].Collector)
		if err == nil {
			one.configured = true
			err = s.register(one)
		}
		if err != nil {
			for _, done := range s.collectors {
				registry.Unregister(done)
			}
			return nil, &KeyError{"metrics.collect." + name, err.Error(), "choose another name"}
		}
	}
	return s, nil
}

// register makes a collector known.
func (s *Service) register(c *collector) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.collectors[c.name] != nil {
		return fmt.Errorf("tried to register existing collector with the name `%s`", c.name)
	}
	if err := s.registry.Register(c); err != nil {
		return err
	}
	s.collectors[c.name] = c
	return nil
}

func (s *Service) find(name string) *collector {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.collectors[name]
}

// declare makes a collector known, and changes nothing if its name is: every
// worker declares at its start. RoadRunner does not look whether it is the same
// one; here at least the log tells.
func (s *Service) declare(name string, c Collector) error {
	if old := s.find(name); old != nil {
		s.compare(old, c)
		return nil
	}
	if !c.known() {
		return fmt.Errorf("unknown collector type %s", c.Type)
	}
	fresh, err := newCollector(name, c)
	if err != nil {
		return err
	}
	err = s.register(fresh)
	if old := s.find(name); err != nil && old != nil { // another worker was quicker
		s.compare(old, c)
		return nil
	}
	return err
}

func (s *Service) compare(old *collector, c Collector) {
	if old.Type != c.Type || !slices.Equal(old.Labels, c.Labels) {
		s.log.Warn("a metric is declared anew with another type or other labels; it stays as it was until it is unregistered or the instance is restarted",
			"metric", old.name, "type", old.Type, "labels", old.Labels, "new_type", c.Type, "new_labels", c.Labels)
	}
}

// unregister forgets a collector; false if there is none.
func (s *Service) unregister(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.collectors[name]
	if c == nil {
		return false
	}
	s.registry.Unregister(c)
	delete(s.collectors, name)
	return true
}

// Close takes the collectors out of the registry.
func (s *Service) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for name, c := range s.collectors {
		if !s.registry.Unregister(c) {
			errs = append(errs, fmt.Errorf("cannot forget the metric %s", name))
		}
	}
	clear(s.collectors)
	return errors.Join(errs...)
}
