package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool/worker"
)

// runOnInit runs server.on_init once, before the first worker is started. Its
// output goes line by line to the channel "server".
//
// A failure stops the start only with exit_on_error, as in RoadRunner. Unlike
// there the configured environment wins over the inherited one, and user works.
func runOnInit(ctx context.Context, cfg *config.OnInit, env []string, dir string, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.ExecTimeout)
	defer cancel()

	argv := worker.Argv(cfg.Command)
	cred, err := credential(cfg.User, "")
	if err != nil {
		return fmt.Errorf("server.on_init: %w", err)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(env, upperEnv(cfg.Env)...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: cred}
	// The whole group goes at the time limit, not only the shell that leads it.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second

	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			log.Info(lines.Text(), "command", "on_init")
		}
		_, _ = io.Copy(io.Discard, r)
	}()
	err = cmd.Run()
	w.Close()
	<-logged

	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("server.on_init: startup process has been killed by timeout: %q took longer than exec_timeout (%s)", strings.Join(argv, " "), cfg.ExecTimeout)
	default:
		err = fmt.Errorf("server.on_init: cannot run %q: %w", strings.Join(argv, " "), err)
	}
	if cfg.ExitOnError {
		return err
	}
	log.Error("on_init was finished with errors", logkey.Error, err)
	return nil
}

// upperEnv makes NAME=value pairs of a map; RoadRunner upper-cases the names.
func upperEnv(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for k, v := range env {
		out = append(out, strings.ToUpper(k)+"="+v)
	}
	return out
}
