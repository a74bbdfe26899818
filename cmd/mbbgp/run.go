package main

import (
	"github.com/spf13/cobra"

	"mbbgp/config"
)

func runCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the bridge",
		Long: `Run the bridge until SIGINT or SIGTERM. It then withdraws what it announced on
both sides and ends with code 0; a second signal ends it at once.

BGP neighbors are configured before hypervisors may connect. If VNIs originate
prefixes, hypervisors also wait for the fabric to offer them, up to the
configuration's 'bgp.settle'. Metrics, health, the tables, and what 'mbbgp
explain' and 'mbbgp show' ask for are served on its 'http' address.`,
		Example: `  mbbgp run -c mbbgp.yaml
  mbbgp run -c mbbgp.yaml --log-level debug --log-format text
  curl http://127.0.0.1:4712/readyz`,
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
		d, err := newDaemon(cfg, log)
		if err != nil {
			return err
		}
		return d.Run(c.Context())
	}
	return c
}
