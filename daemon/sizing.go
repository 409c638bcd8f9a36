package daemon

import (
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/pool/cgroup"
)

// pools are the sections of all pools.
func (s *settings) pools() (list []*pool.Config) {
	if s.http != nil {
		list = append(list, &s.http.Pool)
		for _, p := range s.http.Pools {
			list = append(list, p)
		}
	}
	return list
}

// share is the part of the unit's budget that each pool with num_workers: auto
// may fill: what pools of a fixed size leave of the memory, and all processors,
// in equal parts.
func share(b cgroup.Budget, pools []*pool.Config) cgroup.Budget {
	autos := 0
	for _, p := range pools {
		if p.NumWorkers == pool.Auto {
			autos++
			continue
		}
		if b.Memory > 0 { // 0 means that the limit is unknown
			b.Memory -= min(p.Footprint(), b.Memory-1)
		}
	}
	if autos > 1 {
		b.Memory = max(b.Memory/uint64(autos), min(b.Memory, 1))
		b.CPU /= float64(autos)
	}
	return b
}

// budget is the share of a pool, by the settings that are in force or about to be.
func (d *Daemon) budget() cgroup.Budget {
	return share(d.cgroups.Budget(), d.sizing.Load().pools())
}
