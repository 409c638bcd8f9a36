package pool

import (
	"strings"
	"testing"
	"time"
)

func TestDefaults(t *testing.T) {
	c := Config{Supervisor: &Supervisor{}, DynamicAllocator: &DynamicAllocator{MaxWorkers: 1000, IdleTimeout: time.Millisecond}}
	c.Defaults()
	if c.NumWorkers < 1 || c.AllocateTimeout != time.Minute || c.StreamTimeout != time.Minute || c.DestroyTimeout != time.Minute || c.ResetTimeout != time.Minute {
		t.Errorf("%+v", c)
	}
	equal(t, "watch_tick", c.Supervisor.WatchTick, 5*time.Second)
	equal(t, "dynamic", *c.DynamicAllocator, DynamicAllocator{MaxWorkers: 100, SpawnRate: 5, IdleTimeout: time.Minute})
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want []string
	}{
		{Config{NumWorkers: 501}, []string{"num_workers", "number of workers can't be more than 500", "501"}},
		{Config{NumWorkers: -1}, []string{"num_workers", "-1"}},
		{Config{MaxQueueSize: -3}, []string{"max_queue_size", "-3"}},
		{Config{AllocateTimeout: 60}, []string{"allocate_timeout", "60ns", "write 60s"}},
		{Config{ResetTimeout: -time.Second}, []string{"reset_timeout", "-1s"}},
		{Config{Supervisor: &Supervisor{ExecTTL: 30}}, []string{"supervisor.exec_ttl", "30ns"}},
		{Config{Supervisor: &Supervisor{TTL: -1}}, []string{"supervisor.ttl"}},
		{Config{DynamicAllocator: &DynamicAllocator{SpawnRate: -1}}, []string{"dynamic_allocator.spawn_rate"}},
		{Config{DynamicAllocator: &DynamicAllocator{MaxWorkers: -1}}, []string{"dynamic_allocator.max_workers"}},
		{Config{DynamicAllocator: &DynamicAllocator{IdleTimeout: -1}}, []string{"dynamic_allocator.idle_timeout"}},
	} {
		c.cfg.Defaults()
		err := c.cfg.Validate()
		for _, w := range c.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%v: no %q in %v", c.cfg, w, err)
			}
		}
	}
}

func TestJitter(t *testing.T) {
	equal(t, "no limit", jitter(0), 0)
	equal(t, "1", jitter(1), 1)
	seen := map[uint64]bool{}
	for range 1000 {
		j := jitter(100)
		if j < 100 || j > 114 {
			t.Fatalf("%d", j)
		}
		seen[j] = true
	}
	equal(t, "values", len(seen), 15)
	if j := jitter(1<<64 - 1); j == 0 {
		t.Error("overflow")
	}
}

func FuzzProc(f *testing.F) {
	f.Add([]byte("1234 567 89 1 0 2 0\n"))
	f.Add([]byte("42 (a b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, ok := parseStat(b); ok && d < 0 {
			t.Errorf("negative time of %q", b)
		}
		parseStatm(b)
	})
}

func TestParseProc(t *testing.T) {
	rss, ok := parseStatm([]byte("1234 567 89 1 0 2 0\n"))
	equal(t, "rss", rss, 567*pageSize)
	equal(t, "ok", ok, true)
	cpu, ok := parseStat([]byte("42 (a b) c) S 1 2 3 4 5 6 7 8 9 10 110 12 13 14 15\n"))
	equal(t, "cpu", cpu, 1220*time.Millisecond)
	equal(t, "ok", ok, true)
}
