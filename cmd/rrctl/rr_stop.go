package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// pidFile is in the folder in which the server was started with -p.
const pidFile = ".pid"

// forceAfter is how long after the first signal --force sends the second, which
// makes the server exit without waiting.
const forceAfter = time.Second

func (r *rr) stopCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stop",
		Short: "Stop RoadRunner server",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.enter(); err != nil {
				return err
			}
			pid, err := readPID()
			if err != nil {
				return err
			}
			r.progress().Printf("stopping process with PID: %d", pid)
			if err := terminate(pid); err != nil || !r.force {
				return err
			}
			select {
			case <-time.After(forceAfter):
			case <-cmd.Context().Done():
				return cmd.Context().Err()
			}
			if err := terminate(pid); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
			return nil
		},
	}
}

func readPID() (int, error) {
	data, err := os.ReadFile(pidFile)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%w, to create a .pid file, you must run RR with the following options: './rr serve -p'", err)
	}
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s holds %q, which is no process id; remove it and start the server with -p", pidFile, printable(string(data)))
	}
	return pid, nil
}

func terminate(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("cannot stop process %d: %w", pid, err)
	}
	return nil
}
