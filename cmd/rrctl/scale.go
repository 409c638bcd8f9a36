package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/pool"
	"github.com/rr-systemd/rrd/services/control"
)

// scaled is the outcome of rrctl scale.
type scaled struct {
	Pool   string `json:"pool"`
	Before int    `json:"before"`
	After  int    `json:"after"`
	Error  string `json:"error,omitempty"` // why After is not what was asked for
}

func (c *cli) scaleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "scale POOL NUMBER",
		Short: "Change how many workers a pool has, until the next restart",
		Long: `Change how many workers a pool has.

Workers are added or removed one after the other; one that is removed finishes
its request before. The number holds until the next restart, or a reload that
changes num_workers of the configuration; with num_workers auto every reload works
it out anew.`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: c.completeFirst(c.completePools),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.HasPrefix(args[1], "+") || strings.HasPrefix(args[1], "-") {
				return usageError{fmt.Errorf("%q: write how many workers there are to be, not how many more or fewer", args[1])}
			}
			want, err := strconv.Atoi(args[1])
			if err != nil || want < 1 {
				return usageError{fmt.Errorf("%q is no number of workers: write 1 or more", args[1])}
			}
			if want > pool.MaxWorkers {
				return usageError{fmt.Errorf("a pool has at most %d workers", pool.MaxWorkers)}
			}
			client, err := c.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			before, err := poolSize(cmd.Context(), client, args[0])
			if err != nil {
				return err
			}
			result := scaled{Pool: args[0], Before: before, After: before}
			err = scale(cmd.Context(), client, &result, want)
			if err != nil {
				result.Error = err.Error()
			}
			if c.json {
				if err := c.printJSON(&result); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(c.out, "%s: %d%s, %s\n", printable(result.Pool), result.After, plural(uint64(result.After), " worker"), was(&result))
			}
			if err != nil && c.json {
				return fmt.Errorf("%w%w", errSilent, err)
			}
			return err
		},
	}
}

func was(r *scaled) string {
	if r.Before == r.After {
		return "as before"
	}
	return fmt.Sprintf("%d before", r.Before)
}

// poolSize is how many workers a pool is meant to have.
func poolSize(ctx context.Context, client *connection, name string) (int, error) {
	var s control.Status
	if err := client.Call(ctx, "rrd.Status", rpc.JSON, &control.Done{}, &s); err != nil {
		return 0, err
	}
	for _, p := range s.Pools {
		if p.Name == name {
			return p.Target, nil
		}
	}
	// The daemon says which there are.
	err := client.Call(ctx, "rrd.Workers", rpc.JSON, &control.WorkersRequest{Pools: []string{name}}, &control.WorkersResult{})
	if err == nil {
		err = fmt.Errorf("there is no pool %q", name)
	}
	return 0, err
}

// scale adds or removes workers until the pool has as many as wanted. r has what
// was reached, also on error.
func scale(ctx context.Context, client *connection, r *scaled, want int) error {
	for r.After != want {
		method := "informer.AddWorker"
		if want < r.After {
			method = "informer.RemoveWorker"
		}
		var done bool // RoadRunner answers false to a success
		if err := client.Call(ctx, method, rpc.JSON, &r.Pool, &done); err != nil {
			return err
		}
		now, err := poolSize(ctx, client, r.Pool)
		if err != nil {
			return err
		}
		if now == r.After {
			return fmt.Errorf("pool %s stays at %d%s: a reload came between (try again), or it is in debug mode, where each request has a worker of its own", r.Pool, now, plural(uint64(now), " worker"))
		}
		if (want > r.After) != (now > r.After) {
			return fmt.Errorf("pool %s changes by itself (%d%s now); its dynamic_allocator or another rrctl works against this", r.Pool, now, plural(uint64(now), " worker"))
		}
		r.After = now
	}
	return nil
}
