package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/service"
)

// RoadRunner's messages of the methods service.*, in JSON.
type (
	serviceName struct {
		Name string `json:"name,omitempty"`
	}
	serviceList struct {
		Services []string `json:"services"`
	}
	serviceCreate struct {
		Name            string            `json:"name"`
		Command         string            `json:"command"`
		ProcessNum      int64             `json:"process_num"`
		ExecTimeout     int64             `json:"exec_timeout,omitempty"` // seconds
		RemainAfterExit bool              `json:"remain_after_exit,omitempty"`
		Env             map[string]string `json:"env,omitempty"`
		RestartSec      uint64            `json:"restart_sec,omitempty"`
		NameInLogs      bool              `json:"service_name_in_logs,omitempty"`
		TimeoutStopSec  uint64            `json:"timeout_stop_sec,omitempty"`
	}
)

func (c *cli) serviceCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "service",
		Short: "Show the programs that run beside the workers, start and stop them",
		Long: `Show the programs that run beside the workers (section service), start and stop
them. Without a command it lists them.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args)
			}
			return c.listServices(cmd.Context(), nil)
		},
	}
	group.AddCommand(
		&cobra.Command{
			Use:               "list [NAME...]",
			Short:             "Show services and their processes; exits with 1 if one has ended for good or keeps failing",
			Args:              cobra.ArbitraryArgs,
			ValidArgsFunction: c.completeServices,
			RunE:              func(cmd *cobra.Command, names []string) error { return c.listServices(cmd.Context(), names) },
		},
		c.serviceAction("restart", "Restart", "restarted", "Stop the processes of services and start them anew"),
		c.serviceAction("terminate", "Terminate", "terminated", "Stop services and forget them, until the daemon is restarted"),
		c.serviceCreateCommand(),
	)
	return group
}

func (c *cli) listServices(ctx context.Context, names []string) error {
	client, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	processes := []service.Status{}
	if err := client.Call(ctx, "service.Processes", rpc.JSON, &names, &processes); err != nil {
		return explain(err)
	}
	if c.json {
		err = c.printJSON(processes)
	} else {
		limit := 0
		if width, _, ok := terminalSize(c.out); ok {
			limit = width
		}
		_, err = fmt.Fprint(c.out, servicesTable(processes, c.now()).plain(colours(c.out), limit))
	}
	if err == nil && slices.ContainsFunc(processes, lost) {
		return errSilent
	}
	return err
}

// lost tells whether somebody should look at a process: it has ended and is not
// started again, or it fails again and again. One that waits for its next start is
// as its settings want it.
func lost(p service.Status) bool { return p.Failing || !p.Running && p.NextStart.IsZero() }

func servicesTable(list []service.Status, now time.Time) *table {
	t := &table{columns: []column{{"SERVICE", false}, {"STATE", false}, {"PID", true}, {"MEMORY", true}, {"CPU %", true}, {"LAST END", false}, {"COMMAND", false}}}
	for _, p := range list {
		state, pid, memory, cpu := cell{p.State, red}, "", "", ""
		switch {
		case p.Running:
			state, pid, memory, cpu = cell{p.State, green}, fmt.Sprint(p.PID), humanize.Bytes(p.Memory), fmt.Sprintf("%.2f", p.CPUPercent)
		case !p.NextStart.IsZero():
			left := max(0, p.NextStart.Sub(now)).Round(time.Second)
			state = cell{"starts in " + left.String(), yellow}
		}
		if p.Failing {
			state.style = red
		}
		end := p.LastEnd
		if p.Failures > 1 {
			end = fmt.Sprintf("%s (%d times)", end, p.Failures)
		}
		t.add(cell{p.Service, plain}, state, cell{pid, plain}, cell{memory, plain}, cell{cpu, plain}, cell{end, plain}, cell{p.Command, plain})
	}
	return t
}

// serviceAction is a command that calls a method for each of some services. One
// that fails does not keep the others from it.
func (c *cli) serviceAction(use, method, done, text string) *cobra.Command {
	return &cobra.Command{
		Use:               use + " NAME...",
		Short:             text,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: c.completeServices,
		RunE: func(cmd *cobra.Command, names []string) error {
			client, err := c.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			var errs []error
			for _, name := range names {
				err := explain(client.Call(cmd.Context(), "service."+method, rpc.JSON, &serviceName{name}, new(map[string]any)))
				if err != nil {
					errs = append(errs, fmt.Errorf("cannot %s %s: %w", use, name, err))
				} else if !c.json {
					fmt.Fprintf(c.out, "%s: %s\n", printable(name), green.paint(done, colours(c.out)))
				}
			}
			return errors.Join(errs...)
		},
	}
}

func (c *cli) serviceCreateCommand() *cobra.Command {
	q := serviceCreate{}
	var timeout, pause, patience time.Duration
	var env []string
	cmd := &cobra.Command{
		Use:   "create NAME COMMAND",
		Short: "Start a service that is not in the configuration, until the daemon is restarted",
		Long: `Start a service that is not in the configuration, until the daemon is restarted.
COMMAND is one argument; it is split at single spaces and run without a shell.`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Name, q.Command = args[0], args[1]
			for _, e := range env {
				name, value, ok := strings.Cut(e, "=")
				if !ok || name == "" {
					return usageError{fmt.Errorf("--env %s: write NAME=VALUE", e)}
				}
				if q.Env == nil {
					q.Env = make(map[string]string)
				}
				q.Env[name] = value
			}
			for flag, d := range map[string]time.Duration{"exec-timeout": timeout, "restart-after": pause, "stop-timeout": patience} {
				if d < 0 || d%time.Second != 0 {
					return usageError{fmt.Errorf("--%s %v: write whole seconds", flag, d)}
				}
			}
			q.ExecTimeout, q.RestartSec, q.TimeoutStopSec = int64(timeout/time.Second), uint64(pause/time.Second), uint64(patience/time.Second)
			q.RemainAfterExit = pause > 0
			if err := c.call(cmd.Context(), "service.Create", &q, new(map[string]any)); err != nil {
				return err
			}
			if c.json {
				return nil
			}
			_, err := fmt.Fprintf(c.out, "%s: %s\n", printable(q.Name), green.paint("started", colours(c.out)))
			return err
		},
	}
	f := cmd.Flags()
	f.Int64Var(&q.ProcessNum, "processes", 1, "how many processes")
	f.DurationVar(&timeout, "exec-timeout", 0, "kill a process after this time (default never)")
	f.DurationVar(&pause, "restart-after", 0, "start a process that ended anew after this time (default: not at all)")
	f.DurationVar(&patience, "stop-timeout", 0, "time between asking a process to stop and killing it (default 5s)")
	f.StringArrayVar(&env, "env", nil, "NAME=VALUE for its environment, repeatable")
	f.BoolVar(&q.NameInLogs, "name-in-logs", false, "log its output on the channel service.NAME")
	return cmd
}

// completeServices lists services, for the shell.
func (c *cli) completeServices(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var list serviceList
	_ = c.call(cmd.Context(), "service.List", &serviceName{}, &list) // without a daemon there is nothing to offer
	return list.Services, cobra.ShellCompDirectiveNoFileComp
}
