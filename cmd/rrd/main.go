// Command rrd serves a PHP application: see rrd(8).
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/daemon"
	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/pool/isolate"
)

func main() {
	isolate.Run() // does not return in the first step of an isolated worker
	opts := daemon.Options{Instance: os.Getenv("RR_INSTANCE")}
	if err := command(&opts).Execute(); err != nil {
		report(err, opts.RoadRunner)
		os.Exit(1)
	}
}

func command(opts *daemon.Options) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:           "rrd [flags]",
		Short:         "PHP application server",
		Long:          "rrd serves one PHP application: it keeps PHP workers in memory and hands requests to them.",
		Args:          cobra.NoArgs,
		Version:       fmt.Sprintf("%s (built %s, compatible with RoadRunner %s)", daemon.Version, daemon.BuildTime, daemon.RoadRunnerVersion),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if check {
				return checkConfig(opts.Config)
			}
			d, err := daemon.New(*opts)
			if err != nil {
				return err
			}
			return d.Run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&opts.Config.File, "config", "c", config.DefaultFile, "configuration `file`")
	f.StringArrayVarP(&opts.Config.Overrides, "override", "o", nil, "override a configuration key, `key=value` (repeatable)")
	f.StringVarP(&opts.Config.WorkDir, "workdir", "w", "", "working `folder` (default: that of the configuration file)")
	f.StringVar(&opts.Config.Dotenv, "dotenv", "", "read environment variables from this `file`")
	f.BoolVarP(&opts.Config.Experimental, "enable-experimental", "e", false, "read the file that the key envfile names")
	f.BoolVar(&opts.Config.Lenient, "lenient", false, "warn about unknown keys instead of refusing them")
	f.BoolVar(&check, "check", false, "check the configuration and exit")
	f.BoolVarP(&opts.PidFile, "pid", "p", false, "write the process id to .pid in the working folder")
	f.BoolVarP(&opts.Debug, "debug", "d", false, "serve profiles on http://127.0.0.1:6061/debug/pprof/")
	f.BoolVar(&opts.RoadRunner, "roadrunner", false, "print the start, stop and error lines of rr serve")
	f.BoolVarP(&opts.Silent, "silent", "s", false, "leave the lines of --roadrunner out")
	f.BoolP("version", "v", false, "print the version and exit")
	cmd.SetVersionTemplate("rrd {{.Version}}\n")
	return cmd
}

func checkConfig(o config.Options) error {
	tree, err := config.Load(o)
	if err != nil {
		return err
	}
	err = daemon.CheckConfig(tree)
	for _, w := range tree.Warnings() {
		fmt.Fprintln(os.Stderr, "rrd: warning:", w.String())
	}
	return err
}

// report prints why the daemon ended, a line for each mistake. After `rr serve`
// the last is the text that RoadRunner prints; what that says too is left out of
// ours.
func report(err error, roadRunner bool) {
	last := ""
	var start *daemon.StartError
	if roadRunner && errors.As(err, &start) {
		last = start.RoadRunner()
	}
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSuffix(line, "\n"); !strings.Contains(last, line) {
			fmt.Fprintln(os.Stderr, "rrd:", line)
		}
	}
	if last != "" {
		fmt.Fprintln(os.Stderr, last)
	}
}
