package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/control"
)

func (c *cli) stopCommand() *cobra.Command {
	var req control.StopRequest
	var noWait bool
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "Stop the daemon: finish running requests, then exit",
		Long: `Stop the daemon: finish running requests, then exit.

Returns when the daemon's socket has closed. A daemon that systemd started stays
down as well; with a socket unit the next connection starts it again.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			client, err := c.dial(ctx)
			if err != nil {
				return err
			}
			defer client.Close()
			if err := client.Call(ctx, "rrd.Stop", rpc.JSON, &req, &control.Done{}); err != nil || noWait {
				return err
			}
			var late <-chan time.Time // never, by default
			if c.timeout > 0 {
				late = time.After(c.timeout)
			}
			select {
			case <-client.Done():
				return nil
			case <-late:
				return fmt.Errorf("the daemon has not stopped within %s; it goes on finishing requests", c.timeout)
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}
	cmd.Flags().BoolVarP(&req.Force, "force", "f", false, "end running requests instead of waiting for them")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return as soon as the stop has begun")
	return cmd
}
