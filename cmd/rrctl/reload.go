package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/services/control"
)

func (c *cli) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Read the configuration and the application's code anew",
		Long: `Read the configuration and the application's code anew, without losing a request.

New workers boot beside the old ones and take over when all of them are ready.
When they do not boot, the old ones go on serving, and rrctl prints why and what
the new worker wrote to stderr, and exits with 1.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r control.ReloadResult
			if err := c.call(cmd.Context(), "rrd.Reload", &control.ReloadRequest{}, &r); err != nil {
				return err
			}
			if c.json {
				if err := c.printJSON(&r); err != nil {
					return err
				}
			} else if _, err := fmt.Fprint(c.out, reloadText(&r, colours(c.out))); err != nil {
				return err
			}
			if r.Err() != nil {
				return errSilent
			}
			return nil
		},
	}
}

func reloadText(r *control.ReloadResult, colours bool) string {
	var b strings.Builder
	for _, p := range r.Pools {
		switch {
		case p.Error == "" && p.Generation == 0: // the programs of the section service
			fmt.Fprintf(&b, "%s: %s\n", p.Name, green.paint("restarted", colours))
			continue
		case p.Error == "":
			fmt.Fprintf(&b, "%s: %s, generation %d, %d%s\n", p.Name, green.paint("reloaded", colours), p.Generation, p.Workers, plural(uint64(p.Workers), " worker"))
			continue
		}
		serving := ""
		if p.Generation > 0 {
			serving = fmt.Sprintf(", generation %d goes on serving", p.Generation)
		}
		fmt.Fprintf(&b, "%s: %s%s\n", p.Name, red.paint("failed", colours), serving)
		for line := range strings.Lines(p.Error) {
			fmt.Fprintf(&b, "    %s\n", printable(strings.TrimRight(line, "\n")))
		}
	}
	for _, key := range r.NeedsRestart {
		fmt.Fprintf(&b, "%s: %s\n", yellow.paint("needs restart", colours), printable(key))
	}
	return b.String()
}
