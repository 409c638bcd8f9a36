// Command rrctl talks to a running rrd: it shows how an instance is doing,
// reloads and stops it, and checks configuration files. Called as rr it takes
// RoadRunner's commands.
//
// Exit codes: 0 done, 1 the operation failed, 2 wrong usage, 3 no daemon
// reachable or answering, 4 not allowed, 5 done with warnings (doctor). As rr: 0 or 1.
package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rr-systemd/rrd/services/rpc"
)

const (
	exitOK = iota
	exitFailed
	exitUsage
	exitNoDaemon
	exitRefused
	exitWarned
)

// cli is what every command needs of the outside.
type cli struct {
	in       *os.File
	out, err io.Writer
	runDir   string // holds INSTANCE/rpc.sock
	now      func() time.Time

	instance string        // --instance
	socket   string        // --socket
	json     bool          // --json
	timeout  time.Duration // --timeout, 0 if it is not given
}

// errSilent is an error that has been reported already.
var errSilent = errors.New("")

type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	c := &cli{in: os.Stdin, out: os.Stdout, err: os.Stderr, runDir: "/run/rr", now: time.Now}
	code := c.run(ctx, filepath.Base(os.Args[0]), os.Args[1:])
	stop()
	os.Exit(code)
}

// run runs the command line of rr or rrctl and returns the exit code.
func (c *cli) run(ctx context.Context, name string, args []string) int {
	if name == "rr" {
		return c.runRR(ctx, args)
	}
	root := c.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, errSilent) {
		printError(c.err, "rrctl: "+err.Error())
	}
	var usage usageError
	var none *noDaemonError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &none):
		return exitNoDaemon
	case rpc.Refused(err), errors.Is(err, fs.ErrPermission):
		return exitRefused
	case errors.Is(err, errWarned):
		return exitWarned
	}
	return exitFailed
}
