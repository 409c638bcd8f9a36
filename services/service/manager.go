package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// ErrClosed: the daemon stops.
var ErrClosed = errors.New("cannot start a service: the server is stopping")

// Options of a Manager.
type Options struct {
	Spawner Spawner
	// Log is without a channel; records are for the channel service, or
	// service.NAME with service_name_in_log.
	Log *slog.Logger
	// Changed is called when Problem may have another answer; it may be nil.
	Changed func()
}

// Manager runs the services.
type Manager struct {
	opts Options
	wg   sync.WaitGroup // of the processes

	hurried context.Context // a stop may not take its time any more
	hurry   context.CancelFunc

	mu     sync.Mutex
	closed bool
	groups map[string]*group
}

// group is a service. Its mutex lets one change at a time happen.
type group struct {
	name      string
	created   bool // over RPC
	settings  *Settings
	processes []*process // fixed

	mu   sync.Mutex
	gone bool
}

// New returns a manager without services.
func New(opts Options) *Manager {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Changed == nil {
		opts.Changed = func() {}
	}
	m := &Manager{opts: opts, groups: make(map[string]*group)}
	m.hurried, m.hurry = context.WithCancel(context.Background())
	return m
}

// Start starts all services of a configuration. When one does not start, those
// before it run on; the caller closes the manager.
func (m *Manager) Start(c Config) error {
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		if err := m.add(name, c.Services[name], false); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// Create adds a service and starts it. When one of its processes does not start,
// the others are stopped again and the error is returned.
func (m *Manager) Create(name string, s *Settings) error { return m.add(name, s, true) }

func (m *Manager) add(name string, s *Settings, created bool) error {
	g := &group{name: name, created: created, settings: s, processes: m.processes(name, s)}
	g.mu.Lock()
	defer g.mu.Unlock()
	m.mu.Lock()
	switch {
	case m.closed:
		m.mu.Unlock()
		return ErrClosed
	case m.groups[name] != nil:
		m.mu.Unlock()
		return fmt.Errorf("the service with %s name already exists", name)
	}
	m.groups[name] = g
	m.mu.Unlock()

	for _, p := range g.processes {
		if err := p.start(&m.wg, m.hurried, false); err != nil {
			m.remove(g)
			return err
		}
	}
	return nil
}

func (m *Manager) processes(name string, s *Settings) []*process {
	channel := "service"
	if s.ServiceNameInLog {
		channel += "." + name
	}
	log := m.opts.Log.With(logkey.Logger, channel)
	list := make([]*process, s.ProcessNum)
	for i := range list {
		list[i] = &process{service: name, settings: s, spawner: m.opts.Spawner, log: log, changed: m.opts.Changed}
	}
	return list
}

// remove stops a group that the caller has locked.
func (m *Manager) remove(g *group) {
	var stopping sync.WaitGroup
	for _, p := range g.processes {
		stopping.Go(p.halt)
	}
	stopping.Wait()
	g.gone = true
	m.mu.Lock()
	delete(m.groups, g.name)
	m.mu.Unlock()
}

// take finds a service and locks it.
func (m *Manager) take(name string) (*group, error) {
	m.mu.Lock()
	g := m.groups[name]
	m.mu.Unlock()
	if g != nil {
		g.mu.Lock()
		if !g.gone {
			return g, nil
		}
		g.mu.Unlock()
	}
	return nil, fmt.Errorf("the service with %s name doesn't exist", name)
}

// Terminate stops and removes a service. It returns when its processes are gone.
func (m *Manager) Terminate(name string) error {
	g, err := m.take(name)
	if err != nil {
		return err
	}
	defer g.mu.Unlock()
	m.remove(g)
	return nil
}

// Restart stops and starts the processes of a service, one after the other, also
// those that had ended.
func (m *Manager) Restart(name string) error {
	g, err := m.take(name)
	if err != nil {
		return err
	}
	defer g.mu.Unlock()
	return m.restart(g)
}

func (m *Manager) restart(g *group) error {
	var errs []error
	for _, p := range g.processes {
		p.halt()
		p.mu.Lock()
		p.failures = 0
		p.mu.Unlock()
		m.mu.Lock()
		closed := m.closed
		m.mu.Unlock()
		if closed {
			return ErrClosed
		}
		errs = append(errs, p.start(&m.wg, m.hurried, true))
	}
	return errors.Join(errs...)
}

// RestartAll is Restart of all services.
func (m *Manager) RestartAll() error {
	var errs []error
	for _, name := range m.List() {
		if g, err := m.take(name); err == nil {
			errs = append(errs, m.restart(g))
			g.mu.Unlock()
		}
	}
	return errors.Join(errs...)
}

// Apply is a reload: services that are new are started, those that are gone are
// stopped, and all others are restarted with their new settings, those that were
// created over RPC with the ones that they have.
func (m *Manager) Apply(c Config) error {
	var errs []error
	for _, name := range m.List() {
		g, err := m.take(name)
		if err != nil {
			continue // terminated meanwhile
		}
		s := c.Services[name]
		switch {
		case s == nil && g.created:
			errs = append(errs, m.restart(g))
		case s == nil || !reflect.DeepEqual(s, g.settings):
			m.remove(g)
		default:
			errs = append(errs, m.restart(g))
		}
		g.mu.Unlock()
	}
	known := m.List()
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		if slices.Contains(known, name) {
			continue
		}
		if err := m.add(name, c.Services[name], false); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// List returns the names, sorted.
func (m *Manager) List() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.groups))
}

// Statuses returns the processes of a service. It does not wait for a change that
// is under way.
func (m *Manager) Statuses(name string) ([]Status, error) {
	m.mu.Lock()
	g := m.groups[name]
	m.mu.Unlock()
	if g == nil {
		return nil, fmt.Errorf("the service with %s name doesn't exist", name)
	}
	return g.statuses(), nil
}

func (g *group) statuses() []Status {
	list := make([]Status, len(g.processes))
	for i, p := range g.processes {
		list[i] = p.status()
	}
	return list
}

// Processes returns those of all services.
func (m *Manager) Processes() []Status {
	var list []Status
	for _, name := range m.List() {
		s, _ := m.Statuses(name)
		list = append(list, s...)
	}
	return list
}

// Problem names the services that fail over and over, "" if there is none.
func (m *Manager) Problem() string {
	m.mu.Lock()
	groups := slices.Collect(maps.Values(m.groups))
	m.mu.Unlock()
	slices.SortFunc(groups, func(a, b *group) int { return strings.Compare(a.name, b.name) })
	for _, g := range groups {
		for _, p := range g.processes {
			if why := p.problem(); why != "" {
				return why
			}
		}
	}
	return ""
}

// Close stops all services at once, each within its timeout_stop_sec, and returns
// when nothing of them is left. When ctx ends they are killed.
func (m *Manager) Close(ctx context.Context) {
	m.mu.Lock()
	m.closed = true
	groups := slices.Collect(maps.Values(m.groups))
	m.mu.Unlock()
	defer context.AfterFunc(ctx, m.hurry)()
	var stopping sync.WaitGroup
	for _, g := range groups {
		stopping.Go(func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			if !g.gone {
				m.remove(g)
			}
		})
	}
	stopping.Wait()
	m.wg.Wait()
	m.hurry()
}
