package metrics

import (
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Pool is a pool at one moment.
type Pool struct {
	// Name is the plugin's (http), or for a further pool of it http.NAME.
	Name       string
	Workers    []Worker // that serve or start, those that are let go left out
	Ready      int
	Working    int
	Starting   int
	Draining   int // let go, with a request that runs to its end
	Ending     int
	Target     int // workers wanted
	Waiting    int // requests in the queue
	Execs      uint64
	Generation uint64
	CrashLoop  bool
	Wait       *Wait  // nil: not measured
	Usage      *Usage // nil: without control groups
}

// Worker is one worker process. State is RoadRunner's word.
type Worker struct {
	PID    int
	State  string
	Memory uint64
}

// Wait is how long requests have waited for a worker, and how many got none.
type Wait struct {
	Count   uint64
	Sum     time.Duration
	Buckets map[float64]uint64 // requests that waited at most so many seconds
	Refused map[string]uint64  // by reason
}

// Usage is what the kernel has counted for all workers of a pool.
type Usage struct {
	Memory, Working, Peak uint64 // bytes
	CPU, Throttled        time.Duration
	Processes             uint64
	// Pressure is the time lost by waiting for cpu, memory and io: at least one
	// process waited (some), all did (full).
	Pressure map[string]Stall
}

// Stall is the time that was lost so far.
type Stall struct{ Some, Full time.Duration }

// Pools exports what RoadRunner does for its plugins (rr_http_total_workers, ...)
// and, under rrd_, what it does not, with the pool in a label.
type Pools struct{ source func() []Pool }

// NewPools makes a collector; source is asked for every page.
func NewPools(source func() []Pool) Pools { return Pools{source} }

// poolDesc describes a metric of one pool.
func poolDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rrd_"+name, help, append([]string{"pool"}, labels...), nil)
}

var (
	descWorkers    = poolDesc("pool_workers", "Workers by what they do: ready, working, starting, draining (let go, with a request that runs to its end), ending.", "state")
	descTarget     = poolDesc("pool_workers_target", "Workers wanted.")
	descWaiting    = poolDesc("pool_requests_waiting", "Requests that wait for a worker.")
	descExecs      = poolDesc("pool_execs_total", "Requests given to workers.")
	descGeneration = poolDesc("pool_generation", "Number of the generation that serves; a reload adds one.")
	descCrashLoop  = poolDesc("pool_crash_loop", "1 while workers fail over and over.")
	descWait       = poolDesc("pool_queue_wait_seconds", "Time that requests waited for a worker.")
	descRefused    = poolDesc("pool_requests_refused_total", "Requests that got no worker: the queue was full, their time was over (late), their client went away (gave_up).", "reason")

	descMemory    = poolDesc("pool_memory_bytes", "Memory of all workers and their children as the kernel charges it, file cache included.")
	descWorking   = poolDesc("pool_memory_working_bytes", "The same without file cache that can be dropped.")
	descPeak      = poolDesc("pool_memory_peak_bytes", "Highest rrd_pool_memory_bytes so far.")
	descCPU       = poolDesc("pool_cpu_seconds_total", "CPU time of all workers and their children, ended ones included.")
	descThrottled = poolDesc("pool_cpu_throttled_seconds_total", "Time that a CPU limit made workers wait.")
	descProcesses = poolDesc("pool_processes", "Processes and threads of all workers.")
	descPressure  = poolDesc("pool_pressure_seconds_total", "Time lost by waiting for cpu, memory or io: at least one process waited (some), all did (full).", "resource", "share")
)

// Describe implements prometheus.Collector. It says nothing: which plugins have
// pools is seen only at work.
func (Pools) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c Pools) Collect(out chan<- prometheus.Metric) {
	pools := c.source()
	for i := range pools {
		own(&pools[i], out)
	}
	roadRunner(pools, out)
}

