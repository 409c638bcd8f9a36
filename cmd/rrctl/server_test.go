package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rr-systemd/rrd/services/control"
	"github.com/rr-systemd/rrd/services/informer"
	"github.com/rr-systemd/rrd/services/kv"
	"github.com/rr-systemd/rrd/services/kv/memory"
	"github.com/rr-systemd/rrd/services/lock"
	"github.com/rr-systemd/rrd/services/lock/lockpb"
	"github.com/rr-systemd/rrd/services/resetter"
	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/rpc/rpctest"
	"github.com/rr-systemd/rrd/services/service"
)

var moment = time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)

// fakeDaemon has an http pool, jobs pipelines and a service process.
type fakeDaemon struct {
	state  atomic.Value // string
	reload error
	failed string // pool that keeps its old generation
	stop   chan control.StopRequest
	more   atomic.Int32 // workers of http

	services bool // has the section
	calm     bool // they have no problem
	created  atomic.Pointer[serviceCreate]
}

func (*fakeDaemon) Plugins() []string { return []string{"service", "jobs", "http", "empty"} }

func (*fakeDaemon) Workers(plugin string) []*informer.Worker {
	created := moment.Add(-3 * time.Minute).UnixNano()
	switch plugin {
	case "http":
		return []*informer.Worker{
			{Pid: 102, Status: 2, NumExecs: 1234, Created: created, MemoryUsage: 45e6, CPUPercent: 12.345, StatusStr: "working"},
			{Pid: 101, Status: 1, NumExecs: 0, Created: created, MemoryUsage: 9e6, CPUPercent: 0, StatusStr: "ready"},
		}
	case "jobs":
		return []*informer.Worker{{Pid: 7, Status: 1, Created: created, MemoryUsage: 30e6, StatusStr: "ready"}}
	case "service":
		return []*informer.Worker{{Pid: 9, Status: 1, Created: created, MemoryUsage: 1e6, CPUPercent: 1, Command: "/usr/bin/php daemon.php " + strings.Repeat("--flag ", 30)}}
	case "panics":
		panic("worker list")
	}
	return nil
}

func (*fakeDaemon) Jobs(_ context.Context, plugin string) []*informer.Job {
	if plugin != "jobs" {
		return nil
	}
	return []*informer.Job{
		{Pipeline: "p2", Driver: "memory", Queue: "p2"},
		{Pipeline: "p1", Driver: "memory", Queue: "p1", Active: 1, Delayed: 2, Reserved: 3, Ready: true},
	}
}

func (d *fakeDaemon) AddWorker(_ context.Context, plugin string) error {
	if plugin != "http" {
		return nil // as in debug mode
	}
	if d.more.Load() == 2 {
		return errors.New("worker exited with code 255")
	}
	d.more.Add(1)
	return nil
}

func (d *fakeDaemon) RemoveWorker(context.Context, string) error {
	d.more.Add(-1)
	return nil
}

func (*fakeDaemon) Reset(_ context.Context, plugin string) error {
	if plugin == "jobs" {
		return errors.New("worker exited with code 255")
	}
	return nil
}

func (d *fakeDaemon) Status() control.Status {
	s := sampleStatus()
	if state, _ := d.state.Load().(string); state != "" {
		s.State = state
	}
	s.Pools[0].Target += int(d.more.Load())
	return s
}

func (d *fakeDaemon) Reload(context.Context) (*control.ReloadResult, error) {
	r := sampleReload()
	if d.failed == "" {
		r.Pools = r.Pools[:1]
	}
	return r, d.reload
}

func (d *fakeDaemon) Stop(r control.StopRequest) error {
	d.stop <- r
	return nil
}

// controlled is the daemon as services/control sees it.
type controlled struct{ *fakeDaemon }

func (controlled) Workers() []control.Worker { return sampleWorkers() }

func (controlled) Metrics() (string, error) { return sampleMetrics, nil }

// sampleMetrics has a metric of each type and of each origin.
const sampleMetrics = `# HELP go_goroutines Number of goroutines that currently exist.
# TYPE go_goroutines gauge
go_goroutines 12
# HELP rr_http_workers_memory_bytes Memory.
# TYPE rr_http_workers_memory_bytes gauge
rr_http_workers_memory_bytes 9.2e+07
# HELP rr_http_request_total Requests.
# TYPE rr_http_request_total counter
rr_http_request_total{status="200"} 1.234567e+06
rr_http_request_total{status="500"} 3
# HELP rr_http_request_duration_seconds Durations.
# TYPE rr_http_request_duration_seconds histogram
rr_http_request_duration_seconds_bucket{status="200",le="0.01"} 50
rr_http_request_duration_seconds_bucket{status="200",le="0.1"} 98
rr_http_request_duration_seconds_bucket{status="200",le="1"} 99
rr_http_request_duration_seconds_bucket{status="200",le="+Inf"} 100
rr_http_request_duration_seconds_sum{status="200"} 2.5
rr_http_request_duration_seconds_count{status="200"} 100
# HELP app_size_bytes Sizes.
# TYPE app_size_bytes summary
app_size_bytes{quantile="0.5"} 1024
app_size_bytes_sum 4096
app_size_bytes_count 2
# TYPE app_plain untyped
app_plain -0.25
`

