// Package control is the RPC service "rrd": what rrctl shows and does. Its
// structs are made for JSON; times are RFC 3339, durations and ages seconds,
// sizes bytes.
package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rr-systemd/rrd/services/rpc"
)

// Observer tells how the daemon is doing.
type Observer interface {
	Status() Status
	// Workers returns the workers of all pools.
	Workers() []Worker
	// Metrics returns all metrics in Prometheus' text format.
	Metrics() (string, error)
}

// Operator changes what the daemon runs.
type Operator interface {
	// Reload reads the configuration anew and replaces the workers of every
	// pool. An error means that nothing changed, for example because the
	// configuration is not valid; what happened to single pools is in the
	// result.
	Reload(ctx context.Context) (*ReloadResult, error)
	// Stop begins the stop of the daemon and returns at once.
	Stop(StopRequest) error
}

// Status is the result of rrd.Status.
type Status struct {
	Instance string `json:"instance"`
	Version  string `json:"version"`
	PID      int    `json:"pid"`
	// State is starting, ready, degraded, reloading, draining or stopped.
	State string `json:"state"`
	// Reason says why the state is degraded.
	Reason string `json:"reason,omitempty"`
	// Since is when the state began, Started when the daemon did.
	Since     time.Time  `json:"since"`
	Started   time.Time  `json:"started"`
	Config    string     `json:"config,omitempty"` // path of the configuration file
	Listeners []Listener `json:"listeners"`
	Pools     []Pool     `json:"pools"`
	// HTTPRequests counts the requests since the start.
	HTTPRequests uint64 `json:"http_requests"`
	// Queue counts the requests that wait for a worker, of all pools.
	Queue int `json:"queue"`
}

// Ready tells whether requests are served by the wanted number of workers.
func (s *Status) Ready() bool { return s.State == "ready" || s.State == "reloading" }

// Listener is one listening socket.
type Listener struct {
	Name    string `json:"name"`    // http, rpc, ...
	Network string `json:"network"` // tcp, udp, unix
	Address string `json:"address"`
	// Inherited is true for a socket that systemd handed over.
	Inherited bool `json:"inherited"`
}

// Pool is one pool in figures.
type Pool struct {
	Name       string `json:"name"`
	Generation uint64 `json:"generation"`
	Workers    int    `json:"workers"`
	Target     int    `json:"target"` // workers wanted; 0 in debug mode
	Ready      int    `json:"ready"`
	Working    int    `json:"working"`
	// Draining workers are let go and finish the request that they have.
	Draining int    `json:"draining"`
	Queue    int    `json:"queue"` // requests that wait for a worker
	Execs    uint64 `json:"execs"` // since the start of the daemon
}

// WorkersRequest is the argument of rrd.Workers.
type WorkersRequest struct {
	// Pools limits the answer to these; empty means all. One that does not exist
	// is an error.
	Pools []string `json:"pools,omitempty"`
}

// WorkersResult is the result of rrd.Workers.
type WorkersResult struct {
	Workers []Worker `json:"workers"`
}

// Worker is one worker process.
type Worker struct {
	Pool       string    `json:"pool"`
	PID        int       `json:"pid"`
	State      string    `json:"state"` // as in RoadRunner: ready, working, ...
	Generation uint64    `json:"generation"`
	Created    time.Time `json:"created"`
	Execs      uint64    `json:"execs"`
	Memory     uint64    `json:"memory"`
	// MemoryPeak is the highest that the kernel has counted, file cache
	// included; 0 where it does not count.
	MemoryPeak uint64  `json:"memory_peak,omitempty"`
	CPUPercent float64 `json:"cpu_percent"` // CPU time / life time * 100
	// Transport is how jobs and answers go: slots (the PHP extension), shm, pipe.
	Transport string `json:"transport"`
	// Request is what the worker does now.
	Request *Request `json:"request,omitempty"`
	// LastCause is why the process that had this place before ended: oom,
	// max_jobs, signal, ...
	LastCause string `json:"last_cause,omitempty"`
}

// Request is a payload that a worker has begun.
type Request struct {
	ID     string  `json:"id,omitempty"`
	Label  string  `json:"label"`  // GET
	Detail string  `json:"detail"` // /users
	Age    float64 `json:"age"`
}

// ReloadRequest is the argument of rrd.Reload.
type ReloadRequest struct{}

// ReloadResult is the result of rrd.Reload.
type ReloadResult struct {
	Pools []PoolReload `json:"pools"`
	// NeedsRestart lists the changed keys that take effect only with a
	// restart of the daemon.
	NeedsRestart []string `json:"needs_restart,omitempty"`
}

// PoolReload is what a reload did to one pool, or to the programs of the section
// service, which have no generation.
type PoolReload struct {
	Name       string `json:"name"`
	Generation uint64 `json:"generation"` // that serves now; 0: restarted
	Workers    int    `json:"workers"`
	// Error is why the pool kept its old generation or returned to it, with what
	// the new worker wrote to stderr; empty when the new one serves.
	Error string `json:"error,omitempty"`
}

// Err names the pools that kept their old generation, and why; nil if none did.
func (r *ReloadResult) Err() error {
	var errs []error
	for _, p := range r.Pools {
		if p.Error != "" {
			errs = append(errs, fmt.Errorf("%s: %s", p.Name, p.Error))
		}
	}
	return errors.Join(errs...)
}

// StopRequest is the argument of rrd.Stop.
type StopRequest struct {
	// Force ends running requests instead of waiting for them.
	Force bool `json:"force,omitempty"`
}

// MethodsResult is the result of rrd.Methods.
type MethodsResult struct {
	Methods []Method `json:"methods"`
}

// Method is an RPC method and who may call it.
type Method struct {
	Name string `json:"name"`
	Role string `json:"role"` // anyone, operator, admin; see services/rpc.Role
}

// MetricsResult is the result of rrd.Metrics.
type MetricsResult struct {
	Text string `json:"text"` // Prometheus' text format
}

// Done is the result of methods that have none.
type Done struct{}

// Register adds the methods rrd.* to s.
func Register(s *rpc.Server, observer Observer, operator Operator) {
	rpc.Register(s, "rrd.Methods", rpc.Anyone, func(_ context.Context, _ *Done, result *MethodsResult) error {
		for _, m := range s.Methods() {
			result.Methods = append(result.Methods, Method{Name: m.Name, Role: m.Role.String()})
		}
		return nil
	})
	rpc.Register(s, "rrd.Metrics", rpc.Anyone, func(_ context.Context, _ *Done, result *MetricsResult) (err error) {
		result.Text, err = observer.Metrics()
		return err
	})
	rpc.Register(s, "rrd.Status", rpc.Anyone, func(_ context.Context, _ *Done, status *Status) error {
		*status = observer.Status()
		return nil
	})
	rpc.Register(s, "rrd.Workers", rpc.Anyone, func(_ context.Context, req *WorkersRequest, result *WorkersResult) error {
		if err := exist(observer.Status().Pools, req.Pools); err != nil {
			return err
		}
		result.Workers = of(observer.Workers(), req.Pools)
		return nil
	})
	rpc.Register(s, "rrd.Reload", rpc.Admin, func(ctx context.Context, _ *ReloadRequest, result *ReloadResult) error {
		r, err := operator.Reload(ctx)
		if err == nil {
			*result = *r
		}
		return err
	})
	rpc.Register(s, "rrd.Stop", rpc.Admin, func(_ context.Context, req *StopRequest, _ *Done) error {
		return operator.Stop(*req)
	})
}
