package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"
)

const socketName = "rpc.sock"

// noDaemonError: there is nobody to talk to.
type noDaemonError struct{ error }

func (e *noDaemonError) Unwrap() error { return e.error }

// dsn finds the RPC socket: --socket, the named instance, or the only one.
func (c *cli) dsn() (string, error) {
	switch {
	case strings.Contains(c.socket, "://"):
		return c.socket, nil
	case c.socket != "":
		return "unix://" + c.socket, nil
	}
	name, err := c.chosen()
	if err != nil {
		return "", err
	}
	return "unix://" + filepath.Join(c.runDir, name, socketName), nil
}

// chosen is the name of the instance: as given, or the only one.
func (c *cli) chosen() (string, error) {
	name := c.instance
	if name == "" {
		name = os.Getenv("RR_INSTANCE")
	}
	if name == "" {
		running := c.instances()
		switch len(running) {
		case 0:
			return "", &noDaemonError{fmt.Errorf("no instance of rrd runs: no %s in any folder of %s; start one (systemctl start rr@NAME) or name its socket with --socket", socketName, c.runDir)}
		case 1:
			name = running[0]
		default:
			return "", usageError{fmt.Errorf("several instances run (%s): name one with -i before the command or RR_INSTANCE", strings.Join(running, ", "))}
		}
	}
	if strings.ContainsRune(name, filepath.Separator) || name == ".." || name == "." {
		return "", usageError{fmt.Errorf("%q is no instance name; name a socket with --socket", name)}
	}
	return name, nil
}

// instances lists the instances that have an RPC socket, sorted.
func (c *cli) instances() []string {
	paths, _ := filepath.Glob(filepath.Join(c.runDir, "*", socketName)) // the pattern is sound
	names := make([]string, 0, len(paths))
	for _, p := range paths {
		names = append(names, filepath.Base(filepath.Dir(p)))
	}
	sort.Strings(names)
	return names
}

func (c *cli) completeInstances(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return c.instances(), cobra.ShellCompDirectiveNoFileComp
}