func (d *fakeDaemon) register(s *rpc.Server) {
	informer.Register(s, d, d)
	resetter.Register(s, d)
	control.Register(s, controlled{d}, d)
	kv.Register(s, map[string]kv.Mounted{
		"cache":    {Driver: "memory", Storage: memory.New(memory.Config{})},
		"sessions": {Driver: "memcached", Storage: struct{ kv.Storage }{memory.New(memory.Config{})}}, // cannot list
	}, kv.Options{})
	if d.services {
		d.registerServices(s)
	}
	rpc.Register(s, "lock.List", rpc.Admin, func(_ context.Context, _ *bool, list *[]lock.Resource) error {
		*list = sampleLocks()
		return nil
	})
	release := func(_ context.Context, q *lockpb.Request, r *lockpb.Response) error {
		r.Ok = q.GetResource() == "report" && (q.GetId() == "" || q.GetId() == "worker-1")
		return nil
	}
	rpc.Register(s, "lock.ForceRelease", rpc.Anyone, release)
	rpc.Register(s, "lock.Release", rpc.Anyone, release)
}

func (d *fakeDaemon) registerServices(s *rpc.Server) {
	known := map[string]bool{"queue": true, "ws": true}
	check := func(name string) error {
		if !known[name] {
			return errors.New("the service with NAME " + name + " doesn't exist")
		}
		return nil
	}
	rpc.Register(s, "service.List", rpc.Anyone, func(_ context.Context, _ *serviceName, r *serviceList) error {
		r.Services = []string{"ws", "queue"}
		return nil
	})
	rpc.Register(s, "service.Processes", rpc.Anyone, func(_ context.Context, names *[]string, list *[]service.Status) error {
		if len(*names) == 0 {
			*names = []string{"queue", "ws"}
		}
		for _, name := range *names {
			if err := check(name); err != nil {
				return err
			}
			running := service.Status{Service: name, PID: 70, Running: true, State: "running", CPUPercent: 1.5, Memory: 9e6, Command: "/usr/bin/php " + name + ".php\x1b"}
			*list = append(*list, running)
			if name == "ws" {
				next := time.Now().Add(12 * time.Second)
				failing := service.Status{Service: name, PID: 72, State: "pausing", Command: "/usr/bin/php ws.php", NextStart: next, Failures: 3, Failing: true, LastEnd: "exit status 255"}
				if d.calm {
					failing.Failures, failing.Failing, failing.LastEnd = 0, false, ""
				}
				*list = append(*list, failing)
				if !d.calm {
					*list = append(*list, service.Status{Service: name, PID: 71, State: "ended", Command: "/usr/bin/php ws.php"})
				}
			}
		}
		return nil
	})
	for _, method := range []string{"service.Restart", "service.Terminate"} {
		rpc.Register(s, method, rpc.Owner, func(_ context.Context, q *serviceName, _ *map[string]any) error { return check(q.Name) })
	}
	rpc.Register(s, "service.Create", rpc.Owner, func(_ context.Context, q *serviceCreate, _ *map[string]any) error {
		d.created.Store(q)
		return nil
	})
}

func sampleLocks() []lock.Resource {
	return []lock.Resource{
		{Name: "report", Mode: "write", Waiting: 2, Holders: []lock.Holder{{ID: "worker-1", TTL: 12.3, Token: 7}}},
		{Name: "cache\x1b[2J", Mode: "read", Holders: []lock.Holder{{ID: "a", TTL: 31555952, Token: 5}, {ID: "b", TTL: 0.25, Token: 6}}},
	}
}

// serve runs the fake daemon and returns its DSN.
func (d *fakeDaemon) serve(t *testing.T) string {
	t.Helper()
	if d.stop == nil {
		d.stop = make(chan control.StopRequest, 1)
	}
	return rpctest.Serve(t, rpc.Options{}, d.register)
}

// configFor writes a .rr.yaml that names the RPC address and returns its folder.
func configFor(t *testing.T, dsn string) string {
	t.Helper()
	dir := t.TempDir()
	text := "version: '3'\nserver: {command: php w.php}\nunknown_to_the_client: 1\n"
	if dsn != "" {
		text += "rpc: {listen: \"" + dsn + "\"}\n"
	}
	if err := os.WriteFile(filepath.Join(dir, ".rr.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func sampleStatus() control.Status {
	return control.Status{
		Instance: "app", Version: "0.1.0", PID: 4711, State: "ready",
		Since: moment.Add(-2 * time.Hour), Started: moment.Add(-26 * time.Hour), Config: "/etc/rr/app.yaml",
		Listeners: []control.Listener{
			{Name: "http", Network: "tcp", Address: "[::]:8080", Inherited: true},
			{Name: "rpc", Network: "unix", Address: "/run/rr/app/rpc.sock"},
		},
		Pools: []control.Pool{
			{Name: "http", Generation: 3, Workers: 4, Target: 4, Ready: 1, Working: 3, Queue: 2, Execs: 1234567},
			{Name: "jobs", Generation: 1, Workers: 10, Ready: 10},
		},
		HTTPRequests: 1234567, Queue: 2,
	}
}

func sampleWorkers() []control.Worker {
	return []control.Worker{
		{Pool: "http", PID: 101, State: "ready", Generation: 3, Created: moment.Add(-5 * time.Minute), Execs: 42, Memory: 45e6, CPUPercent: 3.5, Transport: "slots"},
		{Pool: "http", PID: 10200, State: "working", Generation: 3, Created: moment.Add(-time.Hour), Execs: 12345, Memory: 9e6, CPUPercent: 99.99, Transport: "pipe",
			Request:   &control.Request{ID: "r1", Label: "GET", Detail: "/users/5?q=\x1b[31mred\n" + strings.Repeat("x", 40), Age: 1.26},
			LastCause: "max_jobs"},
	}
}

func sampleReload() *control.ReloadResult {
	return &control.ReloadResult{
		Pools: []control.PoolReload{
			{Name: "http", Generation: 4, Workers: 1},
			{Name: "jobs", Generation: 1, Workers: 10, Error: "worker exited with code 255\nPHP Parse error: \x1b]0;syntax error\n"},
		},
		NeedsRestart: []string{"http.address", "rpc.listen"},
	}
}
