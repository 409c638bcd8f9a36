package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/daemon"
	"github.com/rr-systemd/rrd/daemon/config"
)

func (c *cli) configCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "config",
		Short: "Check or show a configuration file",
		Args:  cobra.ArbitraryArgs,
		RunE:  unknownCommand,
	}
	group.AddCommand(c.configCheckCommand(), c.configDumpCommand())
	return group
}

// loadFlags are the options of rrd that decide what a file means.
func loadFlags(cmd *cobra.Command) *config.Options {
	o := new(config.Options)
	cmd.Flags().StringArrayVarP(&o.Overrides, "override", "o", nil, "override a key (key=value), repeatable")
	cmd.Flags().StringVarP(&o.WorkDir, "workdir", "w", "", "folder in which relative paths start (default that of the file)")
	cmd.Flags().StringVar(&o.Dotenv, "dotenv", "", "read environment variables from this file")
	cmd.Flags().BoolVar(&o.Lenient, "lenient", false, "unknown keys are warnings, not errors")
	cmd.Flags().BoolVarP(&o.Experimental, "enable-experimental", "e", false, "heed experimental keys")
	return o
}

func (c *cli) configCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Find the mistakes in a configuration file without starting anything",
		Args:  cobra.ExactArgs(1),
	}
	o := loadFlags(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		o.File = args[0]
		tree, err := config.Load(*o)
		if err == nil {
			err = daemon.CheckConfig(tree)
		}
		var warnings []string
		if tree != nil {
			for _, w := range tree.Warnings() {
				warnings = append(warnings, w.String())
			}
		}
		if c.json {
			result := struct {
				File     string   `json:"file"`
				OK       bool     `json:"ok"`
				Error    string   `json:"error,omitempty"`
				Warnings []string `json:"warnings,omitempty"`
			}{File: o.File, OK: err == nil, Warnings: warnings}
			if err != nil {
				result.Error = err.Error()
			}
			if printErr := c.printJSON(&result); printErr != nil {
				return printErr
			}
			if err != nil {
				return errSilent
			}
			return nil
		}
		for _, w := range warnings {
			fmt.Fprintln(c.err, yellow.paint("warning: "+w, colours(c.err)))
		}
		if err != nil {
			return c.mistakes(err)
		}
		_, err = fmt.Fprintf(c.out, "%s: %s\n", o.File, green.paint("ok", colours(c.out)))
		return err
	}
	return cmd
}

// mistakes prints those of a configuration: they have a line each.
func (c *cli) mistakes(err error) error {
	for line := range strings.Lines(err.Error()) {
		printError(c.err, "rrctl: "+line)
	}
	return errSilent
}

func (c *cli) configDumpCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dump FILE",
		Short: "Print the effective configuration: includes, variables and overrides resolved, secrets hidden",
		Args:  cobra.ExactArgs(1),
	}
	o := loadFlags(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		o.File = args[0]
		tree, err := config.Load(*o)
		if err != nil {
			return c.mistakes(err)
		}
		var text []byte
		if c.json {
			text, err = tree.DumpJSON()
			text = append(text, '\n')
		} else {
			text, err = tree.DumpYAML()
		}
		if err == nil {
			_, err = c.out.Write(text)
		}
		return err
	}
	return cmd
}
