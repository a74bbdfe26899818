package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"mbbgp/config"
)

// logFlags are what the command line says about the log; empty: not said.
type logFlags struct {
	levels []string // LEVEL or COMPONENT=LEVEL
	format string
}

func addLogFlags(c *cobra.Command) *logFlags {
	f := &logFlags{}
	c.Flags().StringSliceVar(&f.levels, "log-level", nil, "least severe `LEVEL` that is logged (error, warning, info, debug, trace), or COMPONENT=LEVEL for one of "+
		componentNames()+"; may be given more than once, or as a list with commas (default info)")
	c.Flags().StringVar(&f.format, "log-format", "", "`FORMAT` of log lines: text, json, or auto: text on a terminal, JSON otherwise (default auto)")
	_ = c.RegisterFlagCompletionFunc("log-level", completeLevel)
	_ = c.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"auto", "text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return f
}

// logger returns the log that the configuration asks for, where the command
// line does not say otherwise.
func (f *logFlags) logger(c config.Log, out io.Writer) (*logs, error) { return newLogs(c, *f, out) }

func componentNames() string {
	var names []string
	for _, c := range config.LogComponents() {
		names = append(names, c.String())
	}
	return strings.Join(names, ", ")
}

// completeLevel completes LEVEL and COMPONENT=LEVEL.
func completeLevel(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	levels := []string{"error", "warning", "info", "debug", "trace"}
	directive := cobra.ShellCompDirectiveNoFileComp
	if component, _, named := strings.Cut(begun, "="); named {
		for i := range levels {
			levels[i] = component + "=" + levels[i]
		}
		return levels, directive
	}
	for _, c := range config.LogComponents() {
		if begun != "" && strings.HasPrefix(c.String(), begun) {
			return []string{c.String() + "="}, directive | cobra.ShellCompDirectiveNoSpace
		}
	}
	return levels, directive
}
