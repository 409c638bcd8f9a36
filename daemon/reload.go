package daemon

import (
	"errors"
	"slices"
	"strings"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/services/control"
)

// live are the keys (with everything below them) whose changes a reload
// applies. What else differs from the configuration at the start is reported as
// needing a restart.
var live = []string{"server.command", "server.dir", "server.env", "server.user", "server.group", "ipc.shm", "ipc.half", "http.pool", "http.pools", "http.routes", "http.max_request_size", "http.ssl.key", "http.ssl.cert", "http.ssl.root_ca", "http.http3.key", "http.http3.cert", "endure.grace_period", "logs"}

// fixed are exceptions below the live keys.
var fixed = []string{"http.pool.debug"}

// reload reads the configuration and boots a new generation of workers in every
// pool.
func (d *Daemon) reload() (*control.ReloadResult, error) {
	d.log.Info("reloading")
	text := "reload failed, the old workers go on serving"
	result, err := d.swap()
	if err == nil {
		// The error has what each pool serves: not all can always return.
		text, err = "reload failed", result.Err()
	}
	d.status.reloaded(err)
	if err != nil {
		d.reportFailure(text, err)
		return result, err
	}
	var attrs []any
	if len(result.NeedsRestart) > 0 {
		attrs = append(attrs, "needs_restart", strings.Join(result.NeedsRestart, ", "))
	}
	d.log.Info("reloaded", attrs...)
	return result, nil
}

// swap replaces the workers of all pools. Nothing is touched before the whole
// configuration is known to be good; an error means that nothing was. What
// became of each pool is in the result. The new settings are in force when all
// pools have them.
func (d *Daemon) swap() (*control.ReloadResult, error) {
	next, err := load(d.opts.Config)
	if err != nil {
		return nil, err
	}
	for _, text := range next.tree.Warnings() {
		d.log.Warn(text.String())
	}
	pools := d.allWorkers()
	plans := make([]plan, len(pools))
	var errs []error
	for i, w := range pools {
		cfg, spec, err := w.plan(next)
		plans[i] = plan{cfg, spec}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	frontends := d.parts()
	for _, f := range frontends {
		if f.check == nil {
			continue
		}
		if err := f.check(next); err != nil {
			return nil, err
		}
	}
	for _, svc := range d.services {
		if svc.check == nil {
			continue
		}
		if err := svc.check(next); err != nil {
			return nil, err
		}
	}
	before := d.current()
	if err := d.logs.Reload(next.logs); err != nil {
		return nil, err
	}
	result := &control.ReloadResult{NeedsRestart: needRestart(d.boot, next)}
	d.sizing.Store(next)
	for i, w := range pools {
		d.warnOfLimits(w.key, plans[i].config)
		d.warnOfIsolation(w.key, plans[i].config.Isolation)
	}
	result.Pools = d.exchange(pools, plans)
	if result.Err() != nil {
		d.sizing.Store(before)
		if err := d.logs.Reload(before.logs); err != nil {
			d.log.Error("cannot return to the former log outputs", logkey.Error, err)
		}
		return result, nil
	}
	for _, w := range pools {
		w.settings = next
	}
	d.mu.Lock()
	d.settings = next
	d.mu.Unlock()
	for _, f := range frontends {
		if f.apply != nil {
			f.apply(next)
		}
	}
	for _, svc := range d.services {
		if svc.reload == nil {
			continue
		}
		outcome := control.PoolReload{Name: svc.name}
		if err := svc.reload(next); err != nil {
			outcome.Error = err.Error()
		}
		result.Pools = append(result.Pools, outcome)
	}
	return result, nil
}

// reset replaces the workers of one pool, after the settings that they have.
// Only the code and the folder to which server.dir leads are new.
func (d *Daemon) reset(w *workers) error {
	d.log.Info("resetting", logkey.Pool, w.name)
	cfg, spec, err := w.plan(w.settings)
	if err == nil {
		err = explained(w.pool.Reload(d.life, cfg, spec))
	}
	if err != nil {
		d.reportFailure("reset failed, the old workers go on serving", err)
		return err
	}
	d.log.Info("reset", logkey.Pool, w.name, logkey.Generation, w.pool.Stats().Generation)
	return nil
}

// reportFailure makes the one record of a reload or reset that failed. The
// callers get the error too, but nobody may be there any more, or it was asked
// for by a signal.
func (d *Daemon) reportFailure(text string, err error) {
	if state, _, _ := d.health.get(); state == Reloading { // else a stop ended it
		d.log.Error(text, logkey.Error, err)
	}
}

// needRestart lists the keys that differ from those at the start and are not
// live, of the sections that are served.
func needRestart(boot, next *settings) []string {
	below := func(list []string, key string) bool {
		return slices.ContainsFunc(list, func(l string) bool { return key == l || strings.HasPrefix(key, l+".") })
	}
	sections := slices.Concat(restartable(boot.tree), restartable(next.tree))
	applied := live
	if boot.modules["service"] != nil {
		applied = append(slices.Clip(live), "service")
	}
	return slices.DeleteFunc(config.Diff(boot.tree, next.tree), func(key string) bool {
		if name, ok := strings.CutPrefix(key, "http.pools."); ok && boot.http != nil {
			name, _, _ = strings.Cut(name, ".")
			if boot.http.Pools[name] == nil {
				return false // a pool that is not there
			}
		}
		return !below(sections, key) || below(applied, key) && !below(fixed, key)
	})
}

// restartable are the sections whose changes a restart applies.
func restartable(tree *config.Tree) []string {
	sections := []string{"server", "rpc", "http", "endure", "ipc"}
	for _, m := range modules {
		sections = append(sections, m.sections...)
		if m.named != nil {
			sections = append(sections, m.named(tree)...)
		}
	}
	return sections
}
