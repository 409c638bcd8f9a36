// Package status answers health checks over HTTP and RPC, in RoadRunner's form,
// and tells the state of the daemon.
package status

import (
	"context"
	"fmt"
	"time"

	"github.com/rr-systemd/rrd/services/rpc"
	"github.com/rr-systemd/rrd/services/status/statuspb"
)

// State is the daemon's, the same that `rrctl status`, STATUS= of systemd and the
// metrics tell.
type State struct {
	// Name is starting, ready, degraded, reloading, draining or stopped.
	Name   string    `json:"state"`
	Reason string    `json:"reason"` // why it is degraded
	Since  time.Time `json:"since"`
}

// Plugin is RoadRunner's word for what owns workers.
type Plugin struct {
	Name string
	// Ready workers are free, Working ones have a request.
	Ready, Working int
}

// Job is the state of a pipeline.
type Job struct {
	Pipeline string `json:"pipeline"`
	Priority uint64 `json:"priority"`
	Ready    bool   `json:"ready"`
	Queue    string `json:"queue"`
	Active   int64  `json:"active"`
	Delayed  int64  `json:"delayed"`
	Reserved int64  `json:"reserved"`
	Driver   string `json:"driver"`
	Error    string `json:"error_message"`
}

// Source tells how the daemon is doing.
type Source interface {
	State() State
	Plugins() []Plugin
	// Jobs returns the pipelines, false if there is no plugin jobs.
	Jobs(context.Context) ([]Job, bool)
}

// alive and ready are what a plugin is asked.
func alive(p Plugin) bool { return p.Ready+p.Working > 0 }
func ready(p Plugin) bool { return p.Ready > 0 }

// Register adds the RPC methods to s.
func Register(s *rpc.Server, source Source) {
	for method, q := range map[string]struct {
		prefix string
		well   func(Plugin) bool
	}{
		"status.Status": {"checker_rpc_status:\n\tchecker_plugin_status: ", alive},
		"status.Ready":  {"checker_rpc_ready:\n\tchecker_plugin_ready: ", ready},
	} {
		rpc.Register(s, method, rpc.Anyone, func(_ context.Context, r *statuspb.Request, a *statuspb.Response) error {
			for _, p := range source.Plugins() {
				if p.Name != r.GetPlugin() {
					continue
				}
				if a.Code = 200; !q.well(p) {
					a.Code = 503 // of the plugin, whatever unavailable_status_code says
				}
				return nil
			}
			return fmt.Errorf("%sno such plugin: %s", q.prefix, r.GetPlugin())
		})
	}
}
