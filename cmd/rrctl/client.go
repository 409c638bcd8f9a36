package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/control"
)

const dialTimeout = 5 * time.Second

// dial connects to the chosen instance.
func (c *cli) dial(ctx context.Context) (*connection, error) {
	dsn, err := c.dsn()
	if err != nil {
		return nil, err
	}
	return dial(ctx, dsn, c.timeout)
}

// dial connects; timeout is that of the calls.
func dial(ctx context.Context, dsn string, timeout time.Duration) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	client, err := rpc.Dial(ctx, dsn)
	switch {
	case err == nil:
		return &connection{client, timeout}, nil
	case errors.Is(err, rpc.ErrDSN):
		return nil, usageError{fmt.Errorf("--socket %s: %w", dsn, err)}
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("no daemon at %s: the socket does not exist; is the instance started?", dsn)
	case errors.Is(err, syscall.ECONNREFUSED):
		err = fmt.Errorf("no daemon at %s: nobody listens; is the instance started?", dsn)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("cannot connect to %s: %w; be root or a member of the socket's group (rr)", dsn, fs.ErrPermission)
	default:
		err = fmt.Errorf("cannot connect to %s: %w", dsn, err)
	}
	return nil, &noDaemonError{err}
}

// call dials, calls one method and hangs up.
func (c *cli) call(ctx context.Context, method string, arg, reply any) error {
	client, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return explain(client.Call(ctx, method, rpc.JSON, arg, reply))
}

// explain says what net/rpc's text for an unknown service means: the methods of
// most services are there only if their section is.
func explain(err error) error {
	var remote *rpc.RemoteError
	if !errors.As(err, &remote) {
		return err
	}
	method, ok := strings.CutPrefix(remote.Text, "rpc: can't find service ")
	if !ok {
		method, ok = strings.CutPrefix(remote.Text, "rpc: can't find method ")
	}
	if !ok {
		return err
	}
	name, _, _ := strings.Cut(method, ".")
	return fmt.Errorf("the daemon does not know %s: the section %s is not in its configuration, or its version is older than that of rrctl", method, name)
}

// printJSON is the answer to --json.
func (c *cli) printJSON(v any) error {
	e := json.NewEncoder(c.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// completeFirst completes the first argument only.
func (c *cli) completeFirst(list cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return list(cmd, args, typed)
	}
}

// completePools lists the pools of workers, for the shell.
func (c *cli) completePools(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	var s control.Status
	_ = c.call(ctx, "rrd.Status", &control.Done{}, &s) // without a daemon there is nothing to offer
	names := make([]string, len(s.Pools))
	for i, p := range s.Pools {
		names[i] = p.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completePlugins lists what can be reset, for the shell.
func (c *cli) completePlugins(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	var list []string
	_ = c.call(ctx, "resetter.List", new(bool), &list) // as above
	return list, cobra.ShellCompDirectiveNoFileComp
}
