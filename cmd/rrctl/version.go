package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/daemon"
)

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Print the version of rrctl",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			if c.json {
				return c.printJSON(map[string]string{
					"version": daemon.Version, "build_time": daemon.BuildTime, "go": runtime.Version(),
					"roadrunner": daemon.RoadRunnerVersion,
				})
			}
			_, err := fmt.Fprintf(c.out, "rrctl version %s\n", versionText(daemon.Version, ""))
			return err
		},
	}
}

// versionText has the form that RoadRunner's `rr --version` prints after the
// word version, which tools parse. more goes into the parentheses.
func versionText(version, more string) string {
	return fmt.Sprintf("%s (build time: %s, %s%s), OS: %s, arch: %s", version, daemon.BuildTime, runtime.Version(), more, runtime.GOOS, runtime.GOARCH)
}
