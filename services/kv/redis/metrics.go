package redis

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// Collector shows the connections of a storage under RoadRunner's names. Each
// storage has a label of its own; RoadRunner shows the one that was made last.
func (s *Storage) Collector(storage string) prometheus.Collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("rr_redis_"+name, help, nil, prometheus.Labels{"storage": storage})
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	return &collector{s.client, []row{
		{desc("pool_hit_total", "Number of times a connection was found in the pool"), counter, func(p *redis.PoolStats) uint32 { return p.Hits }},
		{desc("pool_miss_total", "Number of times a connection was not found in the pool"), counter, func(p *redis.PoolStats) uint32 { return p.Misses }},
		{desc("pool_timeout_total", "Number of times a timeout occurred when looking for a connection in the pool"), counter, func(p *redis.PoolStats) uint32 { return p.Timeouts }},
		{desc("pool_conn_total_current", "Current number of connections in the pool"), gauge, func(p *redis.PoolStats) uint32 { return p.TotalConns }},
		{desc("pool_conn_idle_current", "Current number of idle connections in the pool"), gauge, func(p *redis.PoolStats) uint32 { return p.IdleConns }},
		{desc("pool_conn_stale_total", "Number of times a connection was removed from the pool because it was stale"), counter, func(p *redis.PoolStats) uint32 { return p.StaleConns }},
	}}
}

type collector struct {
	client redis.UniversalClient
	rows   []row
}

type row struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*redis.PoolStats) uint32
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, r := range c.rows {
		ch <- r.desc
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	stats := c.client.PoolStats()
	for _, r := range c.rows {
		ch <- prometheus.MustNewConstMetric(r.desc, r.kind, float64(r.of(stats)))
	}
}
