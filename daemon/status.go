package daemon

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// statusEvery is how often STATUS= is renewed while nothing special happens.
const statusEvery = 5 * time.Second

// statusText is the line that systemd has, and what the next one adds to the
// figures.
type statusText struct {
	mu     sync.Mutex
	sent   string
	reload string // why the last reload failed, "" if it did not
}

func (t *statusText) set(line string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent = line
	return line
}

func (t *statusText) differs(line string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed := t.sent != line
	t.sent = line
	return changed
}

func (t *statusText) reloaded(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reload = ""
	if err != nil {
		t.reload, _, _ = strings.Cut(err.Error(), "\n")
	}
}

func (t *statusText) reloadProblem() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reload
}

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

// assess judges the pools and publishes a change. A pool is in trouble when
// workers are missing, and neither being started nor waiting for the end of those
// whose place they take, that is when starts fail; or when workers fail over and
// over. It is well again when all of its workers are ready and stay so. So the
// ordinary replacement of a worker is no news.
func (d *Daemon) assess() {
	var short, trouble []string
	for _, w := range d.allWorkers() {
		s := w.pool.Stats()
		if s.CrashLoop != "" {
			text := w.name + ": " + s.CrashLoop
			short, trouble = append(short, text), append(trouble, text)
		}
		if s.Workers >= s.Target {
			continue
		}
		text := fmt.Sprintf("%s has %d of %d workers", w.name, s.Workers, s.Target)
		short = append(short, text)
		if s.Workers+s.Starting+s.Ending < s.Target {
			trouble = append(trouble, text)
		}
	}
	for _, svc := range d.services {
		if svc.problem == nil {
			continue
		}
		if text := svc.problem(); text != "" {
			text = svc.name + ": " + text
			short, trouble = append(short, text), append(trouble, text)
		}
	}
	for _, f := range d.parts() {
		if f.problem == nil {
			continue
		}
		if text := f.problem(); text != "" {
			text = f.name + ": " + text
			short, trouble = append(short, text), append(trouble, text)
		}
	}
	problem := strings.Join(short, ", ")
	if !d.health.assess(problem, len(trouble) > 0) {
		return
	}
	// The log is where people look first who come after the trouble is over.
	if problem != "" {
		d.log.Warn("degraded", logkey.Error, problem)
	} else {
		d.log.Info("ready again, no longer degraded")
	}
	d.publishStatus()
}

func (d *Daemon) publishStatus() {
	if line := d.statusLine(); d.status.differs(line) {
		_ = d.notify.Status(line)
	}
}

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
	for _, w := range d.allWorkers() {
		s := w.pool.Stats()
		parts = append(parts, fmt.Sprintf("%s %d/%d idle, queue %d, %s requests", w.name, s.Ready, s.Workers, s.Waiting, short(w.served())))
	}
	if why := d.status.reloadProblem(); why != "" {
		parts = append(parts, "the last reload failed: "+why)
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
