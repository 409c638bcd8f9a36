// Package resetter is the RPC service "resetter": replace all workers of a
// plugin, so that they run the code that is on disk now.
package resetter

import (
	"context"
	"fmt"
	"slices"

	"github.com/rr-systemd/rrd/services/rpc"
)

// Resetter replaces the workers of one plugin.
type Resetter interface {
	// Plugins are those that can be reset.
	Plugins() []string
	// Reset returns when the plugin's new workers serve. On an error the old
	// ones go on serving.
	Reset(ctx context.Context, plugin string) error
}

// Register adds the resetter's methods to s.
func Register(s *rpc.Server, r Resetter) {
	rpc.Register(s, "resetter.List", rpc.Anyone, func(_ context.Context, _ *bool, list *[]string) error {
		if *list = r.Plugins(); *list == nil {
			*list = []string{}
		}
		return nil
	})
	rpc.Register(s, "resetter.Reset", rpc.Operator, func(ctx context.Context, plugin *string, done *bool) error {
		if err := reset(ctx, r, *plugin); err != nil {
			// The prefixes are RoadRunner's error format: operation, then
			// its cause on an indented line.
			return fmt.Errorf("resetter_rpc_reset:\n\tresetter_plugin_reset_by_name: %w", err)
		}
		*done = true
		return nil
	})
}

func reset(ctx context.Context, r Resetter, plugin string) error {
	if !slices.Contains(r.Plugins(), plugin) {
		return fmt.Errorf("no such plugin: %s", plugin)
	}
	return r.Reset(ctx, plugin)
}
