package main

import (
	"context"
	"errors"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"mbbgp/config"
	"mbbgp/plugin/api"
)

func runCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the bridge",
		Long: `Run the bridge until a signal ends it:

  SIGINT, SIGTERM  withdraw what was announced on both sides and end; a second
                   one ends it at once. What is in the kernel stays, and
                   packets are forwarded as before until the next start takes
                   it over ('kernel.cleanup: true' removes it instead).
  SIGUSR1          drain: withdraw what was announced on both sides, forward for
                   'kernel.drain' longer, remove everything from the kernel and
                   end. SIGTERM cuts the wait short. 'mbbgp drain' does the same.

SIGHUP does not end it: it reads the file again and applies what has changed.
Sessions and routes that this does not concern go on. A file that is wrong, or
that needs a restart, changes nothing, and the log says why. 'mbbgp reload' does
the same.

The exit code is 0 at the end, and 78 if it cannot run by this configuration, whenever
it is tried again. 'mbbgp cleanup' removes later what has stayed.

BGP neighbors are configured before hypervisors may connect. If VNIs originate
prefixes, hypervisors also wait for the fabric to offer them, up to the
configuration's 'bgp.settle'. Metrics, health and the tables are served on its
'http' address, and 'api' is where the other commands reach it.`,
		Example: `  mbbgp run -c mbbgp.yaml
  mbbgp run -c mbbgp.yaml --log-level debug --log-format text
  curl http://127.0.0.1:4712/readyz
  mbbgp drain`,
	}
	path := configFile(c)
	logging := addLogFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		signal.Ignore(syscall.SIGPIPE) // who reads the log may end before us
		cfg, err := config.Load(*path)
		if err != nil {
			return misconfigured{err}
		}
		log, err := logging.logger(cfg.Log, c.ErrOrStderr())
		if err != nil {
			return err
		}
		d, err := newDaemon(cfg, log)
		if err != nil {
			return misconfigured{err}
		}
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGUSR1)
		defer stop()
		ctx, d.operator.drain = context.WithCancel(ctx)
		defer d.operator.drain()
		d.operator.log = log
		d.operator.reload = func(ctx context.Context) (api.Reloaded, error) { return d.reload(ctx, *path, log) }
		err = d.runReloading(ctx)
		drain := ctx.Err() != nil && c.Context().Err() == nil
		return errors.Join(err, leave(c.Context(), d.running.Load(), drain, log.of(config.LogKernel)))
	}
	return c
}
