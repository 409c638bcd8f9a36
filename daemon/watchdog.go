package daemon

import (
	"context"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// watchdogInterval is how often systemd hears WATCHDOG=1, 0 for never: every
// endure.watchdog_sec seconds, else at half of the unit's WatchdogSec=, so that
// one late message is no reason to be killed. A configured interval that the
// unit would kill us for is not used.
func (d *Daemon) watchdogInterval() time.Duration {
	if !d.notify.Enabled() {
		return 0
	}
	limit := d.notify.WatchdogInterval() / 2
	own := time.Duration(d.boot.endure.WatchdogSec) * time.Second
	switch {
	case own == 0:
		return limit
	case limit > 0 && own > limit:
		d.log.Warn("endure.watchdog_sec is more than half of WatchdogSec= of the unit and not used",
			logkey.Key, "endure.watchdog_sec", "interval", limit.String())
		return limit
	}
	return own
}

// heartbeat feeds the watchdog as long as every probe succeeds. A bare ticker,
// as other servers have it, keeps a daemon alive that accepts requests and
// answers none.
func (d *Daemon) heartbeat(ctx context.Context, every time.Duration, probe func(context.Context) error, feed func() error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, every/2)
		err := probe(limited)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			d.log.Error("dispatch makes no progress, the watchdog is not fed", logkey.Error, err)
		default:
			_ = feed()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// probe sends a ticket through the queue of every pool.
func (d *Daemon) probe(ctx context.Context) error {
	for _, w := range d.allWorkers() {
		if err := w.pool.Probe(ctx); err != nil {
			return err
		}
	}
	return nil
}
