package daemon

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/services/informer"
)

// module is a part of the configuration that brings a service: kv, lock, ...
type module struct {
	name     string   // of the section, and in messages
	sections []string // all top-level keys that it reads
	// named returns further ones, which the configuration itself names.
	named func(*config.Tree) []string
	// settings returns what the section is decoded into, nil if the module is
	// off.
	settings func(*config.Tree) section
	// beside says that it does not make a daemon by itself: it is on without a
	// section too, or serves the others only.
	beside bool
	// socket is the name and the configured address of what it listens on; nil if
	// it does not.
	socket func(section) (name, dsn string)
	// start acquires what the service needs and registers its RPC methods. It
	// runs before any worker; nothing of the service is called before that.
	start func(*Daemon, *settings) (*service, error)
}

// modules are all services, in the order in which they are started. Each has a
// file of its own, and a line here.
var modules = []module{otelModule, fileserverModule, kvModule, lockModule, metricsModule, serviceModule, statusModule}

// service is a module at work. All of its functions may be nil.
type service struct {
	name string
	// run blocks until its context ends, which is after everything else has
	// stopped. Its unexpected end stops the daemon.
	run func(context.Context) error
	// problem says why the daemon is degraded, "" if it is not.
	problem func() string
	// check finds mistakes in new settings, before anything is touched.
	check func(*settings) error
	// reload applies new settings, after the pools have their new workers.
	reload func(*settings) error
	// plugin is what RoadRunner's informer and resetter see of it, nil: nothing.
	plugin plugin
	// drain comes when the workers have stopped and RPC still answers: it ends
	// what waits in RPC calls, which the stop of the RPC server would wait for,
	// and what calls RPC itself. When ctx ends it may not take its time.
	drain func(ctx context.Context)
	// save writes what the next process gets from Daemon.saved when this one is
	// restarted. Workers and RPC clients are gone by then.
	save func(io.Writer) error
	// close frees everything. It comes last.
	close func() error
}

// plugin is a service that has processes of its own.
type plugin interface {
	Workers() []*informer.Worker
	Reset() error
}

// startServices starts the modules that are on. On error those that were
// started are closed by the drain.
func (d *Daemon) startServices(s *settings) error {
	for _, m := range modules {
		if s.modules[m.name] == nil {
			continue
		}
		svc, err := m.start(d, s)
		if err != nil {
			return &StartError{Phase: PhaseServe, Section: m.name, Err: err}
		}
		svc.name = m.name
		d.services = append(d.services, svc)
		if svc.run != nil {
			d.run(m.name, svc.run)
		}
	}
	return d.sockets.dropState()
}

// serves reports whether a module was asked for.
func (s *settings) serves() bool {
	return slices.ContainsFunc(modules, func(m module) bool { return s.modules[m.name] != nil && !m.beside })
}

// drainServices is in the reverse order of the start.
func (d *Daemon) drainServices(ctx context.Context) {
	for _, svc := range slices.Backward(d.services) {
		if svc.drain != nil {
			svc.drain(ctx)
		}
	}
}

// plugin finds a service that has processes, nil if there is none of that name.
func (d *Daemon) plugin(name string) plugin {
	for _, svc := range d.services {
		if svc.name == name {
			return svc.plugin
		}
	}
	return nil
}

// stopServices saves and closes. Nothing is saved after a start that failed.
func (d *Daemon) stopServices(ctx context.Context, failure error) error {
	var errs []error
	if failure == nil {
		errs = append(errs, d.saveState(ctx))
	}
	for _, svc := range d.services {
		if svc.close != nil {
			errs = append(errs, svc.close())
		}
	}
	return errors.Join(errs...)
}
