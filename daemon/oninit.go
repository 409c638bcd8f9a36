package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/rr-systemd/rrd/daemon/config"
	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/pool/worker"
)

// runOnInit runs server.on_init once, before the first worker is started. Its
// output goes line by line to the channel "server". It gets no RR_* variables.
//
// A failure stops the start only with exit_on_error, as in RoadRunner. Unlike
// there the configured environment wins over the inherited one, and user works.
func (d *Daemon) runOnInit(serving context.Context, s *settings) error {
	cfg := s.server.OnInit
	cred, err := credential("server.on_init", cfg.User, "")
	if err != nil {
		return s.tree.Locate(err)
	}
	dir, err := resolveDir(s.server.Dir)
	if err != nil {
		return s.tree.Locate(err)
	}
	ctx, cancel := context.WithTimeout(serving, cfg.ExecTimeout)
	defer cancel()
	argv := worker.Argv(cfg.Command)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = config.ProcessEnv(s.tree.Environ(), cfg.Env)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: cred}
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
			d.log.Info(lines.Text(), "command", "on_init")
		}
		_, _ = io.Copy(io.Discard, r)
	}()
	runtime.LockOSThread() // Pdeathsig is sent when the thread that forked ends
	err = cmd.Run()
	runtime.UnlockOSThread()
	w.Close()
	<-logged

	switch {
	case err == nil:
		return nil
	case serving.Err() != nil:
		return serving.Err()
	case ctx.Err() != nil:
		err = s.tree.At("server.on_init.exec_timeout", fmt.Errorf("startup process has been killed by timeout: %q took longer than %s", strings.Join(argv, " "), cfg.ExecTimeout))
	case errors.Is(err, exec.ErrWaitDelay):
		return nil // it ended well and left a child behind that holds its output
	default:
		err = s.tree.At("server.on_init.command", fmt.Errorf("cannot run %q: %w", strings.Join(argv, " "), err))
	}
	if cfg.ExitOnError {
		return err
	}
	d.log.Error("on_init was finished with errors", logkey.Error, err)
	return nil
}
