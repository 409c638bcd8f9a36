package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/ipc/rpc"
)

func (c *cli) resetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reset [POOL...]",
		Short: "Replace the workers of pools (of all by default), without reading the configuration",
		Long: `Replace the workers of pools (of all by default), so that they run the code that
is on disk now; a link in server.dir is followed anew. The configuration is not
read: reload does that.`,
		ValidArgsFunction: c.completePlugins,
		RunE: func(cmd *cobra.Command, pools []string) error {
			client, err := c.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			if len(pools) == 0 {
				if err := client.Call(cmd.Context(), "resetter.List", rpc.JSON, new(bool), &pools); err != nil {
					return err
				}
			}
			results := resetAll(cmd.Context(), client, pools, func(string, error) {})
			type outcome struct {
				Name  string `json:"name"`
				Error string `json:"error,omitempty"`
			}
			list := make([]outcome, len(pools))
			var failed error
			for i, err := range results {
				list[i].Name = pools[i]
				if err != nil {
					failed = errors.Join(failed, err)
					list[i].Error = resetCause(err)
				}
				if c.json {
					continue
				}
				if err != nil {
					printError(c.err, fmt.Sprintf("rrctl: cannot reset %s: %s", printable(pools[i]), resetCause(err)))
				} else {
					fmt.Fprintf(c.out, "%s: %s\n", printable(pools[i]), green.paint("reset", colours(c.out)))
				}
			}
			if c.json {
				if err := c.printJSON(list); err != nil {
					return err
				}
			}
			if failed != nil {
				return errors.Join(errSilent, failed)
			}
			return nil
		},
	}
}

// resetCause is the error without the names of RoadRunner's operations, which
// resetter.Reset puts before it for the sake of PHP clients.
func resetCause(err error) string {
	text := strings.TrimPrefix(err.Error(), "resetter_rpc_reset:\n\t")
	return strings.TrimPrefix(text, "resetter_plugin_reset_by_name: ")
}

// resetAll resets the pools at the same time and returns one error for each.
// done is called as each ends, by one goroutine at a time.
func resetAll(ctx context.Context, client *connection, pools []string, done func(pool string, err error)) []error {
	errs := make([]error, len(pools))
	var mu sync.Mutex
	var calls sync.WaitGroup
	for i, pool := range pools {
		calls.Go(func() {
			var ok bool
			err := client.Call(ctx, "resetter.Reset", rpc.JSON, &pool, &ok)
			mu.Lock()
			defer mu.Unlock()
			errs[i] = err
			done(pool, err)
		})
	}
	calls.Wait()
	return errs
}
