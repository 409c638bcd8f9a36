package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rr-systemd/rrd/ipc/rpc"
)

func (r *rr) resetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reset [plugin...]",
		Short: "Reset workers of all or specific RoadRunner plugins",
		RunE: func(cmd *cobra.Command, plugins []string) error {
			client, err := r.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			if len(plugins) == 0 {
				if err := client.Call(cmd.Context(), "resetter.List", rpc.JSON, new(bool), &plugins); err != nil {
					return err
				}
			}
			log := r.progress()
			for _, p := range plugins {
				log.Printf("resetting plugin: [%s] ", p)
			}
			var failures []error
			resetAll(cmd.Context(), client, plugins, func(plugin string, err error) {
				if err != nil {
					// RoadRunner prints success here.
					failures = append(failures, fmt.Errorf("cannot reset plugin [%s]: %w", plugin, err))
					return
				}
				log.Printf("plugin reset: [%s]", plugin)
			})
			return errors.Join(failures...)
		},
	}
}
