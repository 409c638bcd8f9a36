package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// extendStep is how often systemd is asked for more time while requests drain,
// and by how much.
const extendStep = 5 * time.Second

// drain ends the daemon without losing a request: the frontends stop accepting
// and finish what they have, then the workers stop, then the RPC socket closes.
// All of it takes no longer than the grace period, apart from the time that
// workers need to obey the stop order.
func (d *Daemon) drain() error {
	if err := d.health.to(Draining, "stop requested"); err != nil {
		return err
	}
	_ = d.notify.Stopping()
	d.publishStatus()
	d.log.Info("stopping", "grace", d.grace().String())

	ctx, cancel := context.WithTimeout(d.patience, d.grace())
	defer cancel()
	extending, stopExtending := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.extendStopTimeout(extending)
	}()

	var errs []error
	for _, f := range d.frontends {
		if f.server == nil {
			continue // the start failed before there was one
		}
		if err := f.server.Shutdown(ctx); err != nil {
			d.log.Warn("not all requests could finish within the grace period", "frontend", f.name, logkey.Error, err)
			errs = append(errs, f.server.Close())
		}
	}
	for _, f := range d.frontends {
		if err := f.pool.Stop(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, d.rpc.shutdown(ctx))
	stopExtending()
	<-done
	_ = d.health.to(Stopped, "")
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
