package daemon

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/rr-systemd/rrd/ipc/logkey"
)

// signals serves the process signals until ctx ends.
//
//	INT TERM QUIT ABRT  stop gracefully; a second one ends the process at once
//	HUP USR2            reload: new configuration, new generation of workers
//
// RoadRunner dies of SIGHUP, and answers SIGUSR2 by a full stop followed by a
// restart; here nothing stops serving.
func (d *Daemon) signals(ctx context.Context, stop context.CancelFunc) {
	ch := make(chan os.Signal, 4)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(ch)
	stopping := false
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-ch:
			switch sig {
			case syscall.SIGHUP, syscall.SIGUSR2:
				d.background.Go(func() {
					// The outcome is in the log and in STATUS=.
					_, _ = d.Reload(ctx)
				})
			default:
				if stopping {
					d.roadRunnerLine("exit forced")
					d.log.Error("exit forced by a second signal", "signal", sig.String())
					os.Exit(1)
				}
				stopping = true
				d.roadRunnerLine(fmt.Sprintf("stop signal received, grace timeout is: %0.f seconds", d.grace().Seconds()))
				d.log.Info("stop signal received", "signal", sig.String(), logkey.Key, "endure.grace_period")
				stop()
			}
		}
	}
}

// roadRunnerLine prints a line that scripts around `rr serve` look for.
func (d *Daemon) roadRunnerLine(line string) {
	if d.opts.RoadRunner && !d.opts.Silent {
		fmt.Fprintln(os.Stdout, line)
	}
}
