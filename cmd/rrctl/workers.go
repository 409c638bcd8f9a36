package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/control"
)

func (c *cli) workersCommand() *cobra.Command {
	var interactive bool
	cmd := &cobra.Command{
		Use:               "workers [POOL...]",
		Short:             "Show the worker processes and what they do",
		ValidArgsFunction: c.completePools,
		RunE: func(cmd *cobra.Command, pools []string) error {
			if interactive && c.json {
				return usageError{fmt.Errorf("--interactive and --json exclude each other")}
			}
			if interactive {
				return c.watchWorkers(cmd.Context(), pools)
			}
			var r control.WorkersResult
			if err := c.call(cmd.Context(), "rrd.Workers", &control.WorkersRequest{Pools: pools}, &r); err != nil {
				return err
			}
			if c.json {
				return c.printJSON(r.Workers)
			}
			limit := 0
			if width, _, ok := terminalSize(c.out); ok {
				limit = width
			}
			_, err := fmt.Fprint(c.out, workersTable(r.Workers, c.now()).plain(colours(c.out), limit))
			return err
		},
	}
	cmd.Flags().BoolVarP(&interactive, "interactive", "i", false, "redraw every second; q or Ctrl-C quits")
	return cmd
}

// watchWorkers is the live view. It outlives restarts of the daemon.
func (c *cli) watchWorkers(ctx context.Context, pools []string) error {
	var client *connection
	defer func() {
		if client != nil {
			_ = client.Close()
		}
	}()
	first := true
	return c.live(ctx, func(ctx context.Context, width int) (string, error) {
		if client == nil {
			var err error
			if client, err = c.dial(ctx); err != nil {
				if first {
					return "", err
				}
				return red.paint(printable(err.Error()), colours(c.out)) + "\n", nil
			}
		}
		text, err := workersView(ctx, client, pools, c.now(), width, colours(c.out))
		if err != nil {
			if first {
				return "", err // such as a pool that does not exist
			}
			_ = client.Close()
			client = nil
			return red.paint(printable(err.Error()), colours(c.out)) + "\n", nil
		}
		first = false
		return text, nil
	})
}

// workersView is one picture of the live view.
func workersView(ctx context.Context, client *connection, pools []string, now time.Time, width int, colours bool) (string, error) {
	var s control.Status
	if err := client.Call(ctx, "rrd.Status", rpc.JSON, &control.Done{}, &s); err != nil {
		return "", err
	}
	var r control.WorkersResult
	if err := client.Call(ctx, "rrd.Workers", rpc.JSON, &control.WorkersRequest{Pools: pools}, &r); err != nil {
		return "", err
	}
	working := 0
	for _, w := range r.Workers {
		if w.State == "working" {
			working++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %d/%d working, %d waiting, %s%s   %s\n\n",
		bold.paint(title(&s), colours), printable(s.State), working, len(r.Workers), s.Queue,
		humanize.Comma(int64(s.HTTPRequests)), plural(s.HTTPRequests, " request"), now.Format(time.TimeOnly))
	b.WriteString(workersTable(r.Workers, now).plain(colours, width))
	return b.String(), nil
}

func workersTable(workers []control.Worker, now time.Time) *table {
	t := &table{columns: []column{{"POOL", false}, {"PID", true}, {"STATE", false}, {"GEN", true}, {"CREATED", false},
		{"EXECS", true}, {"MEMORY", true}, {"CPU %", true}, {"IPC", false}, {"FOR", true}, {"REQUEST", false}, {"LAST END", false}}}
	for _, w := range workers {
		request, age := "", ""
		if r := w.Request; r != nil {
			request, age = strings.TrimSpace(r.Label+" "+r.Detail), fmt.Sprintf("%.1fs", r.Age)
		}
		t.add(cell{w.Pool, plain}, cell{fmt.Sprint(w.PID), plain}, cell{w.State, stateStyle(w.State)}, number(w.Generation),
			cell{ago(w.Created, now), plain}, number(w.Execs), cell{humanize.Bytes(w.Memory), plain},
			cell{fmt.Sprintf("%.2f", w.CPUPercent), plain}, cell{w.Transport, plain}, cell{age, plain}, cell{request, plain}, cell{w.LastCause, faint})
	}
	return t
}

// stateStyle has RoadRunner's colours.
func stateStyle(state string) style {
	switch state {
	case "inactive", "invalid":
		return yellow
	case "ready":
		return cyan
	case "working":
		return green
	case "stopped", "errored":
		return red
	}
	return plain
}
