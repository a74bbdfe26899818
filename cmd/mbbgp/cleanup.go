package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

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

It refuses while a bridge answers on the configuration's 'http' address: 'kill
-USR1' drains that one.`,
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
		if err := nobodyServes(c.Context(), cfg.HTTP); err != nil {
			return err
		}
		return kernel.Cleanup(cfg, log)
	}
	return c
}

// nobodyServes fails if a bridge has the address of HTTP.
func nobodyServes(ctx context.Context, address string) error {
	if address == "" {
		return nil
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil
	}
	_ = conn.Close()
	return fmt.Errorf("something listens on %s, the http address of the configuration: stop the bridge first", address)
}
