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

// Describe implements prometheus.Collector. It tells of all plugins, also of those
// without a pool yet, so that no metric of an application takes one of these names.
func (Pools) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descWorkers, descTarget, descWaiting, descExecs, descGeneration, descCrashLoop, descWait, descRefused,
		descMemory, descWorking, descPeak, descCPU, descThrottled, descProcesses, descPressure,
	} {
		out <- d
	}
	for _, p := range plugins {
		for _, d := range []*prometheus.Desc{p.total, p.bytes, p.ready, p.working, p.invalid, p.state, p.memory} {
			out <- d
		}
	}
}

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

// pluginDescs describe RoadRunner's metrics of one plugin's workers.
type pluginDescs struct{ total, bytes, ready, working, invalid, state, memory *prometheus.Desc }

// plugins are those whose workers RoadRunner counts. tcp has no metrics there.
var plugins = map[string]pluginDescs{
	"http":       describePlugin("rr_http_", "HTTP "),
	"jobs":       describePlugin("rr_jobs_", ""),
	"grpc":       describePlugin("rr_grpc_", ""),
	"centrifuge": describePlugin("rr_centrifugo_", ""),
	"temporal":   describePlugin("rr_temporal_", ""),
}

// describePlugin has RoadRunner's help texts; title is the plugin's name in them.
func describePlugin(prefix, title string) pluginDescs {
	of, subject := "the plugin", "Workers"
	if title != "" {
		of, subject = "the "+title+"plugin", title+"workers"
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+name, help, labels, nil)
	}
	return pluginDescs{
		total:   desc("total_workers", "Total number of workers used by "+of),
		bytes:   desc("workers_memory_bytes", "Memory usage by "+title+"workers."),
		ready:   desc("workers_ready", subject+" currently in ready state"),
		working: desc("workers_working", subject+" currently in working state"),
		invalid: desc("workers_invalid", subject+" currently in invalid,killing,destroyed,errored,inactive states"),
		state:   desc("worker_state", "Worker current state", "state", "pid"),
		memory:  desc("worker_memory_bytes", "Worker current memory usage", "pid"),
	}
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
		d, ok := plugins[plugin]
		if !ok {
			continue
		}
		gauge := func(d *prometheus.Desc, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
		}
		var ready, working, invalid, bytes float64
		for _, w := range list {
			pid := strconv.Itoa(w.PID)
			// The label is the information; the value has always been 0.
			gauge(d.state, 0, w.State, pid)
			gauge(d.memory, float64(w.Memory), pid)
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
		gauge(d.total, float64(len(list)))
		gauge(d.bytes, bytes)
		gauge(d.ready, ready)
		gauge(d.working, working)
		gauge(d.invalid, invalid)
	}
}