func own(p *Pool, out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{p.Name}, labels...)...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, append([]string{p.Name}, labels...)...)
	}
	for state, n := range map[string]int{"ready": p.Ready, "working": p.Working, "starting": p.Starting, "draining": p.Draining, "ending": p.Ending} {
		gauge(descWorkers, float64(n), state)
	}
	gauge(descTarget, float64(p.Target))
	gauge(descWaiting, float64(p.Waiting))
	counter(descExecs, float64(p.Execs))
	gauge(descGeneration, float64(p.Generation))
	loop := 0.0
	if p.CrashLoop {
		loop = 1
	}
	gauge(descCrashLoop, loop)
	if w := p.Wait; w != nil {
		out <- prometheus.MustNewConstHistogram(descWait, w.Count, w.Sum.Seconds(), w.Buckets, p.Name)
		for reason, n := range w.Refused {
			counter(descRefused, float64(n), reason)
		}
	}
	if u := p.Usage; u != nil {
		gauge(descMemory, float64(u.Memory))
		gauge(descWorking, float64(u.Working))
		gauge(descPeak, float64(u.Peak))
		counter(descCPU, u.CPU.Seconds())
		counter(descThrottled, u.Throttled.Seconds())
		gauge(descProcesses, float64(u.Processes))
		for resource, s := range u.Pressure {
			counter(descPressure, s.Some.Seconds(), resource, "some")
			counter(descPressure, s.Full.Seconds(), resource, "full")
		}
	}
}

// plugins are those whose workers RoadRunner counts: the prefix of the metric and
// the plugin's name in the help texts. tcp has no metrics there.
var plugins = map[string]struct{ prefix, title string }{
	"http":       {"rr_http_", "HTTP "},
	"jobs":       {"rr_jobs_", ""},
	"grpc":       {"rr_grpc_", ""},
	"centrifuge": {"rr_centrifugo_", ""},
	"temporal":   {"rr_temporal_", ""},
}

// roadRunner writes RoadRunner's metrics, which know one pool a plugin: all
// pools of a plugin are taken together.
func roadRunner(pools []Pool, out chan<- prometheus.Metric) {
	workers := make(map[string][]Worker)
	for _, p := range pools {
		plugin, _, _ := strings.Cut(p.Name, ".")
		workers[plugin] = append(workers[plugin], p.Workers...)
	}
	for plugin, list := range workers {
		m, ok := plugins[plugin]
		if !ok {
			continue
		}
		gauge := func(name, help string, v float64) {
			out <- prometheus.MustNewConstMetric(prometheus.NewDesc(m.prefix+name, help, nil, nil), prometheus.GaugeValue, v)
		}
		state := prometheus.NewDesc(m.prefix+"worker_state", "Worker current state", []string{"state", "pid"}, nil)
		memory := prometheus.NewDesc(m.prefix+"worker_memory_bytes", "Worker current memory usage", []string{"pid"}, nil)
		var ready, working, invalid, bytes float64
		for _, w := range list {
			pid := strconv.Itoa(w.PID)
			// The label is the information; the value has always been 0.
			out <- prometheus.MustNewConstMetric(state, prometheus.GaugeValue, 0, w.State, pid)
			out <- prometheus.MustNewConstMetric(memory, prometheus.GaugeValue, float64(w.Memory), pid)
			bytes += float64(w.Memory)
			switch w.State {
			case "ready":
				ready++
			case "working":
				working++
			default:
				invalid++
			}
		}
		of, subject := "the plugin", "Workers"
		if m.title != "" {
			of, subject = "the "+m.title+"plugin", m.title+"workers"
		}
		gauge("total_workers", "Total number of workers used by "+of, float64(len(list)))
		gauge("workers_memory_bytes", "Memory usage by "+m.title+"workers.", bytes)
		gauge("workers_ready", subject+" currently in ready state", ready)
		gauge("workers_working", subject+" currently in working state", working)
		gauge("workers_invalid", subject+" currently in invalid,killing,destroyed,errored,inactive states", invalid)
	}
}
