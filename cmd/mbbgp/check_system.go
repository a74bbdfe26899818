package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"mbbgp/config"
	"mbbgp/plugin/kernel"
)

// errLacking is the failure of a machine that lacks what a configuration needs,
// which the findings have told.
var errLacking = errors.New("the machine lacks something")

// checkSystem prints what a configuration needs of this machine, and fails if
// something is missing that it cannot do without.
func checkSystem(file string, cfg *config.Config, asJSON bool, out io.Writer) error {
	findings := kernel.Check(cfg)
	if err := writeFindings(file, cfg, findings, asJSON, out); err != nil {
		return err
	}
	if slices.ContainsFunc(findings, func(f kernel.Finding) bool { return f.Level == kernel.LevelError }) {
		return reported{errLacking}
	}
	return nil
}

func writeFindings(file string, cfg *config.Config, findings []kernel.Finding, asJSON bool, out io.Writer) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false) // remedies have & in them
		encoder.SetIndent("", "  ")
		return encoder.Encode(append([]kernel.Finding{}, findings...)) // never null
	}
	if cfg.Kernel == nil {
		printf(out, "%s has no kernel section: nothing to check but capabilities\n", file)
	}
	return printFindings(out, findings)
}

// printFindings writes a line for each finding, and its remedy in one below.
func printFindings(out io.Writer, findings []kernel.Finding) error {
	const ok = "ok"
	width := 0
	for _, f := range findings {
		width = max(width, utf8.RuneCountInString(f.What))
	}
	for _, f := range findings {
		level, what := f.Level, f.What
		if f.OK {
			level = ok
		}
		if f.Why != "" {
			what = fmt.Sprintf("%-*s  %s", width, f.What, f.Why)
		}
		if _, err := fmt.Fprintf(out, "%-*s  %s\n", len(kernel.LevelWarning), level, what); err != nil {
			return err
		}
		if f.Remedy != "" {
			if _, err := fmt.Fprintf(out, "%*s  %s\n", len(kernel.LevelWarning), "", f.Remedy); err != nil {
				return err
			}
		}
	}
	return nil
}
