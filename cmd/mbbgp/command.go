package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes. Scripts may rely on them.
const (
	exitOK          = 0
	exitFailure     = 1 // what was asked for did not work, is not there, or the file is wrong
	exitUsage       = 2 // what was asked for makes no sense
	exitUnreachable = 3 // no bridge answers
)

// exitConfiguration is EX_CONFIG of sysexits.h: 'mbbgp run' would fail again
// if it were started again.
const exitConfiguration = 78

// misconfigured is what is wrong with the configuration of a process that was to
// run by it.
type misconfigured struct{ error }

// usageError is a mistake on the command line that flags and arguments did not
// show by themselves.
type usageError struct{ error }

// reported is a failure that the command has told in its own words.
type reported struct{ error }

// execute runs a command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	begun := false
	root := newRoot()
	root.PersistentPreRun = func(*cobra.Command, []string) { begun = true }
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)

	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if errors.As(err, new(reported)) {
		return exitFailure
	}
	for line := range strings.Lines(strings.TrimSpace(err.Error())) {
		_, _ = fmt.Fprintf(stderr, "mbbgp: %s\n", strings.TrimSuffix(line, "\n"))
	}
	if errors.As(err, new(unreachable)) {
		return exitUnreachable
	}
	if errors.As(err, new(misconfigured)) {
		return exitConfiguration
	}
	if begun && !errors.As(err, new(usageError)) {
		return exitFailure
	}
	_, _ = fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", command.CommandPath())
	return exitUsage
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "mbbgp",
		Short: "Bridge between MetalBond hypervisors and a BGP fabric",
		Long: `mbbgp joins two control planes: MetalBond, by which IronCore's hypervisors
tell each other where the addresses of virtual machines are, and BGP (EVPN, VPN
and unicast), by which a data centre fabric does. What one side announces in a
VNI, the other side hears, as far as the configuration allows.

New here? Run 'mbbgp demo': it needs no privilege and no configuration.`,
		Example: `  mbbgp demo                        routes crossing a bridge, in one process
  mbbgp config --reference          an example configuration with every setting
  mbbgp check -c mbbgp.yaml         is this file right?
  mbbgp run -c mbbgp.yaml           the bridge
  mbbgp explain --vni 200 10.1.0.7  why is this route here, or not there?
  mbbgp show peers                  who speaks with the bridge?
  mbbgp client --server [2001:db8::a]:4711 --subscribe 100
                                    watch VNI 100 of a MetalBond server

Exit codes: 0 it worked, 1 it did not or there is no such thing, 2 the command
line is wrong, 3 no bridge answers.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(runCommand(), serverCommand(), clientCommand(), demoCommand(),
		checkCommand(), configCommand(), explainCommand(), showCommand(),
		announceCommand(), withdrawCommand(), reloadCommand(), drainCommand(), migrateCommand(), cleanupCommand(), benchCommand(), versionCommand(), manCommand())
	return root
}

// configFile makes a command take the configuration file, with or without -c
// before it, and returns where its path will be.
func configFile(c *cobra.Command) *string {
	path := c.Flags().StringP("config", "c", "/etc/mbbgp/mbbgp.yaml", "configuration `FILE`")
	c.Use += " [[-c] FILE]"
	c.DisableFlagsInUseLine = true
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) > 0 && c.Flags().Changed("config") {
			return fmt.Errorf("one file only, not %s too", args[0])
		}
		if err := cobra.MaximumNArgs(1)(c, args); err != nil {
			return err
		}
		if len(args) == 1 {
			*path = args[0]
		}
		return nil
	}
	extensions := []string{"yaml", "yml"}
	_ = c.MarkFlagFilename("config", extensions...) // only fails for a flag that is not there
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return extensions, cobra.ShellCompDirectiveFilterFileExt
	}
	return path
}
