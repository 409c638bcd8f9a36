package daemon

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/prometheus/common/expfmt"

	"github.com/rr-systemd/rrd/services/control"
)

// controlView is the daemon as rrctl sees it.
type controlView struct{ d *Daemon }

func (v controlView) Status() control.Status {
	d := v.d
	state, reason, since := d.health.get()
	s := control.Status{
		Instance:  d.opts.Instance,
		Version:   Version,
		PID:       os.Getpid(),
		State:     state.String(),
		Reason:    reason,
		Since:     since,
		Started:   d.started,
		Listeners: []control.Listener{},
		Pools:     []control.Pool{},
	}
	if files := d.current().tree.Files(); len(files) > 0 {
		s.Config = files[0]
	}
	for _, b := range d.sockets.open() {
		s.Listeners = append(s.Listeners, control.Listener{Name: b.name, Network: b.addr.Network(), Address: b.addr.String(), Inherited: b.inherited})
	}
	for _, w := range d.allWorkers() {
		p := w.pool.Stats()
		s.Pools = append(s.Pools, control.Pool{
			Name: w.name, Generation: p.Generation, Workers: p.Workers, Target: p.Target,
			Ready: p.Ready, Working: p.Working, Draining: p.Draining, Queue: p.Waiting, Execs: p.Execs,
		})
		s.Queue += p.Waiting
	}
	for _, f := range d.parts() {
		s.HTTPRequests += f.requests()
	}
	return s
}

func (v controlView) Workers() []control.Worker {
	var list []control.Worker
	for _, p := range v.d.allWorkers() {
		for _, w := range p.pool.Workers() {
			c := control.Worker{
				Pool: p.name, PID: w.PID, State: w.State.String(), Generation: w.Generation,
				Created: w.Created, Execs: w.Execs, Memory: w.Memory, MemoryPeak: w.Peak, CPUPercent: w.CPUPercent,
				Transport: w.Transport, LastCause: w.Before.String(),
			}
			if w.RequestAge > 0 {
				c.Request = &control.Request{ID: w.Request.ID, Label: w.Request.Label, Detail: w.Request.Detail, Age: w.RequestAge.Seconds()}
			}
			list = append(list, c)
		}
	}
	return list
}

// Metrics are those that the metrics endpoint shows, also without one.
func (v controlView) Metrics() (string, error) {
	families, err := v.d.metrics.Gather()
	if err != nil {
		return "", fmt.Errorf("cannot gather the metrics: %w", err)
	}
	var b strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			return "", fmt.Errorf("cannot write the metric %s: %w", f.GetName(), err)
		}
	}
	return b.String(), nil
}

func (v controlView) Reload(ctx context.Context) (*control.ReloadResult, error) {
	return v.d.Reload(ctx)
}

// Stop begins the drain. Forced, it also ends the running requests: the grace
// period is over at once.
func (v controlView) Stop(r control.StopRequest) error {
	if r.Force {
		v.d.hurry()
	}
	v.d.stop()
	return nil
}
