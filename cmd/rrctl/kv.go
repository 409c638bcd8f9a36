package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/ipc/rpc"
	"github.com/rr-systemd/rrd/services/kv"
	"github.com/rr-systemd/rrd/services/kv/kvv1"
)

func (c *cli) kvCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "kv",
		Short: "Look into the key-value storages and change them",
		Long: `Look into the key-value storages and change them. Without a command it lists the
storages.

Values are bytes, as they are in the store: PHP's package serializes what it
writes, so that a string reads s:5:"hello";.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args)
			}
			return c.kvStorages(cmd.Context())
		},
	}
	group.AddCommand(c.kvListCommand(), c.kvGetCommand(), c.kvSetCommand(), c.kvDeleteCommand(), c.kvTTLCommand(), c.kvClearCommand())
	return group
}

func (c *cli) kvStorages(ctx context.Context) error {
	list := []kv.StorageInfo{}
	if err := c.call(ctx, "kv.Storages", new(bool), &list); err != nil {
		return err
	}
	if c.json {
		return c.printJSON(list)
	}
	t := &table{columns: []column{{"STORAGE", false}, {"DRIVER", false}}}
	for _, s := range list {
		t.add(cell{s.Name, plain}, cell{s.Driver, plain})
	}
	_, err := fmt.Fprint(c.out, t.plain(colours(c.out), 0))
	return err
}

// kv calls one of RoadRunner's methods.
func (c *cli) kv(ctx context.Context, method, storage string, items ...*kvv1.Item) ([]*kvv1.Item, error) {
	client, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var r kvv1.Response
	err = client.Call(ctx, "kv."+method, rpc.Proto, &kvv1.Request{Storage: storage, Items: items}, &r)
	return r.GetItems(), kvCause(explain(err))
}

// kvCause is the error without the names of RoadRunner's operations, which PHP
// clients look for: "rpc_mget: no such storage: x".
func kvCause(err error) error {
	if err == nil {
		return nil
	}
	operation, cause, ok := strings.Cut(err.Error(), ": ")
	if !ok || !strings.HasPrefix(operation, "rpc_") {
		return err
	}
	return errors.New(strings.TrimSpace(cause))
}

func kvKeys(keys []string) []*kvv1.Item {
	items := make([]*kvv1.Item, len(keys))
	for i, k := range keys {
		items[i] = &kvv1.Item{Key: k}
	}
	return items
}

func (c *cli) kvListCommand() *cobra.Command {
	var q kv.KeysRequest
	cmd := &cobra.Command{
		Use:               "ls STORAGE [PREFIX]",
		Short:             "List the keys of a storage, sorted",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: c.completeFirst(c.completeStorages),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Storage = args[0]
			if len(args) > 1 {
				q.Prefix = args[1]
			}
			var r kv.KeysResult
			if err := c.call(cmd.Context(), "kv.Keys", &q, &r); err != nil {
				return err
			}
			if c.json {
				return c.printJSON(&r)
			}
			for _, k := range r.Keys {
				fmt.Fprintln(c.out, printable(k))
			}
			if r.More {
				fmt.Fprintln(c.err, yellow.paint(fmt.Sprintf("there are more than %d: raise --limit or name a prefix", len(r.Keys)), colours(c.err)))
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&q.Limit, "limit", 1000, "how many keys at most")
	return cmd
}

func (c *cli) kvGetCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "get STORAGE KEY",
		Short:             "Print the value of a key; exits with 1 if there is none",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: c.completeFirst(c.completeStorages),
		RunE: func(cmd *cobra.Command, args []string) error {
			items, err := c.kv(cmd.Context(), "MGet", args[0], &kvv1.Item{Key: args[1]})
			if err != nil {
				return err
			}
			if len(items) == 0 {
				return fmt.Errorf("%s has no key %q", args[0], args[1])
			}
			value := items[0].GetValue()
			switch {
			case c.json:
				return c.printJSON(kvValue(args[1], value))
			case isTerminal(c.out):
				for line := range strings.Lines(string(value)) {
					fmt.Fprintln(c.out, printable(strings.TrimSuffix(line, "\n")))
				}
				return nil
			}
			_, err = c.out.Write(value)
			return err
		},
	}
}

// kvValue is a value for JSON, which has no bytes.
func kvValue(key string, value []byte) any {
	type text struct {
		Key    string `json:"key"`
		Value  string `json:"value"`
		Base64 bool   `json:"base64,omitempty"`
	}
	if utf8.Valid(value) {
		return text{key, string(value), false}
	}
	return text{key, base64.StdEncoding.EncodeToString(value), true}
}

func (c *cli) kvSetCommand() *cobra.Command {
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:               "set STORAGE KEY VALUE",
		Short:             "Write a key; the value - is read from standard input",
		Args:              cobra.ExactArgs(3),
		ValidArgsFunction: c.completeFirst(c.completeStorages),
		RunE: func(cmd *cobra.Command, args []string) error {
			item := &kvv1.Item{Key: args[1], Value: []byte(args[2])}
			if args[2] == "-" {
				value, err := io.ReadAll(c.in)
				if err != nil {
					return fmt.Errorf("cannot read the value: %w", err)
				}
				item.Value = value
			}
			switch {
			case ttl < 0:
				return usageError{fmt.Errorf("--ttl %v is negative", ttl)}
			case ttl > 0:
				item.Timeout = c.now().Add(ttl).UTC().Format(time.RFC3339Nano)
			}
			_, err := c.kv(cmd.Context(), "Set", args[0], item)
			return err
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long the key lives (default for ever)")
	return cmd
}

func (c *cli) kvDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "del STORAGE KEY...",
		Short:             "Delete keys; one that is not there is no error",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: c.completeFirst(c.completeStorages),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := c.kv(cmd.Context(), "Delete", args[0], kvKeys(args[1:])...)
			return err
		},
	}
}

// kvTTL is when a key ends.
type kvTTL struct {
	Key     string     `json:"key"`
	Expires *time.Time `json:"expires"` // null: never
}

func (c *cli) kvTTLCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "ttl STORAGE KEY...",
		Short:             "Show how long keys live; exits with 1 if one is not there",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: c.completeFirst(c.completeStorages),
		RunE: func(cmd *cobra.Command, args []string) error {
			storage, keys := args[0], args[1:]
			there, err := c.kv(cmd.Context(), "Has", storage, kvKeys(keys)...)
			if err != nil {
				return err
			}
			// Drivers differ in whether they tell of keys that live for ever.
			times, err := c.kv(cmd.Context(), "TTL", storage, kvKeys(keys)...)
			if err != nil {
				return err
			}
			ends := map[string]string{}
			for _, item := range times {
				ends[item.GetKey()] = item.GetTimeout()
			}
			list := []kvTTL{}
			for _, item := range there {
				e := kvTTL{Key: item.GetKey()}
				if text := ends[item.GetKey()]; text != "" {
					at, err := time.Parse(time.RFC3339, text)
					if err != nil {
						return fmt.Errorf("%s ends at %q, which is no time: %w", e.Key, text, err)
					}
					e.Expires = &at
				}
				list = append(list, e)
			}
			if c.json {
				err = c.printJSON(list)
			} else {
				_, err = fmt.Fprint(c.out, kvTTLTable(list, c.now()).plain(colours(c.out), 0))
			}
			if err == nil && len(list) < len(keys) {
				return errSilent
			}
			return err
		},
	}
}

func kvTTLTable(list []kvTTL, now time.Time) *table {
	t := &table{columns: []column{{"TTL", true}, {"KEY", false}}}
	for _, e := range list {
		left := "never"
		if e.Expires != nil {
			left = short(e.Expires.Sub(now))
		}
		t.add(cell{left, plain}, cell{e.Key, plain})
	}
	return t
}

func (c *cli) kvClearCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:               "clear STORAGE",
		Short:             "Delete all keys of a storage",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeFirst(c.completeStorages),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return usageError{errors.New("this deletes every key of " + args[0] + ", with redis and memcached those of others in the same database too: say --yes")}
			}
			_, err := c.kv(cmd.Context(), "Clear", args[0])
			return err
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "really")
	return cmd
}

func (c *cli) completeStorages(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var list []kv.StorageInfo
	_ = c.call(cmd.Context(), "kv.Storages", new(bool), &list) // without a daemon there is nothing to offer
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
