package pool

import (
	"fmt"
	"runtime"
	"time"

	"github.com/rr-systemd/rrd/pool/cgroup"
	"github.com/rr-systemd/rrd/pool/isolate"
)

// Limits that RoadRunner has as well.
const (
	MaxWorkers = 500 // in one pool; rrctl asks for no more

	maxExtraWorkers = 100 // of the dynamic allocator
	maxSpawnRate    = 100
)

// Config is a pool section of the configuration. Zero values mean the default.
type Config struct {
	// Debug starts a fresh worker for every request.
	Debug bool `cfg:"debug"`
	// Command replaces server.command for this pool; see worker.Argv.
	Command []string `cfg:"command"`
	// NumWorkers is the number of workers, 0 for one per logical CPU, Auto for
	// what fits into the service.
	NumWorkers Count `cfg:"num_workers"`
	// MaxJobs is the number of payloads after which a worker is replaced, 0 for
	// no limit. Each worker gets up to 14 % more, so that they do not all end
	// at one time.
	MaxJobs uint64 `cfg:"max_jobs"`
	// MaxQueueSize is how many requests may wait for a worker, 0 for no limit.
	// Requests that are being executed do not count.
	MaxQueueSize int `cfg:"max_queue_size"`
	// AllocateTimeout bounds the start of a worker, and the wait of a request
	// for a free one.
	AllocateTimeout time.Duration `cfg:"allocate_timeout"`
	// DestroyTimeout bounds the wait for running requests at the end.
	DestroyTimeout time.Duration `cfg:"destroy_timeout"`
	// ResetTimeout bounds the wait for running requests of the old workers
	// after a reload.
	ResetTimeout time.Duration `cfg:"reset_timeout"`
	// StreamTimeout is how long a worker may take to end a cancelled stream.
	StreamTimeout time.Duration `cfg:"stream_timeout"`

	// Limits are enforced by the kernel for each worker.
	Limits cgroup.Limits `cfg:"limits"`
	// Isolation narrows what each worker may do.
	Isolation isolate.Options `cfg:"isolation"`

	Reload           *Reload           `cfg:"reload"`
	Supervisor       *Supervisor       `cfg:"supervisor"`
	DynamicAllocator *DynamicAllocator `cfg:"dynamic_allocator"`
}

// Reload says how a new generation of workers takes over.
type Reload struct {
	// Surge is how many processes there may be beyond num_workers meanwhile; 0
	// starts the whole new generation beside the old one.
	Surge int `cfg:"surge"`
	// Warmup is how long the first new workers must live before they serve.
	Warmup time.Duration `cfg:"warmup"`
	// Timeout bounds the whole reload until the last new worker serves, 0 for
	// no limit. Then, as after any failure, the old workers serve on.
	Timeout time.Duration `cfg:"timeout"`
}

// Supervisor holds the limits of one worker; 0 means none. All of them are soft
// (a running request is let to its end), except ExecTTL.
type Supervisor struct {
	WatchTick time.Duration `cfg:"watch_tick"` // how often limits are checked
	TTL       time.Duration `cfg:"ttl"`        // age
	IdleTTL   time.Duration `cfg:"idle_ttl"`   // time since the last request
	ExecTTL   time.Duration `cfg:"exec_ttl"`   // time of one request, of one frame of a stream
	// MaxWorkerMemory is the resident size in MiB.
	MaxWorkerMemory uint64 `cfg:"max_worker_memory"`
}

// DynamicAllocator lets a pool grow while requests wait.
type DynamicAllocator struct {
	MaxWorkers  int           `cfg:"max_workers"`  // additional workers
	SpawnRate   int           `cfg:"spawn_rate"`   // workers started or removed at once
	IdleTimeout time.Duration `cfg:"idle_timeout"` // an additional worker idle for so long is removed
}

// Defaults replaces zero values by the defaults.
func (c *Config) Defaults() {
	if c.NumWorkers == 0 {
		c.NumWorkers = Count(runtime.NumCPU())
	}
	for _, d := range []*time.Duration{&c.AllocateTimeout, &c.DestroyTimeout, &c.ResetTimeout, &c.StreamTimeout} {
		if *d == 0 {
			*d = time.Minute
		}
	}
	if c.Supervisor != nil {
		s := *c.Supervisor
		if s.WatchTick == 0 {
			s.WatchTick = 5 * time.Second
		}
		c.Supervisor = &s
	}
	if c.DynamicAllocator != nil {
		d := *c.DynamicAllocator
		if d.MaxWorkers == 0 {
			d.MaxWorkers = 10
		}
		if d.SpawnRate == 0 {
			d.SpawnRate = 5
		}
		if d.IdleTimeout >= 0 && d.IdleTimeout < time.Second {
			d.IdleTimeout = time.Minute
		}
		d.MaxWorkers = min(d.MaxWorkers, maxExtraWorkers)
		d.SpawnRate = min(d.SpawnRate, maxSpawnRate)
		c.DynamicAllocator = &d
	}
}

