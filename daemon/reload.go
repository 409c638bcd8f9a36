package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/services/control"
)

// live are the keys (with everything below them) whose changes a reload
// applies. What else has changed is reported as needing a restart.
var live = []string{"server.command", "server.dir", "server.env", "server.user", "server.group", "http.pool", "endure.grace_period", "logs"}

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
	if err := d.health.to(Reloading, ""); err != nil {
		return nil, fmt.Errorf("cannot reload: %w", err)
	}
	_ = d.notify.Reloading()
	d.publishStatus()
	d.log.Info("reloading")
	result, err := d.swap()
	// Not an error when a stop came meanwhile.
	_ = d.health.to(Ready, "")
	d.assess()
	_ = d.notify.Ready(d.statusLine())
	if err != nil {
		d.log.Error("reload failed, the old workers go on serving", logkey.Error, err)
		return nil, err
	}
	d.log.Info("reloaded", "needs_restart", strings.Join(result.NeedsRestart, ", "))
	return result, nil
}

func (d *Daemon) swap() (*control.ReloadResult, error) {
	next, err := load(d.opts.Config)
	if err != nil {
		return nil, err
	}
	result := &control.ReloadResult{NeedsRestart: needRestart(d.current(), next)}
	var errs []error
	for _, f := range d.frontends {
		cfg, spec, err := f.next(next)
		if err == nil {
			err = f.pool.Reload(d.life, cfg, spec)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.name, explained(err)))
			continue
		}
		s := f.pool.Stats()
		result.Pools = append(result.Pools, control.PoolReload{Name: f.name, Generation: s.Generation, Workers: s.Workers})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := d.logs.Reload(next.logs); err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.settings = next
	d.mu.Unlock()
	return result, nil
}

// needRestart lists the changed keys that are not live.
func needRestart(before, after *settings) []string {
	var keys []string
	for _, key := range config.Diff(before.tree, after.tree) {
		isLive := false
		for _, l := range live {
			isLive = isLive || key == l || strings.HasPrefix(key, l+".") || strings.HasPrefix(key, l+"[")
		}
		if !isLive {
			keys = append(keys, key)
		}
	}
	return keys
}
