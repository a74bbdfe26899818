package main

import (
	"github.com/spf13/cobra"

	"mbbgp/config"
)

func configCommand() *cobra.Command {
	var reference bool
	c := &cobra.Command{
		Use:   "config",
		Short: "Print the effective configuration",
		Long: `Print the configuration as mbbgp understands it, with every default filled in.
The output is a configuration file that means the same.

With --reference, print an example file that names every setting and says what
it does, what is allowed and what the default is.`,
		Example: `  mbbgp config -c mbbgp.yaml
  mbbgp config --reference > mbbgp.yaml`,
	}
	path := configFile(c)
	c.Flags().BoolVar(&reference, "reference", false, "print the commented reference file instead")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if reference {
			_, err := c.OutOrStdout().Write(config.Reference)
			return err
		}
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		text, err := cfg.Marshal()
		if err != nil {
			return err
		}
		_, err = c.OutOrStdout().Write(text)
		return err
	}
	return c
}
