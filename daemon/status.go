package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// statusEvery is how often STATUS= is renewed while nothing special happens.
const statusEvery = 5 * time.Second

// keepStatus keeps the line that `systemctl status` shows up to date.
func (d *Daemon) keepStatus(ctx context.Context) {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			d.assess()
			d.publishStatus()
		}
	}
}

// assess judges the pools and publishes a change.
func (d *Daemon) assess() {
	var problems []string
	for _, f := range d.frontends {
		if s := f.pool.Stats(); s.Workers < s.Target {
			problems = append(problems, fmt.Sprintf("%s has %d of %d workers", f.name, s.Workers, s.Target))
		}
	}
	if d.health.assess(strings.Join(problems, ", ")) {
		d.publishStatus()
	}
}

func (d *Daemon) publishStatus() { _ = d.notify.Status(d.statusLine()) }

// statusLine is for people: "http 4/4 idle, queue 0, 12.3k requests".
func (d *Daemon) statusLine() string {
	state, reason, _ := d.health.get()
	var parts []string
	if state != Ready {
		text := state.String()
		if reason != "" {
			text += " (" + reason + ")"
		}
		parts = append(parts, text)
	}
	for _, f := range d.frontends {
		s := f.pool.Stats()
		parts = append(parts, fmt.Sprintf("%s %d/%d idle, queue %d, %s requests", f.name, s.Ready, s.Workers, s.Waiting, short(f.requests())))
	}
	return strings.Join(parts, "; ")
}

// short writes 12345 as 12.3k.
func short(n uint64) string {
	switch {
	case n < 1000:
		return fmt.Sprint(n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1fk", float64(n)/1e3)
	default:
		return fmt.Sprintf("%.1fM", float64(n)/1e6)
	}
}
