package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// speakerModule is the BGP library, the part of the build that an operator
// asks about.
const speakerModule = "github.com/osrg/gobgp/v4"

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which build this is",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				info = &debug.BuildInfo{}
			}
			return printVersion(c.OutOrStdout(), info)
		},
	}
}

// printVersion writes one fact a line: what it is, then its value.
func printVersion(w io.Writer, info *debug.BuildInfo) error {
	settings := make(map[string]string, len(info.Settings))
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	lines := [][2]string{{"mbbgp", moduleVersion(info)}}
	if revision := settings["vcs.revision"]; revision != "" {
		if settings["vcs.modified"] == "true" {
			revision += ", modified"
		}
		lines = append(lines, [2]string{"commit", revision + " of " + settings["vcs.time"]})
	}
	for _, m := range info.Deps {
		if m.Path == speakerModule {
			lines = append(lines, [2]string{"gobgp", m.Version})
		}
	}
	lines = append(lines, [2]string{"go", runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH})
	for _, l := range lines {
		if _, err := fmt.Fprintf(w, "%-7s %s\n", l[0], l[1]); err != nil {
			return err
		}
	}
	return nil
}

// buildVersion is the version of this build in one word.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return moduleVersion(info)
}

func moduleVersion(info *debug.BuildInfo) string {
	switch v := info.Main.Version; v {
	case "", "(devel)":
		return "development"
	default:
		return v
	}
}
