package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

func (r *rr) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Start the server",
		RunE: func(*cobra.Command, []string) error {
			daemon, err := findDaemon()
			if err != nil {
				return err
			}
			return fmt.Errorf("cannot run %s: %w", daemon, syscall.Exec(daemon, r.daemonArgs(), os.Environ()))
		},
	}
}

// daemonArgs are the flags of rrd for those of `rr serve`.
func (r *rr) daemonArgs() []string {
	args := []string{"rrd", "--roadrunner", "--config", r.config}
	for _, o := range r.overrides {
		args = append(args, "-o", o)
	}
	if r.workDir != "" {
		args = append(args, "-w", r.workDir)
	}
	if r.dotenv != "" {
		args = append(args, "--dotenv", r.dotenv)
	}
	for _, f := range []struct {
		set  bool
		flag string
	}{{r.pid, "-p"}, {r.silent, "-s"}, {r.debug, "-d"}, {r.experimental, "-e"}} {
		if f.set {
			args = append(args, f.flag)
		}
	}
	return args
}

// findDaemon prefers the rrd that lies beside this program, so that both are of
// one version.
func findDaemon() (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "rrd")
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return beside, nil
		}
	}
	path, err := exec.LookPath("rrd")
	if err != nil {
		return "", errors.New("cannot find the program rrd, neither beside rr nor in PATH")
	}
	return filepath.Abs(path)
}
