package daemon

import (
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/pool/cgroup"
	"github.com/rr-systemd/rrd/pool/worker"
	"github.com/rr-systemd/rrd/services/metrics"
)

// poolMetrics are the pools as the metrics page shows them.
func (d *Daemon) poolMetrics() []metrics.Pool {
	var list []metrics.Pool
	for _, w := range d.allWorkers() {
		s := w.pool.Stats()
		p := metrics.Pool{
			Name: w.name, Ready: s.Ready, Working: s.Working, Starting: s.Starting, Draining: s.Draining, Ending: s.Ending,
			Target: s.Target, Waiting: s.Waiting, Execs: s.Execs, Generation: s.Generation, CrashLoop: s.CrashLoop != "",
			Wait: waitMetrics(w.pool.Waits()),
		}
		for _, one := range w.pool.Workers() {
			if one.Cause == worker.NoCause { // as in informer.Workers
				p.Workers = append(p.Workers, metrics.Worker{PID: one.PID, State: one.State.String(), Memory: one.Memory})
			}
		}
		if u, ok := w.pool.Usage(); ok {
			p.Usage = usageMetrics(u)
		}
		list = append(list, p)
	}
	return list
}

func waitMetrics(w pool.Waits) *metrics.Wait {
	m := &metrics.Wait{
		Sum: w.Sum, Buckets: make(map[float64]uint64, len(pool.WaitBounds)),
		Refused: map[string]uint64{"full": w.Full, "late": w.Late, "gave_up": w.GaveUp},
	}
	for i, n := range w.Counts {
		m.Count += n
		if i < len(pool.WaitBounds) {
			m.Buckets[pool.WaitBounds[i].Seconds()] = m.Count
		}
	}
	return m
}

func usageMetrics(u cgroup.Usage) *metrics.Usage {
	m := &metrics.Usage{
		Memory: u.Memory, Working: u.Working, Peak: u.Peak, CPU: u.CPU, Throttled: u.Throttled, Processes: u.Processes,
		Pressure: make(map[string]metrics.Stall),
	}
	for resource, p := range map[string]*cgroup.Pressure{"cpu": u.CPUPressure, "memory": u.MemoryPressure, "io": u.IOPressure} {
		if p != nil {
			m.Pressure[resource] = metrics.Stall{Some: p.Some.Total, Full: p.Full.Total}
		}
	}
	return m
}
