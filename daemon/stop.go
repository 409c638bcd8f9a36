package daemon

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// extendStep is how often systemd is asked for more time while requests drain,
// and by how much.
const extendStep = 5 * time.Second

// drain ends the daemon without losing a request: the frontends stop accepting
// and finish what they have, then the workers stop, then the programs of the section
// service, then the RPC socket closes, then the services save what the next process
// needs. All of it takes no longer than the grace period, apart from the time that
// workers and programs need to obey the stop order. failure is why the start failed, nil for
// a stop that was asked for.
//
// Requests that the grace period cuts off are no error: the daemon was asked to
// stop and did, so systemd must not start it again.
func (d *Daemon) drain(failure error) error {
	if failure == nil {
		_ = d.health.to(Draining, "stop requested")
		d.log.Info("stopping", "grace", d.grace().String())
	} else {
		_ = d.health.to(Draining, "the start failed")
	}
	_ = d.notify.Stopping()

	ctx, cancel := context.WithTimeout(d.patience, d.grace())
	defer cancel()
	extending, stopExtending := context.WithCancel(context.Background())
	var extender sync.WaitGroup
	extender.Go(func() { d.extendStopTimeout(extending) })

	err := each(d.parts(), func(f *frontend) error {
		if err := f.server.Shutdown(ctx); err == nil {
			return nil
		}
		if failure == nil {
			d.log.Warn("requests are cut off, they did not finish within the grace period", "frontend", f.name, logkey.Key, "endure.grace_period")
		}
		if err := f.server.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	err = errors.Join(err, each(d.allWorkers(), func(w *workers) error { return w.pool.Stop(ctx) }))
	d.drainServices(ctx)
	if d.rpc != nil {
		_ = d.rpc.server.Shutdown(ctx) // its only error is that calls were cut off
	}
	err = errors.Join(err, d.stopServices(ctx, failure))
	stopExtending()
	extender.Wait()
	_ = d.health.to(Stopped, "")
	return err
}

// each does something to all parts at once.
func each[T any](parts []T, do func(T) error) error {
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for i, p := range parts {
		wg.Go(func() { errs[i] = do(p) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// extendStopTimeout tells systemd that the drain makes progress, so that a
// grace period longer than TimeoutStopSec= is not cut off.
func (d *Daemon) extendStopTimeout(ctx context.Context) {
	tick := time.NewTicker(extendStep / 2)
	defer tick.Stop()
	for {
		_ = d.notify.ExtendTimeout(2 * extendStep)
		d.publishStatus()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
