package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/spf13/cobra"
)

// logQuery is what rrctl logs asks the journal.
type logQuery struct {
	follow   bool
	lines    string
	since    string
	until    string
	priority string
	grep     string
	requests []string
	pools    []string
	workers  []string
	channels []string
}

func (c *cli) logsCommand() *cobra.Command {
	var q logQuery
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show the log of an instance: of one request, worker, pool or channel",
		Long: `Show the log of an instance: of one request, worker, pool or channel. The lines
come from the journal, by journalctl, so the instance must run under systemd;
the reader must be root or a member of the group systemd-journal or adm.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := c.instanceName()
			if err != nil {
				return err
			}
			return c.become(cmd.Context(), append([]string{"journalctl"}, q.args(name, c.json)...))
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&q.follow, "follow", "f", false, "go on with new lines")
	f.StringVarP(&q.lines, "lines", "n", "", `how many of the latest lines, or "all" (default 1000; 10 with -f)`)
	f.StringVarP(&q.since, "since", "S", "", `from this time: "2026-01-31 12:00", "10 min ago", today`)
	f.StringVarP(&q.until, "until", "U", "", "up to this time")
	f.StringVarP(&q.priority, "priority", "p", "", "this and more important: debug, info, warning, err")
	f.StringVarP(&q.grep, "grep", "g", "", "lines that match this regular expression")
	f.StringArrayVar(&q.requests, "request", nil, "lines of the request with this id, repeatable")
	f.StringArrayVar(&q.pools, "pool", nil, "lines about this pool and its workers, repeatable")
	f.StringArrayVar(&q.workers, "worker", nil, "lines about and of the worker with this pid, repeatable")
	f.StringArrayVar(&q.channels, "channel", nil, "lines of this channel: http, server, rpc, app, ..., repeatable")
	_ = cmd.RegisterFlagCompletionFunc("priority", cobra.FixedCompletions([]string{"debug", "info", "warning", "err"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("pool", c.completePools)
	return cmd
}

// args are those of journalctl. It wants all of unit, pool, worker and so on to
// match, and one of the values where a field is given twice.
func (q *logQuery) args(instance string, json bool) []string {
	args := []string{"--unit=rr@" + instance + ".service", "--output=short-iso"}
	if json {
		args[1] = "--output=json"
	}
	lines := q.lines
	if lines == "" && !q.follow {
		lines = "1000" // the end is what people look for
	}
	for _, o := range [][2]string{
		{"lines", lines}, {"since", q.since}, {"until", q.until}, {"priority", q.priority}, {"grep", q.grep},
	} {
		if o[1] != "" {
			args = append(args, "--"+o[0]+"="+o[1])
		}
	}
	if q.follow {
		args = append(args, "--follow")
	}
	for _, m := range []struct {
		field  string
		values []string
	}{{"RR_REQUEST_ID", q.requests}, {"RR_POOL", q.pools}, {"RR_WORKER", q.workers}, {"RR_LOGGER", q.channels}} {
		for _, v := range m.values {
			args = append(args, m.field+"="+v)
		}
	}
	return args
}

// instanceName is the instance that is meant, by its name alone.
func (c *cli) instanceName() (string, error) {
	if c.socket != "" {
		return "", usageError{errors.New("--socket does not name an instance of systemd: use -i")}
	}
	return c.chosen()
}

// become replaces this process by another program, which then has the terminal,
// its signals and its exit status to itself.
func (c *cli) become(_ context.Context, argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("cannot find %s: this needs systemd (%w)", argv[0], err)
	}
	return fmt.Errorf("cannot run %s: %w", path, syscall.Exec(path, argv, os.Environ()))
}
