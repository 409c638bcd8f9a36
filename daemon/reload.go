package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/pool/worker"
	"github.com/rr-systemd/rrd/services/control"
)

// live are the keys (with everything below them) whose changes a reload
// applies. What else differs from the configuration at the start is reported as
// needing a restart.
var live = []string{"server.command", "server.dir", "server.env", "server.user", "server.group", "http.pool", "endure.grace_period", "logs"}

// fixed are exceptions below the live keys.
var fixed = []string{"http.pool.debug"}

// reloads lets one reload run at a time. Callers that come while one runs share
// the next: it reads the files after the last of them asked.
type reloads struct {
	mu      sync.Mutex
	running bool
	next    *reloadCall
}

type reloadCall struct {
	done   chan struct{}
	result *control.ReloadResult
	err    error
}

// Reload reads the configuration and boots a new generation of workers in every
// pool. When any of it fails the old one goes on serving.
func (d *Daemon) Reload(ctx context.Context) (*control.ReloadResult, error) {
	d.reloads.mu.Lock()
	call := d.reloads.next
	if call == nil {
		call = &reloadCall{done: make(chan struct{})}
		d.reloads.next = call
		if !d.reloads.running {
			d.reloads.running = true
			d.background.Go(d.runReloads)
		}
	}
	d.reloads.mu.Unlock()
	select {
	case <-call.done:
		return call.result, call.err
	case <-ctx.Done():
		return nil, fmt.Errorf("stopped waiting for the reload, which goes on: %w", context.Cause(ctx))
	}
}

func (d *Daemon) runReloads() {
	for {
		d.reloads.mu.Lock()
		call := d.reloads.next
		d.reloads.next = nil
		d.reloads.running = call != nil
		d.reloads.mu.Unlock()
		if call == nil {
			return
		}
		call.result, call.err = d.reload()
		close(call.done)
	}
}

// reload is one whole reload. It is not bound to the caller: a client that goes
// away does not leave the pools half way.
func (d *Daemon) reload() (*control.ReloadResult, error) {
	if d.health.to(Reloading, "") != nil {
		state, _, _ := d.health.get()
		err := fmt.Errorf("cannot reload while the daemon is %s", state)
		d.log.Warn(err.Error())
		return nil, err
	}
	_ = d.notify.Reloading()
	d.publishStatus()
	d.log.Info("reloading")
	result, err := d.swap()
	d.status.reloaded(err)
	if d.health.to(Ready, "") != nil {
		return result, err // a stop came meanwhile: systemd must not hear of ready again
	}
	d.assess()
	_ = d.notify.Ready(d.status.set(d.statusLine()))
	if err != nil {
		d.log.Error("reload failed, the old workers go on serving", logkey.Error, err)
		return nil, err
	}
	d.log.Info("reloaded", "needs_restart", strings.Join(result.NeedsRestart, ", "))
	return result, nil
}

// swap replaces the workers of all pools. Nothing is touched before the whole
// configuration is known to be good.
func (d *Daemon) swap() (*control.ReloadResult, error) {
	next, err := load(d.opts.Config)
	if err != nil {
		return nil, err
	}
	for _, w := range next.tree.Warnings() {
		d.log.Warn(w.String())
	}
	parts := d.parts()
	type plan struct {
		config pool.Config
		spec   worker.Spec
	}
	plans := make([]plan, len(parts))
	var errs []error
	for i, f := range parts {
		cfg, spec, err := f.plan(next)
		plans[i] = plan{cfg, spec}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	before := d.current()
	if err := d.logs.Reload(next.logs); err != nil {
		return nil, err
	}
	result := &control.ReloadResult{NeedsRestart: needRestart(d.boot, next)}
	for i, f := range parts {
		if err := f.pool.Reload(d.life, plans[i].config, plans[i].spec); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.name, explained(err)))
			continue
		}
		s := f.pool.Stats()
		result.Pools = append(result.Pools, control.PoolReload{Name: f.name, Generation: s.Generation, Workers: s.Workers})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, d.logs.Reload(before.logs))
	}
	d.mu.Lock()
	d.settings = next
	d.mu.Unlock()
	return result, nil
}

// reset replaces the workers of one frontend after the configuration on disk.
// What else has changed there waits for a reload.
func (d *Daemon) reset(ctx context.Context, f *frontend) error {
	if state, _, _ := d.health.get(); state == Starting || state >= Draining {
		return fmt.Errorf("cannot reset while the daemon is %s", state)
	}
	next, err := load(d.opts.Config)
	if err != nil {
		return err
	}
	cfg, spec, err := f.plan(next)
	if err != nil {
		return err
	}
	return explained(f.pool.Reload(ctx, cfg, spec))
}

// needRestart lists the keys that differ from those at the start and are not
// live, of the sections that are served.
func needRestart(boot, next *settings) []string {
	below := func(list []string, key string) bool {
		return slices.ContainsFunc(list, func(l string) bool { return key == l || strings.HasPrefix(key, l+".") })
	}
	return slices.DeleteFunc(config.Diff(boot.tree, next.tree), func(key string) bool {
		return !below(restartable, key) || below(live, key) && !below(fixed, key)
	})
}

// restartable are the sections whose changes a restart applies.
var restartable = []string{"server", "rpc", "http", "endure"}
