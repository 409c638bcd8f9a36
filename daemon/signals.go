package daemon

import (
	"context"
	"fmt"
	"os"
	"syscall"
)

// heed obeys the process signals until ctx ends.
//
//	INT TERM QUIT ABRT  stop gracefully; a second one ends the process at once
//	HUP USR2            reload: new configuration, new generation of workers;
//	                    during the start it follows when the daemon is ready
//
// RoadRunner dies of SIGHUP, and answers SIGUSR2 by a full stop followed by a
// restart; here nothing stops serving.
func (d *Daemon) heed(ctx context.Context, signals <-chan os.Signal) {
	stopping := false
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-signals:
			switch {
			case sig == syscall.SIGHUP || sig == syscall.SIGUSR2:
				d.reloadBySignal(ctx)
			case stopping:
				d.roadRunnerLine("exit forced")
				d.log.Error("exit forced by a second signal", "signal", sig.String())
				os.Exit(1) // the kernel ends the workers with this process
			default:
				stopping = true
				d.roadRunnerLine(fmt.Sprintf("stop signal received, grace timeout is: %0.f seconds", d.grace().Seconds()))
				d.log.Info("stop signal received", "signal", sig.String())
				d.stop()
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
