package daemon

import (
	"context"

	"github.com/rr-systemd/rrd/pool/worker"
	"github.com/rr-systemd/rrd/services/informer"
)

// roadRunnerView is the daemon as RoadRunner's RPC services informer and
// resetter see it: a "plugin" is a pool, or a service with processes.
type roadRunnerView struct{ d *Daemon }

func (v roadRunnerView) Plugins() []string {
	var names []string
	for _, w := range v.d.allWorkers() {
		names = append(names, w.name)
	}
	for _, svc := range v.d.services {
		if svc.plugin != nil {
			names = append(names, svc.name)
		}
	}
	return names
}

func (v roadRunnerView) Workers(plugin string) []*informer.Worker {
	p := v.d.workers(plugin)
	if p == nil {
		if p := v.d.plugin(plugin); p != nil {
			return p.Workers()
		}
		return nil
	}
	workers := p.pool.Workers()
	list := make([]*informer.Worker, 0, len(workers))
	for _, w := range workers {
		if w.Cause != worker.NoCause {
			// It is let go; its successor is in the list. RoadRunner's reset
			// returns when the old ones are gone, and clients count on that.
			continue
		}
		list = append(list, &informer.Worker{
			Pid:         int64(w.PID),
			Status:      int64(w.State),
			NumExecs:    w.Execs,
			Created:     w.Created.UnixNano(),
			MemoryUsage: w.Memory,
			CPUPercent:  w.CPUPercent,
			StatusStr:   w.State.String(),
		})
	}
	return list
}

// Jobs is empty: no frontend with pipelines is served yet.
func (v roadRunnerView) Jobs(context.Context, string) []*informer.Job { return nil }

func (v roadRunnerView) AddWorker(ctx context.Context, plugin string) error {
	p := v.d.workers(plugin)
	if p == nil {
		return informer.ErrNotScalable
	}
	return p.pool.Add(ctx)
}

func (v roadRunnerView) RemoveWorker(ctx context.Context, plugin string) error {
	p := v.d.workers(plugin)
	if p == nil {
		return informer.ErrNotScalable
	}
	return p.pool.Remove(ctx)
}

// Reset replaces the workers of one plugin, which the caller has found in
// Plugins.
func (v roadRunnerView) Reset(ctx context.Context, plugin string) error {
	if p := v.d.plugin(plugin); p != nil {
		return p.Reset()
	}
	return v.d.Reset(ctx, v.d.workers(plugin))
}
