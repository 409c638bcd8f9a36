package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/control"
)

// sample is an instance at one moment.
type sample struct {
	at      time.Time
	status  control.Status
	workers []control.Worker
}

// sampler reads samples over one connection, which it opens anew when it broke:
// a view outlives restarts of the daemon.
type sampler struct {
	dial  func(context.Context) (*connection, error)
	now   func() time.Time
	pools []string

	mu     sync.Mutex // a view may end in the middle of a read
	client *connection
}

// Close waits for a read that is under way, which ends with its context.
func (s *sampler) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangUp()
}

// hangUp closes the connection. s.mu is held.
func (s *sampler) hangUp() {
	if s.client != nil {
		_ = s.client.Close()
		s.client = nil
	}
}

func (s *sampler) read(ctx context.Context) (*sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		var err error
		if s.client, err = s.dial(ctx); err != nil {
			return nil, err
		}
	}
	r := &sample{at: s.now()}
	var w control.WorkersResult
	err := s.client.Call(ctx, "rrd.Status", rpc.JSON, &control.Done{}, &r.status)
	if err == nil {
		err = s.client.Call(ctx, "rrd.Workers", rpc.JSON, &control.WorkersRequest{Pools: s.pools}, &w)
	}
	if err != nil {
		s.hangUp()
		return nil, err
	}
	r.workers = w.Workers
	if len(s.pools) > 0 {
		r.status.Pools = slices.DeleteFunc(r.status.Pools, func(p control.Pool) bool { return !slices.Contains(s.pools, p.Name) })
	}
	return r, nil
}

// topWorker is a worker with what it did since the sample before.
type topWorker struct {
	control.Worker
	CPU       float64 `json:"cpu_now"`          // per cent of one processor
	ExecsRate float64 `json:"execs_per_second"` // requests begun
}

// topPool is a pool with the sums of its workers.
type topPool struct {
	control.Pool
	Memory    uint64  `json:"memory"`
	CPU       float64 `json:"cpu_now"`
	ExecsRate float64 `json:"execs_per_second"`
}

// rates compares a sample with the one before; without one, a worker's CPU is
// the average of its life and rates are 0.
func rates(before, s *sample) ([]topPool, []topWorker) {
	old := map[int]control.Worker{}
	seconds := 0.0
	if before != nil && before.status.PID == s.status.PID {
		seconds = s.at.Sub(before.at).Seconds()
		for _, w := range before.workers {
			old[w.PID] = w
		}
	}
	pools := make([]topPool, len(s.status.Pools))
	index := map[string]*topPool{}
	for i, p := range s.status.Pools {
		pools[i].Pool = p
		index[p.Name] = &pools[i]
		if seconds > 0 {
			for _, b := range before.status.Pools {
				if b.Name == p.Name && b.Execs <= p.Execs {
					pools[i].ExecsRate = float64(p.Execs-b.Execs) / seconds
				}
			}
		}
	}
	workers := make([]topWorker, len(s.workers))
	for i, w := range s.workers {
		t := topWorker{Worker: w, CPU: w.CPUPercent}
		if b, ok := old[w.PID]; ok && seconds > 0 && b.Created.Equal(w.Created) {
			t.CPU = max(0, cpuTime(w, s.at)-cpuTime(b, before.at)) / seconds * 100
			t.ExecsRate = float64(w.Execs-min(b.Execs, w.Execs)) / seconds
		}
		workers[i] = t
		if p := index[w.Pool]; p != nil {
			p.Memory += w.Memory
			p.CPU += t.CPU
		}
	}
	return pools, workers
}

// cpuTime is what a worker has used so far, in seconds: the daemon tells it in
// per cent of the life time.
func cpuTime(w control.Worker, at time.Time) float64 {
	return w.CPUPercent / 100 * max(0, at.Sub(w.Created).Seconds())
}

// sortKeys are what workers can be ordered by; the first is the default. Each
// begins with the largest, but for names and pids.
var sortKeys = []struct {
	name    string
	key     string // of the keyboard
	compare func(a, b *topWorker) int
}{
	{"cpu", "c", func(a, b *topWorker) int { return cmp.Compare(b.CPU, a.CPU) }},
	{"memory", "m", func(a, b *topWorker) int { return cmp.Compare(b.Memory, a.Memory) }},
	{"request", "t", func(a, b *topWorker) int { return cmp.Compare(requestAge(b), requestAge(a)) }},
	{"execs", "e", func(a, b *topWorker) int { return cmp.Compare(b.Execs, a.Execs) }},
	{"age", "a", func(a, b *topWorker) int { return a.Created.Compare(b.Created) }},
	{"pool", "p", func(a, b *topWorker) int { return cmp.Compare(a.Pool, b.Pool) }},
	{"pid", "n", func(a, b *topWorker) int { return cmp.Compare(a.PID, b.PID) }},
}

func sortNames() []string {
	names := make([]string, len(sortKeys))
	for i, k := range sortKeys {
		names[i] = k.name
	}
	return names
}

// sortKey finds a key by its name, -1 if there is none.
func sortKey(name string) int { return slices.Index(sortNames(), name) }

func requestAge(w *topWorker) float64 {
	if w.Request == nil {
		return -1
	}
	return w.Request.Age
}

// sortWorkers orders by a key, then by pool and pid, so that nothing jumps
// about.
func sortWorkers(workers []topWorker, key int, reverse bool) {
	slices.SortFunc(workers, func(a, b topWorker) int {
		n := sortKeys[key].compare(&a, &b)
		if reverse {
			n = -n
		}
		return cmp.Or(n, cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.PID, b.PID))
	})
}

// filterWorkers leaves those whose pool, pid, state or request holds text.
func filterWorkers(workers []topWorker, text string) []topWorker {
	if text == "" {
		return workers
	}
	text = strings.ToLower(text)
	return slices.DeleteFunc(slices.Clone(workers), func(w topWorker) bool {
		all := fmt.Sprint(w.Pool, " ", w.PID, " ", w.State)
		if r := w.Request; r != nil {
			all += " " + r.ID + " " + r.Label + " " + r.Detail
		}
		return !strings.Contains(strings.ToLower(all), text)
	})
}
