package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/informer"
)

func (r *rr) workersCommand() *cobra.Command {
	var interactive bool
	cmd := &cobra.Command{
		Use:   "workers [plugin...]",
		Short: "Show information about active RoadRunner workers",
		RunE: func(cmd *cobra.Command, plugins []string) error {
			ctx := cmd.Context()
			client, err := r.dial(ctx)
			if err != nil {
				return err
			}
			defer client.Close()
			if len(plugins) == 0 {
				if err := client.Call(ctx, "informer.List", rpc.JSON, new(bool), &plugins); err != nil {
					return err
				}
				slices.Sort(plugins) // the server's order is random
			}
			if !interactive {
				text, err := r.tables(ctx, client, plugins, boxWidth)
				if err != nil {
					return err
				}
				return r.printf("%s", text)
			}
			return r.live(ctx, func(ctx context.Context, width int) (string, error) {
				if width == 0 || width > boxWidth {
					width = boxWidth
				}
				return r.tables(ctx, client, plugins, width)
			})
		},
	}
	cmd.Flags().BoolVarP(&interactive, "interactive", "i", false, "render interactive workers table")
	return cmd
}

// tables draws the workers, and the pipelines of jobs, of all plugins, at most
// width columns wide.
func (r *rr) tables(ctx context.Context, client *connection, plugins []string, width int) (string, error) {
	var b strings.Builder
	colour := colours(r.out)
	for _, plugin := range plugins {
		var list informer.WorkerList
		err := client.Call(ctx, "informer.Workers", rpc.JSON, &plugin, &list)
		if errors.Is(err, rpc.ErrClosed) {
			return "", err
		}
		if err == nil && len(list.Workers) == 0 {
			continue
		}
		slices.SortFunc(list.Workers, func(a, b *informer.Worker) int { return cmp.Compare(a.Pid, b.Pid) })
		fmt.Fprintf(&b, "Workers of [%s]:\n", bold.paint(printable(plugin), colour))
		switch {
		case err != nil:
			b.WriteString(failureTable(plugin, err).box(colour, width))
		case plugin == "service":
			b.WriteString(processTable(list.Workers).box(colour, width))
		default:
			b.WriteString(poolTable(list.Workers, r.now()).box(colour, width))
		}
		if plugin != "jobs" {
			continue
		}
		var jobs []*informer.Job
		if err := client.Call(ctx, "informer.Jobs", rpc.JSON, &plugin, &jobs); err != nil || len(jobs) == 0 {
			continue // the states of pipelines are an extra
		}
		slices.SortFunc(jobs, func(a, b *informer.Job) int { return cmp.Compare(a.Pipeline, b.Pipeline) })
		fmt.Fprintf(&b, "Jobs of [%s]:\n", bold.paint(plugin, colour))
		b.WriteString(jobsTable(jobs).box(colour, width))
	}
	return b.String(), nil
}

func poolColumns() []column {
	return []column{{title: "PID"}, {title: "STATUS"}, {title: "EXECS"}, {title: "MEMORY"}, {title: "CPU %"}, {title: "CREATED"}}
}

func poolTable(workers []*informer.Worker, now time.Time) *table {
	t := &table{columns: poolColumns()}
	for _, w := range workers {
		t.add(cell{fmt.Sprint(w.Pid), plain}, cell{strings.ToUpper(w.StatusStr), stateStyle(w.StatusStr)}, number(w.NumExecs),
			cell{humanize.Bytes(w.MemoryUsage), plain}, cell{fmt.Sprintf("%.2f", w.CPUPercent), plain},
			cell{ago(time.Unix(0, w.Created), now), plain})
	}
	return t
}

func failureTable(plugin string, err error) *table {
	t := &table{columns: poolColumns()}
	failed := cell{"ERROR", red}
	t.add(cell{"0", plain}, cell{fmt.Sprintf("failed to receive information about %s plugin: %v", plugin, err), red}, failed, failed, failed, failed)
	return t
}

func processTable(workers []*informer.Worker) *table {
	t := &table{columns: []column{{title: "PID"}, {title: "MEMORY"}, {title: "CPU %"}, {title: "COMMAND"}}}
	for _, w := range workers {
		t.add(cell{fmt.Sprint(w.Pid), plain}, cell{humanize.Bytes(w.MemoryUsage), plain}, cell{fmt.Sprintf("%.2f", w.CPUPercent), plain}, cell{w.Command, plain})
	}
	return t
}

func jobsTable(jobs []*informer.Job) *table {
	t := &table{columns: []column{{title: "STATUS"}, {title: "PIPELINE"}, {title: "DRIVER"}, {title: "QUEUE"}, {title: "ACTIVE"}, {title: "DELAYED"}, {title: "RESERVED"}}}
	for _, j := range jobs {
		status := cell{"READY", green}
		if !j.Ready {
			status = cell{"PAUSED/STOPPED", yellow}
		}
		t.add(status, cell{j.Pipeline, plain}, cell{j.Driver, plain}, cell{j.Queue, plain}, number(j.Active), number(j.Delayed), number(j.Reserved))
	}
	return t
}
