package daemon

import (
	"testing"

	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/pool/cgroup"
)

// Several pools that size themselves divide what the unit may use.
func TestShare(t *testing.T) {
	auto := &pool.Config{NumWorkers: pool.Auto}
	fixed := &pool.Config{NumWorkers: 4, Limits: cgroup.Limits{Memory: 50 << 20}}
	surge := &pool.Config{NumWorkers: 4, Limits: cgroup.Limits{Memory: 50 << 20}, Reload: &pool.Reload{Surge: 1}}
	unknown := &pool.Config{NumWorkers: 2}
	whole := cgroup.Budget{Memory: 1000 << 20, CPU: 4}
	for name, c := range map[string]struct {
		budget cgroup.Budget
		pools  []*pool.Config
		memory uint64
		cpu    float64
	}{
		"one":                   {whole, []*pool.Config{auto}, 1000 << 20, 4},
		"two":                   {whole, []*pool.Config{auto, auto}, 500 << 20, 2},
		"beside a fixed one":    {whole, []*pool.Config{fixed, auto}, 600 << 20, 4},
		"that reloads in steps": {whole, []*pool.Config{surge, auto, auto}, 375 << 20, 2},
		"of unknown size":       {whole, []*pool.Config{unknown, auto}, (1000 - 128) << 20, 4},
		"nothing is left":       {cgroup.Budget{Memory: 100 << 20, CPU: 1}, []*pool.Config{fixed, auto, auto}, 1, 0.5},
		"no limit is known":     {cgroup.Budget{CPU: 1}, []*pool.Config{fixed, auto, auto}, 0, 0.5},
	} {
		if got := share(c.budget, c.pools); got.Memory != c.memory || got.CPU != c.cpu {
			t.Errorf("%s: %d bytes and %v processors, want %d and %v", name, got.Memory, got.CPU, c.memory, c.cpu)
		}
	}
}
