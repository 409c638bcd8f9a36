package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

// socketUnits are the units beside rr@.service.
var socketUnits = []string{"http", "https", "h3", "rpc", "grpc", "status", "metrics", "fileserver", "tcp"}

// unit is one unit of systemd.
type unit struct {
	Name     string     `json:"unit"`
	Active   string     `json:"active"` // active, inactive, failed, activating, ...
	Sub      string     `json:"sub"`    // running, listening, ...
	Enabled  string     `json:"enabled"`
	Since    *time.Time `json:"since,omitempty"`
	PID      int        `json:"pid,omitempty"`
	Restarts int        `json:"restarts,omitempty"` // by systemd, since the start by a person
	Memory   uint64     `json:"memory,omitempty"`
	Result   string     `json:"result,omitempty"` // why it failed
	Status   string     `json:"status,omitempty"` // what rrd says of itself
	Listen   []string   `json:"listen,omitempty"`
}

func (u *unit) service() bool { return strings.HasSuffix(u.Name, ".service") }

func (c *cli) unitsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "units",
		Short: "Show the systemd units and sockets of an instance, or of all",
		Long: `Show the systemd units and sockets of an instance, or of all of them when none is
named. Exits with 1 when a unit has failed or the service does not run.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name := c.instance
			if name == "" {
				name = os.Getenv("RR_INSTANCE")
			}
			if c.socket != "" {
				return usageError{errors.New("--socket does not name an instance of systemd: use -i")}
			}
			units, err := readUnits(cmd.Context(), name)
			if err != nil {
				return err
			}
			if len(units) == 0 {
				return &noDaemonError{errors.New("systemd knows no instance of rr@.service; start one: systemctl start rr@NAME")}
			}
			if c.json {
				err = c.printJSON(units)
			} else {
				limit := 0
				if width, _, ok := terminalSize(c.out); ok {
					limit = width
				}
				_, err = fmt.Fprint(c.out, unitsTable(units, c.now()).plain(colours(c.out), limit))
			}
			if err == nil && slices.ContainsFunc(units, func(u unit) bool { return u.Active == "failed" || u.service() && u.Active != "active" }) {
				return errSilent
			}
			return err
		},
	}
}

// readUnits asks systemctl. An instance that is named is in the answer even if
// systemd has not loaded its units.
func readUnits(ctx context.Context, instance string) ([]unit, error) {
	names := []string{"rr@*.service", "rr-*@*.socket"}
	if instance != "" {
		names = []string{"rr@" + instance + ".service"}
		for _, s := range socketUnits {
			names = append(names, "rr-"+s+"@"+instance+".socket")
		}
	}
	args := append([]string{"show", "--timestamp=unix", "--property=Id,ActiveState,SubState,UnitFileState,StateChangeTimestamp,MainPID,NRestarts,MemoryCurrent,Result,StatusText,Listen", "--"}, names...)
	cmd := exec.CommandContext(ctx, "systemctl", args...)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(problem.String()); text != "" {
			return nil, fmt.Errorf("cannot ask systemd: %s", text)
		}
		return nil, fmt.Errorf("cannot ask systemd: %w", err)
	}
	return parseUnits(out.String()), nil
}

// parseUnits reads what systemctl show prints: KEY=VALUE lines, units apart by
// an empty line. Sockets that are neither open nor enabled are left out.
func parseUnits(text string) []unit {
	var units []unit
	for block := range strings.SplitSeq(text, "\n\n") {
		var u unit
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			switch key {
			case "Id":
				u.Name = value
			case "ActiveState":
				u.Active = value
			case "SubState":
				u.Sub = value
			case "UnitFileState":
				u.Enabled = value
			case "StateChangeTimestamp":
				if n, err := strconv.ParseInt(strings.TrimPrefix(value, "@"), 10, 64); err == nil && n > 0 {
					t := time.Unix(n, 0)
					u.Since = &t
				}
			case "MainPID":
				u.PID, _ = strconv.Atoi(value)
			case "NRestarts":
				u.Restarts, _ = strconv.Atoi(value)
			case "MemoryCurrent":
				if n, err := strconv.ParseUint(value, 10, 63); err == nil { // "[not set]", or the largest number
					u.Memory = n
				}
			case "Result":
				if value != "success" {
					u.Result = value
				}
			case "StatusText":
				u.Status = value
			case "Listen": // "/run/rr/app/rpc.sock (Stream)"
				u.Listen = append(u.Listen, value)
			}
		}
		if u.Name != "" && (u.service() || u.Active != "inactive" || strings.HasPrefix(u.Enabled, "enabled")) {
			units = append(units, u)
		}
	}
	slices.SortFunc(units, func(a, b unit) int {
		return strings.Compare(unitOrder(a.Name), unitOrder(b.Name))
	})
	return units
}

// unitOrder puts an instance's service before its sockets.
func unitOrder(name string) string {
	stem, instance, _ := strings.Cut(name, "@")
	instance, kind, _ := strings.Cut(instance, ".")
	return instance + "\x00" + kind + "\x00" + stem
}

func unitsTable(units []unit, now time.Time) *table {
	t := &table{columns: []column{{"UNIT", false}, {"STATE", false}, {"ENABLED", false}, {"SINCE", false}, {"PID", true}, {"MEMORY", true}, {"RESTARTS", true}, {"STATUS", false}}}
	for i := range units {
		u := &units[i]
		since, pid, memory, restarts := "", "", "", ""
		if u.Since != nil {
			since = ago(*u.Since, now)
		}
		if u.PID > 0 {
			pid = fmt.Sprint(u.PID)
		}
		if u.Memory > 0 {
			memory = humanize.Bytes(u.Memory)
		}
		if u.Restarts > 0 {
			restarts = fmt.Sprint(u.Restarts)
		}
		status := u.Status
		if len(u.Listen) > 0 {
			status = strings.Join(u.Listen, ", ")
		}
		if u.Result != "" {
			status = strings.TrimSpace(u.Result + "  " + status)
		}
		t.add(cell{u.Name, plain}, cell{u.Active + " (" + u.Sub + ")", unitStyle(u.Active)}, cell{u.Enabled, plain}, cell{since, plain},
			cell{pid, plain}, cell{memory, plain}, cell{restarts, plain}, cell{status, plain})
	}
	return t
}

func unitStyle(active string) style {
	switch active {
	case "active":
		return green
	case "failed":
		return red
	case "inactive":
		return plain
	}
	return yellow
}
