package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/daemon"
	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/rpc"
)

// rr is RoadRunner's command line: same commands, flags, texts, streams and
// exit codes.
type rr struct {
	*cli
	config       string
	workDir      string
	dotenv       string
	overrides    []string
	debug        bool
	silent       bool
	pid          bool
	force        bool
	experimental bool
}

func (c *cli) rrCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "rr COMMAND",
		Short:              "RoadRunner's commands: serve, workers, reset, stop",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.runRR(cmd.Context(), args) != exitOK {
				return errSilent
			}
			return nil
		},
	}
}

func (c *cli) runRR(ctx context.Context, args []string) int {
	r := &rr{cli: c}
	root := r.command()
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		if !errors.Is(err, errSilent) {
			printError(c.err, err.Error())
		}
		return exitFailed
	}
	return exitOK
}

func (r *rr) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "rr",
		Short:         "RoadRunner's command line for rrd",
		Version:       versionText(daemon.RoadRunnerVersion, ", rrd "+daemon.Version),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(r.out)
	root.SetErr(r.err)
	f := root.PersistentFlags()
	f.StringVarP(&r.config, "config", "c", config.DefaultFile, "config file")
	f.StringVarP(&r.workDir, "WorkDir", "w", "", "working directory")
	f.StringVar(&r.dotenv, "dotenv", "", "dotenv file")
	f.BoolVarP(&r.debug, "debug", "d", false, "debug mode (pprof)")
	f.BoolVarP(&r.silent, "silent", "s", false, "no start-up and progress messages")
	f.StringArrayVarP(&r.overrides, "override", "o", nil, "override a config value (dot.notation=value)")
	f.BoolVarP(&r.pid, "pid", "p", false, "write the server's pid to .pid")
	f.BoolVarP(&r.force, "force", "f", false, "force stop")
	f.BoolVarP(&r.experimental, "enable-experimental", "e", false, "enable experimental features")
	root.AddCommand(r.serveCommand(), r.workersCommand(), r.resetCommand(), r.stopCommand())
	return root
}

// enter changes to --WorkDir or else to the folder of the configuration, as
// RoadRunner does: .pid and relative socket paths are meant from there.
func (r *rr) enter() error {
	if r.workDir != "" {
		return os.Chdir(r.workDir)
	}
	file, err := filepath.Abs(r.config)
	if err != nil {
		return err
	}
	r.config = file
	return os.Chdir(filepath.Dir(file))
}

var errNoRPC = errors.New("rpc service not specified in the configuration. Tip: add\n rpc:\n\r listen: rr_rpc_address")

// dial connects to the rpc.listen of the configuration.
func (r *rr) dial(ctx context.Context) (*connection, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	tree, err := config.Load(config.Options{
		File: r.config, WorkDir: ".", Overrides: r.overrides, Dotenv: r.dotenv,
		// A client has no say in keys that only the server needs.
		Lenient: true,
	})
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			return nil, path
		}
		return nil, err
	}
	if !tree.Has("rpc") {
		return nil, errNoRPC
	}
	var section config.RPC
	if err := tree.Decode("rpc", &section); err != nil {
		return nil, err
	}
	if section.Listen == "" {
		return nil, rpc.ErrDSN
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	client, err := rpc.Dial(ctx, section.Listen)
	if err != nil {
		return nil, err
	}
	return &connection{client, 0}, nil
}

// progress is where messages with a time stamp go; nowhere with --silent.
func (r *rr) progress() *log.Logger {
	var w io.Writer = r.err
	if r.silent {
		w = io.Discard
	}
	return log.New(w, "", log.LstdFlags)
}

func (r *rr) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(r.out, format, args...)
	return err
}
