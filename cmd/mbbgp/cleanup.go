package main

import (
	"errors"

	"github.com/spf13/cobra"

	"mbbgp/config"
	"mbbgp/plugin/kernel"
)

func cleanupCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove from the kernel what a bridge has left there",
		Long: `Remove everything that an mbbgp with this configuration has put into the kernel
and left there when it ended: routes, next hop objects, rules, neighbors,
segments, the nftables table and the devices that it made. What somebody else
made stays, devices that were found and not made as well.

It refuses while a bridge with the same 'kernel.protocol' runs: 'kill -USR1'
drains that one.`,
		Example: `  mbbgp cleanup -c mbbgp.yaml`,
	}
	path := configFile(c)
	logging := addLogFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		log, err := logging.logger(cfg.Log, c.ErrOrStderr())
		if err != nil {
			return err
		}
		if cfg.Kernel == nil {
			return errors.New("the configuration has no kernel section, so there is nothing to remove")
		}
		return kernel.Cleanup(cfg, log.of(config.LogKernel))
	}
	return c
}
