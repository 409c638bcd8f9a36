package daemon

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/rr-systemd/rrd/services/control"
)

// turns lets one reload or reset run at a time, in the order in which they were
// asked for. Callers that ask for one that waits already share it: it reads
// files and code after the last of them asked.
type turns struct {
	mu      sync.Mutex
	running bool
	waiting []*turn
}

type turn struct {
	reset  *workers // nil: a reload
	done   chan struct{}
	result *control.ReloadResult // of a reload
	err    error
}

// Reload reads the configuration and boots a new generation of workers in every
// pool. An error means that nothing changed; what happened to single pools is in
// the result. Where it failed the old workers go on serving, but see exchange.
func (d *Daemon) Reload(ctx context.Context) (*control.ReloadResult, error) {
	t, err := d.turn(ctx, nil)
	if err != nil {
		return nil, err
	}
	if t.result != nil {
		return t.result, nil
	}
	return nil, t.err
}

// Reset replaces the workers of one pool without reading the configuration.
// When the new ones do not boot, the old ones go on serving.
func (d *Daemon) Reset(ctx context.Context, w *workers) error {
	t, err := d.turn(ctx, w)
	if err != nil {
		return err
	}
	return t.err
}

// turn waits for a turn and returns it when it is over. The error is that of the
// wait. A turn is not bound to its callers: a client that goes away does not
// leave the pools half way.
func (d *Daemon) turn(ctx context.Context, reset *workers) (*turn, error) {
	d.turns.mu.Lock()
	var t *turn
	if i := slices.IndexFunc(d.turns.waiting, func(t *turn) bool { return t.reset == reset }); i >= 0 {
		t = d.turns.waiting[i]
	} else {
		t = &turn{reset: reset, done: make(chan struct{})}
		d.turns.waiting = append(d.turns.waiting, t)
		if !d.turns.running {
			d.turns.running = true
			d.background.Go(d.runTurns)
		}
	}
	d.turns.mu.Unlock()
	select {
	case <-t.done:
		return t, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("stopped waiting for the %s, which goes on: %w", t, context.Cause(ctx))
	}
}

func (t *turn) String() string {
	if t.reset == nil {
		return "reload"
	}
	return "reset"
}

func (d *Daemon) runTurns() {
	for {
		d.turns.mu.Lock()
		if len(d.turns.waiting) == 0 {
			d.turns.running = false
			d.turns.mu.Unlock()
			return
		}
		t := d.turns.waiting[0]
		d.turns.waiting = d.turns.waiting[1:]
		d.turns.mu.Unlock()
		d.take(t)
		close(t.done)
	}
}

// take is one whole turn, between two messages to systemd.
func (d *Daemon) take(t *turn) {
	if d.health.to(Reloading, "") != nil {
		state, _, _ := d.health.get()
		t.err = fmt.Errorf("cannot %s while the daemon is %s", t, state)
		return
	}
	_ = d.notify.Reloading()
	d.publishStatus()
	if t.reset == nil {
		t.result, t.err = d.reload()
	} else {
		t.err = d.reset(t.reset)
	}
	if d.health.to(Ready, "") != nil {
		return // a stop came meanwhile: systemd must not hear of ready again
	}
	d.assess()
	_ = d.notify.Ready(d.status.set(d.statusLine()))
}

// reloadBySignal reloads, or remembers during the start that it has to be done
// when the daemon is ready.
func (d *Daemon) reloadBySignal(ctx context.Context) {
	switch state, _, _ := d.health.get(); {
	case state >= Draining:
		d.log.Warn("a signal asks for a reload, the daemon is " + state.String())
		return
	case state == Starting:
		d.log.Info("a signal asks for a reload, it follows the start")
	}
	d.signalled.Store(true)
	d.reloadIfSignalled(ctx)
}

// reloadIfSignalled does what reloadBySignal has left over. Whoever comes second,
// the signal or the end of the start, finds both.
func (d *Daemon) reloadIfSignalled(ctx context.Context) {
	if state, _, _ := d.health.get(); state == Starting || !d.signalled.Swap(false) {
		return
	}
	// What becomes of it is in the log and in STATUS=.
	d.background.Go(func() { _, _ = d.Reload(ctx) })
}
