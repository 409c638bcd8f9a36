package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/services/control"
)

func (c *cli) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the state, the pools and the sockets of an instance",
		Long: `Show the state, the pools and the sockets of an instance.

Exits with 0 when the instance is ready (or reloading, which it serves through),
with 1 when it is starting, degraded or draining.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s control.Status
			if err := c.call(cmd.Context(), "rrd.Status", &control.Done{}, &s); err != nil {
				return err
			}
			if c.json {
				if err := c.printJSON(&s); err != nil {
					return err
				}
			} else if _, err := fmt.Fprint(c.out, statusText(&s, c.now(), colours(c.out))); err != nil {
				return err
			}
			if !s.Ready() {
				return errSilent
			}
			return nil
		},
	}
}

// statusText is the page that `rrctl status` prints.
func statusText(s *control.Status, now time.Time, colours bool) string {
	var b strings.Builder
	colour := stateColour(s.State)
	fmt.Fprintf(&b, "%s %s  %s since %s (%s)\n", colour.paint("●", colours), bold.paint(title(s), colours),
		colour.paint(s.State, colours), s.Since.Local().Format(time.DateTime), ago(s.Since, now))
	if s.Reason != "" {
		fmt.Fprintf(&b, "  %s\n", colour.paint(printable(s.Reason), colours))
	}
	b.WriteByte('\n')
	row := func(label, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %-9s %s\n", label, printable(text))
		}
	}
	row("version", s.Version)
	row("pid", fmt.Sprintf("%d, started %s", s.PID, ago(s.Started, now)))
	row("config", s.Config)
	row("http", humanize.Comma(int64(s.HTTPRequests))+plural(s.HTTPRequests, " request"))
	row("queue", fmt.Sprintf("%d waiting", s.Queue))
	for i, l := range s.Listeners {
		label := ""
		if i == 0 {
			label = "listeners"
		}
		text := fmt.Sprintf("%s %s://%s", l.Name, l.Network, l.Address)
		if l.Inherited {
			text += " (from systemd)"
		}
		fmt.Fprintf(&b, "  %-9s %s\n", label, printable(text))
	}
	if len(s.Pools) > 0 {
		b.WriteByte('\n')
		b.WriteString(poolsTable(s.Pools).plain(colours, 0))
	}
	return b.String()
}

// stateColour is that of a state of the daemon.
func stateColour(state string) style {
	switch state {
	case "degraded":
		return red
	case "starting", "reloading", "draining", "stopped":
		return yellow
	}
	return green
}

// title is the name of the instance; one that a person started has none.
func title(s *control.Status) string {
	if s.Instance == "" {
		return "rrd"
	}
	return printable(s.Instance)
}

func poolsTable(pools []control.Pool) *table {
	t := &table{columns: []column{{"POOL", false}, {"GENERATION", true}, {"WORKERS", true}, {"READY", true}, {"WORKING", true}, {"WAITING", true}, {"EXECS", true}}}
	for _, p := range pools {
		t.add(cell{p.Name, plain}, number(p.Generation), number(p.Workers), number(p.Ready), number(p.Working), number(p.Queue), number(p.Execs))
	}
	return t
}

func number[T int | int64 | uint64](n T) cell { return cell{humanize.Comma(int64(n)), plain} }

func ago(t, now time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return humanize.RelTime(t, now, "ago", "from now")
}

func plural(n uint64, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
