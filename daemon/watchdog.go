package daemon

import (
	"context"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// watch feeds systemd's watchdog as long as every pool dispatches. A bare
// ticker, as other servers have it, keeps a daemon alive that accepts requests
// and answers none.
func (d *Daemon) watch(ctx context.Context, interval time.Duration) {
	if interval <= 0 {
		return
	}
	// Half of the limit: one late tick is no reason to be killed.
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	for {
		if err := d.probe(ctx, interval/4); err != nil {
			d.log.Error("dispatch makes no progress, the watchdog is not fed", logkey.Error, err)
		} else {
			_ = d.notify.Watchdog()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// probe sends a ticket through the queue of every pool.
func (d *Daemon) probe(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, f := range d.frontends {
		if err := f.pool.Probe(ctx); err != nil {
			return err
		}
	}
	return nil
}
