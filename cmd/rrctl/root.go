package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const rootLong = `rrctl shows and controls a running rrd.

The instance is named by -i before the command or --instance after it, else by
the environment variable RR_INSTANCE; without either it is the only one that
runs. --socket names the RPC socket itself, a path or unix:// or tcp:// address.

Exit codes: 0 done, 1 the operation failed, 2 wrong usage, 3 no daemon reachable
or none that answers, 4 not allowed, 5 done with warnings (doctor).`

func (c *cli) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "rrctl [-i INSTANCE] COMMAND",
		Short: "Show and control a running rrd",
		Long:  rootLong,
		// -i is the instance here and "interactive" after `workers`, as in
		// RoadRunner; cobra keeps them apart only if the flags before the
		// command are parsed on their own.
		TraverseChildren: true,
		SilenceErrors:    true,
		SilenceUsage:     true,
		Args:             cobra.ArbitraryArgs,
		RunE:             unknownCommand,
	}
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetFlagErrorFunc(flagError)
	root.Flags().StringVarP(&c.instance, "instance", "i", "", "instance to talk to (default $RR_INSTANCE, else the only one that runs)")
	root.PersistentFlags().StringVar(&c.socket, "socket", "", "RPC socket: path, unix://PATH or tcp://HOST:PORT")
	root.PersistentFlags().Var((*positive)(&c.timeout), "timeout", "how long the daemon may take to answer (default 10s; reload, reset, scale, stop and service without limit)")
	root.PersistentFlags().BoolVar(&c.json, "json", false, "print JSON")
	_ = root.RegisterFlagCompletionFunc("instance", c.completeInstances)

	for _, talk := range []*cobra.Command{c.statusCommand(), c.workersCommand(), c.topCommand(), c.reloadCommand(), c.resetCommand(), c.scaleCommand(),
		c.stopCommand(), c.kvCommand(), c.locksCommand(), c.serviceCommand(), c.metricsCommand(), c.logsCommand(), c.unitsCommand(), c.doctorCommand()} {
		talk.PersistentFlags().StringVar(&c.instance, "instance", c.instance, "instance to talk to")
		_ = talk.RegisterFlagCompletionFunc("instance", c.completeInstances)
		root.AddCommand(talk)
	}
	root.AddCommand(c.configCommand(), c.versionCommand(), c.rrCommand())
	wrapUsage(root)
	return root
}

// unknownCommand is what a command that only groups others does.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError{errors.New(text + " (see " + cmd.CommandPath() + " --help)")}
}

func flagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	if strings.HasPrefix(text, "unknown shorthand flag: 'i'") {
		text += "; the instance is named before the command (rrctl -i INSTANCE " + cmd.Name() + ") or by --instance"
	}
	return usageError{fmt.Errorf("%s (see %s --help)", text, cmd.CommandPath())}
}

// misfit says what is wrong with the arguments of a command, by its Use line: a
// word in brackets may be left out.
func misfit(cmd *cobra.Command, args []string) string {
	words := strings.Fields(cmd.Use)[1:]
	required := 0
	for ; required < len(words) && !strings.HasPrefix(words[required], "["); required++ {
		words[required] = strings.TrimSuffix(words[required], "...")
	}
	switch {
	case len(args)+1 == required:
		return words[len(args)] + " is missing"
	case len(args) < required:
		return strings.Join(words[len(args):required], ", ") + " are missing"
	case len(args) > len(words):
		return fmt.Sprintf("%q is one argument too many", args[len(words)])
	}
	return fmt.Sprintf("the arguments %q do not fit", args)
}

// wrapUsage makes wrong arguments of all commands usage errors.
func wrapUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{fmt.Errorf("%s: write %s (see %s --help)", misfit(cmd, args), strings.TrimSuffix(cmd.UseLine(), " [flags]"), cmd.CommandPath())}
			}
			return nil
		}
	}
	for _, child := range cmd.Commands() {
		wrapUsage(child)
	}
}

// positive is a flag for a time that is longer than none.
type positive time.Duration

func (p *positive) String() string {
	if *p == 0 {
		return ""
	}
	return time.Duration(*p).String()
}

func (*positive) Type() string { return "duration" }

func (p *positive) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return errors.New("write a time such as 500ms, 30s or 5m")
	}
	*p = positive(d)
	return nil
}
