package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/services/control"
)

func (c *cli) topCommand() *cobra.Command {
	every := time.Second
	var count int
	var order, filter string
	var reverse bool
	cmd := &cobra.Command{
		Use:   "top [POOL...]",
		Short: "Watch pools and workers: memory, CPU, requests, queue",
		Long: `Watch pools and workers: memory, CPU, requests, queue. The key ? explains the keys.

Without a terminal, or on a dumb one, it prints one picture after the other, and
with --json one line for each.`,
		ValidArgsFunction: c.completePools,
		RunE: func(cmd *cobra.Command, pools []string) error {
			key := sortKey(order)
			if key < 0 {
				return usageError{fmt.Errorf("--sort %s: there is %s", order, strings.Join(sortNames(), ", "))}
			}
			if every < fastest || every > slowest {
				return usageError{fmt.Errorf("--delay %v: it must be between %v and %v", every, fastest, slowest)}
			}
			s := &sampler{dial: c.dial, now: c.now, pools: pools}
			defer s.Close()
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel() // ends a read that is under way
			f := frame{every: every, sort: key, filter: filter, reverse: reverse, colours: colours(c.out)}
			if c.json || count > 0 || os.Getenv("TERM") == "dumb" || !isTerminal(c.in) || !isTerminal(c.out) {
				return c.batch(ctx, newTop(ctx, s, f), count)
			}
			return c.watch(ctx, newTop(ctx, s, f))
		},
	}
	f := cmd.Flags()
	f.DurationVarP(&every, "delay", "d", every, "time between two pictures")
	f.IntVarP(&count, "count", "n", 0, "print so many pictures and end")
	f.StringVar(&order, "sort", sortKeys[0].name, "order of workers: "+strings.Join(sortNames(), ", "))
	f.BoolVarP(&reverse, "reverse", "r", false, "reverse the order")
	f.StringVar(&filter, "filter", "", "show workers that match: pool, pid, state, request")
	_ = cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(sortNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// watch runs the view on the whole terminal.
func (c *cli) watch(ctx context.Context, m *topModel) error {
	p := tea.NewProgram(m, tea.WithInput(c.in), tea.WithOutput(c.out), tea.WithAltScreen(), tea.WithoutSignalHandler())
	// Not tea.WithContext: there bubbletea ends its parts in a race with each other.
	stop := context.AfterFunc(ctx, p.Quit)
	defer stop()
	_, err := p.Run()
	switch {
	case m.failed != nil:
		return m.failed
	case ctx.Err() != nil:
		return nil // a signal ends it as q does
	}
	return err
}

// topRecord is one line of rrctl top --json.
type topRecord struct {
	Time    time.Time      `json:"time"`
	Status  control.Status `json:"status"`
	Pools   []topPool      `json:"pools"`
	Workers []topWorker    `json:"workers"`
}

// batch prints pictures one after the other, count of them or until ctx ends.
func (c *cli) batch(ctx context.Context, m *topModel, count int) error {
	m.keys = false
	if width, _, ok := terminalSize(c.out); ok {
		m.width = width
	}
	for n := 1; ; n++ {
		s, err := m.sampler.read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (m.last == nil || count > 0):
			return err
		}
		m.take(s, err)
		if err := c.printTop(m); err != nil {
			return err
		}
		if n == count {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(m.every):
		}
	}
}

func (c *cli) printTop(m *topModel) error {
	if !c.json {
		_, err := fmt.Fprintf(c.out, "%s\n\n", m.picture())
		return err
	}
	if m.problem != "" {
		return errors.New(m.problem)
	}
	list := filterWorkers(m.all, m.filter)
	sortWorkers(list, m.sort, m.reverse)
	return json.NewEncoder(c.out).Encode(topRecord{m.last.at, m.last.status, m.pools, list})
}
