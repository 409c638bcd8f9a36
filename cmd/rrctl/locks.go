package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/lock"
	"github.com/rr-systemd/rrd/services/lock/lockpb"
)

func (c *cli) locksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "locks [RESOURCE...]",
		Short: "Show the locks that are held: owner, time left, who waits",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			list := []lock.Resource{}
			if err := c.call(cmd.Context(), "lock.List", new(bool), &list); err != nil {
				return err
			}
			if len(names) > 0 {
				list = slices.DeleteFunc(list, func(r lock.Resource) bool { return !slices.Contains(names, r.Name) })
			}
			slices.SortFunc(list, func(a, b lock.Resource) int { return strings.Compare(a.Name, b.Name) })
			if c.json {
				return c.printJSON(list)
			}
			if len(list) == 0 {
				_, err := fmt.Fprintln(c.out, "no lock is held")
				return err
			}
			limit := 0
			if width, _, ok := terminalSize(c.out); ok {
				limit = width
			}
			_, err := fmt.Fprint(c.out, locksTable(list).plain(colours(c.out), limit))
			return err
		},
		ValidArgsFunction: c.completeLocks,
	}
	cmd.AddCommand(c.locksReleaseCommand())
	return cmd
}

func locksTable(list []lock.Resource) *table {
	t := &table{columns: []column{{"RESOURCE", false}, {"MODE", false}, {"WAITING", true}, {"TTL", true}, {"TOKEN", true}, {"OWNER", false}}}
	for _, r := range list {
		waiting := number(r.Waiting)
		if r.Waiting > 0 {
			waiting.style = yellow
		}
		for i, h := range r.Holders {
			if i > 0 {
				waiting = cell{"", plain}
			}
			t.add(cell{r.Name, plain}, cell{r.Mode, plain}, waiting, cell{short(seconds(h.TTL)), plain}, cell{fmt.Sprint(h.Token), faint}, cell{h.ID, plain})
		}
	}
	return t
}

func (c *cli) locksReleaseCommand() *cobra.Command {
	var owner string
	cmd := &cobra.Command{
		Use:   "release RESOURCE",
		Short: "Release the locks of a resource, whoever holds them",
		Long: `Release the locks of a resource, whoever holds them. Their owners are not told: what
they guard is open to the next.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeFirst(c.completeLocks),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := c.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			q := &lockpb.Request{Resource: args[0]}
			method := "lock.ForceRelease"
			if owner != "" {
				q.Id, method = owner, "lock.Release"
			}
			var r lockpb.Response
			if err := client.Call(cmd.Context(), method, rpc.Proto, q, &r); err != nil {
				return err
			}
			if c.json {
				if err := c.printJSON(map[string]any{"resource": args[0], "released": r.GetOk()}); err != nil {
					return err
				}
			}
			switch {
			case r.GetOk() && c.json:
				return nil
			case r.GetOk():
				_, err = fmt.Fprintf(c.out, "%s: %s\n", printable(args[0]), green.paint("released", colours(c.out)))
				return err
			case c.json:
				return errSilent
			case owner != "":
				return fmt.Errorf("%s holds no lock on %s", owner, args[0])
			}
			return errors.New("no lock on " + args[0])
		},
	}
	cmd.Flags().StringVar(&owner, "owner", "", "release the lock of this owner only")
	return cmd
}

// completeLocks lists resources, for the shell.
func (c *cli) completeLocks(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var list []lock.Resource
	_ = c.call(cmd.Context(), "lock.List", new(bool), &list) // without a daemon there is nothing to offer
	names := make([]string, len(list))
	for i, r := range list {
		names[i] = r.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
