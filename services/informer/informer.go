// Package informer is the RPC service "informer": which plugins have workers,
// and how they are doing.
package informer

import (
	"context"
	"errors"
	"fmt"

	"github.com/rr-systemd/rrd/services/rpc"
)

// ErrNotScalable is what a Scaler returns for a plugin whose number of workers
// cannot be changed, or that does not exist. The caller gets RoadRunner's text.
var ErrNotScalable = errors.New("plugin does not support workers management")

// Source tells about the plugins that have workers. "Plugin" is RoadRunner's
// word for what owns a pool: http, jobs, service, ...
type Source interface {
	Plugins() []string
	// Workers returns the plugin's workers, nil when there is no such plugin.
	Workers(plugin string) []*Worker
	// Jobs returns the states of the plugin's pipelines, nil when it has none
	// or they cannot be read.
	Jobs(ctx context.Context, plugin string) []*Job
}

// Scaler adds and removes one worker of a plugin.
type Scaler interface {
	AddWorker(ctx context.Context, plugin string) error
	RemoveWorker(ctx context.Context, plugin string) error
}

// Worker is RoadRunner's record of one worker. The Go field names are on the
// wire in gob and MessagePack.
type Worker struct {
	Pid         int64   `json:"pid"`
	Status      int64   `json:"status"`   // code of the state; 1 for processes of the service plugin
	NumExecs    uint64  `json:"numExecs"` // executions begun
	Created     int64   `json:"created"`  // Unix time in nanoseconds
	MemoryUsage uint64  `json:"memoryUsage"`
	CPUPercent  float64 `json:"CPUPercent"` // CPU time / life time * 100
	Command     string  `json:"command"`    // of the service plugin only
	StatusStr   string  `json:"statusStr"`  // "" for the service plugin
}

// WorkerList is the result of informer.Workers.
type WorkerList struct {
	// Workers is null in JSON for an unknown plugin.
	Workers []*Worker `json:"workers"`
}

// Job is the state of one job pipeline.
type Job struct {
	Pipeline string
	Driver   string
	Queue    string
	Active   int64
	Delayed  int64
	Reserved int64
	// Ready is false for a paused pipeline.
	Ready        bool
	Priority     uint64
	ErrorMessage string
}

// Register adds the informer's methods to s.
func Register(s *rpc.Server, source Source, scaler Scaler) {
	rpc.Register(s, "informer.List", rpc.Anyone, func(_ context.Context, _ *bool, list *[]string) error {
		if *list = source.Plugins(); *list == nil {
			*list = []string{}
		}
		return nil
	})
	rpc.Register(s, "informer.Workers", rpc.Anyone, func(_ context.Context, plugin *string, list *WorkerList) error {
		list.Workers = source.Workers(*plugin)
		return nil
	})
	rpc.Register(s, "informer.Jobs", rpc.Anyone, func(ctx context.Context, plugin *string, list *[]*Job) error {
		*list = source.Jobs(ctx, *plugin)
		return nil
	})
	// RoadRunner answers false to a change that succeeded.
	scale := func(do func(context.Context, string) error) func(context.Context, *string, *bool) error {
		return func(ctx context.Context, plugin *string, _ *bool) error {
			err := do(ctx, *plugin)
			if errors.Is(err, ErrNotScalable) {
				return fmt.Errorf("plugin %s does not support workers management", *plugin)
			}
			return err
		}
	}
	rpc.Register(s, "informer.AddWorker", rpc.Operator, scale(scaler.AddWorker))
	rpc.Register(s, "informer.RemoveWorker", rpc.Operator, scale(scaler.RemoveWorker))
}
