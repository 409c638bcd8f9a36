package memory

import "github.com/prometheus/client_golang/prometheus"

// Collector shows the Stats of a storage.
func (s *Storage) Collector(storage string) prometheus.Collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("rrd_kv_memory_"+name, help, nil, prometheus.Labels{"storage": storage})
	}
	return &collector{
		s,
		desc("items", "Number of keys"),
		desc("bytes", "Memory that the keys take"),
		desc("evicted_total", "Number of keys dropped because max_memory was reached"),
		desc("expired_total", "Number of keys dropped because their time was over"),
	}
}

type collector struct {
	storage                        *Storage
	items, bytes, evicted, expired *prometheus.Desc
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.items, c.bytes, c.evicted, c.expired} {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	st := c.storage.Stats()
	ch <- prometheus.MustNewConstMetric(c.items, prometheus.GaugeValue, float64(st.Items))
	ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(st.Bytes))
	ch <- prometheus.MustNewConstMetric(c.evicted, prometheus.CounterValue, float64(st.Evicted))
	ch <- prometheus.MustNewConstMetric(c.expired, prometheus.CounterValue, float64(st.Expired))
}