// Validate checks a Config after Defaults.
func (c *Config) Validate() error {
	switch {
	case c.NumWorkers > MaxWorkers:
		return fmt.Errorf("num_workers: number of workers can't be more than %d, got %d", MaxWorkers, c.NumWorkers)
	case c.NumWorkers < 0 && c.NumWorkers != Auto:
		return fmt.Errorf("num_workers: cannot be negative, got %d; use 0 for one worker per CPU, or auto", c.NumWorkers)
	case c.MaxQueueSize < 0:
		return fmt.Errorf("max_queue_size: cannot be negative, got %d; use 0 for no limit", c.MaxQueueSize)
	}
	if err := c.Limits.Validate(); err != nil {
		return fmt.Errorf("limits.%w", err)
	}
	if err := c.Isolation.Validate(); err != nil {
		return fmt.Errorf("isolation.%w", err)
	}
	times := []setting{
		{"allocate_timeout", c.AllocateTimeout, time.Millisecond},
		{"destroy_timeout", c.DestroyTimeout, time.Millisecond},
		{"reset_timeout", c.ResetTimeout, time.Millisecond},
		{"stream_timeout", c.StreamTimeout, time.Millisecond},
	}
	if r := c.Reload; r != nil {
		if r.Surge < 0 {
			return fmt.Errorf("reload.surge: cannot be negative, got %d; use 0 to start all new workers at once", r.Surge)
		}
		times = append(times,
			setting{"reload.warmup", r.Warmup, 0},
			setting{"reload.timeout", r.Timeout, 0})
	}
	if s := c.Supervisor; s != nil {
		times = append(times,
			setting{"supervisor.watch_tick", s.WatchTick, time.Millisecond},
			setting{"supervisor.ttl", s.TTL, 0},
			setting{"supervisor.idle_ttl", s.IdleTTL, 0},
			setting{"supervisor.exec_ttl", s.ExecTTL, 0})
	}
	if d := c.DynamicAllocator; d != nil {
		switch {
		case d.MaxWorkers < 0:
			return fmt.Errorf("dynamic_allocator.max_workers: cannot be negative, got %d", d.MaxWorkers)
		case d.SpawnRate < 0:
			return fmt.Errorf("dynamic_allocator.spawn_rate: cannot be negative, got %d", d.SpawnRate)
		}
		times = append(times, setting{"dynamic_allocator.idle_timeout", d.IdleTimeout, time.Second})
	}
	for _, t := range times {
		if err := t.check(); err != nil {
			return err
		}
	}
	return nil
}

type setting struct {
	key   string
	value time.Duration
	least time.Duration // 0: the setting may be off
}

func (s setting) check() error {
	switch {
	case s.value < 0:
		return fmt.Errorf("%s: cannot be negative, got %s", s.key, s.value)
	case s.value == 0 && s.least == 0:
		return nil
	case s.value < max(s.least, time.Millisecond):
		return fmt.Errorf("%s: %s is too short; a number without a unit means nanoseconds, write %ds for seconds", s.key, s.value, int64(s.value))
	}
	return nil
}

// execTTL, memoryLimit (bytes): 0 means no limit.
func (c *Config) execTTL() time.Duration {
	if c.Supervisor == nil {
		return 0
	}
	return c.Supervisor.ExecTTL
}

func (c *Config) memoryLimit() uint64 {
	if c.Supervisor == nil {
		return 0
	}
	return c.Supervisor.MaxWorkerMemory << 20
}

// surge, warmup, reloadTimeout: 0 for all, none, no limit.
func (c *Config) surge() int {
	if c.Reload == nil {
		return 0
	}
	return c.Reload.Surge
}

func (c *Config) warmup() time.Duration {
	if c.Reload == nil {
		return 0
	}
	return c.Reload.Warmup
}

func (c *Config) reloadTimeout() time.Duration {
	if c.Reload == nil {
		return 0
	}
	return c.Reload.Timeout
}

// shorter is the shorter of two limits, of which 0 is none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// after is the time when a limit that begins now is over; zero means never.
func after(limit time.Duration) time.Time {
	if limit == 0 {
		return time.Time{}
	}
	return time.Now().Add(limit)
}
