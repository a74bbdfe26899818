package main

import (
	"fmt"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func serverCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "server",
		Short: "Run a plain MetalBond server, without BGP",
		Long: `Run a MetalBond server that passes the routes of its clients on to each other.
It takes the flags of metalbond's and of rustbond's server and can stand in for
either. It needs no configuration file.`,
		Example: `  mbbgp server
  mbbgp server --listen [::1]:4711 --http [::1]:4712
  mbbgp server -l 0.0.0.0:4711 --keepalive 3 --verbose
  mbbgp server --tls-certificate server.crt --tls-key server.key --tls-ca clients.crt`,
		Args: cobra.NoArgs,
	}
	listen := c.Flags().StringArrayP("listen", "l", []string{"[::]:4711"}, "serve clients on `ADDRESS`; may be given more than once")
	c.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "listener" { // rustbond's word
			name = "listen"
		}
		return pflag.NormalizedName(name)
	})
	plain, secure := addPlainFlags(c), addServerTLSFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		signal.Ignore(syscall.SIGPIPE) // who reads the log may end before us
		cfg := plain.config()
		for _, text := range *listen {
			address, err := parseListen(text)
			if err != nil {
				return err
			}
			cfg.MetalBond.Listen = append(cfg.MetalBond.Listen, address)
		}
		var err error
		if cfg.MetalBond.TLS, err = secure.server(); err != nil {
			return err
		}
		log, err := plain.log.logger(cfg.Log, c.ErrOrStderr())
		if err != nil {
			return err
		}
		d, err := newDaemon(cfg, log)
		if err != nil {
			return err
		}
		d.operator.log = log
		if err := d.Run(c.Context()); err != nil {
			return fmt.Errorf("server: %w", err)
		}
		return nil
	}
	return c
}
