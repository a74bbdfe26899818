package main

// Manual pages are made from the commands themselves: a page for each, and
// mbbgp.yaml(5) from the reference file. Help text has its layout already, so
// what is indented there is shown as it stands, and the rest flows. The macros
// are those of man(7).

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mbbgp/config"
)

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages of all commands and of the configuration",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			for name, text := range manPages(c.Root()) {
				if err := os.WriteFile(filepath.Join(args[0], name), text, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// manPages returns the pages by their file names.
func manPages(root *cobra.Command) map[string][]byte {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	pages := map[string][]byte{"mbbgp.yaml.5": referencePage()}
	var add func(*cobra.Command)
	add = func(c *cobra.Command) {
		c.InitDefaultHelpFlag()
		pages[manName(c)+".1"] = commandPage(c)
		for _, sub := range documented(c) {
			add(sub)
		}
	}
	add(root)
	return pages
}

// documented are the commands below c that have pages.
func documented(c *cobra.Command) (list []*cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			list = append(list, sub)
		}
	}
	return list
}

// manName is the name of a command's page, such as mbbgp-show-routes.
func manName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func commandPage(c *cobra.Command) []byte {
	p := newPage(manName(c), 1)
	p.section("NAME")
	p.line(manName(c) + " - " + c.Short)
	p.section("SYNOPSIS")
	if subs := documented(c); len(subs) > 0 {
		p.line(c.CommandPath() + " COMMAND [...]")
	} else {
		p.line(c.UseLine())
	}
	p.section("DESCRIPTION")
	if c.Long == "" {
		p.text(c.Short + ".")
	}
	p.text(c.Long)
	if subs := documented(c); len(subs) > 0 {
		p.section("COMMANDS")
		for _, sub := range subs {
			p.term(manName(sub)+"(1)", sub.Short)
		}
	}
	p.section("OPTIONS")
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			p.term(option(f))
		}
	})
	if c.Example != "" {
		p.section("EXAMPLES")
		p.verbatim(c.Example)
	}
	if !c.HasParent() {
		p.section("FILES")
		p.term("/etc/mbbgp/mbbgp.yaml", "the configuration, mbbgp.yaml(5)")
		p.term(config.DefaultSocket, "where a running bridge is asked by the other commands; for its user and group")
		p.term("/var/lib/mbbgp", "what is kept over restarts, if 'state-directory' says so")
	}
	p.section("SEE ALSO")
	also := []string{"mbbgp.yaml(5)"}
	if c.HasParent() {
		also = append(also, manName(c.Parent())+"(1)")
	}
	p.line(strings.Join(also, ", "))
	return p.Bytes()
}

// option returns a flag as it is written, and what it is.
func option(f *pflag.Flag) (name, usage string) {
	value, usage := pflag.UnquoteUsage(f)
	name = "--" + f.Name
	if f.Shorthand != "" && f.ShorthandDeprecated == "" {
		name = "-" + f.Shorthand + ", " + name
	}
	if value != "" {
		name += " " + value
	}
	switch f.DefValue {
	case "", "0", "0s", "false", "[]": // nothing, or what the usage says is not given
	default:
		usage += " (default " + f.DefValue + ")"
	}
	return name, usage
}

func referencePage() []byte {
	p := newPage("mbbgp.yaml", 5)
	p.section("NAME")
	p.line("mbbgp.yaml - configuration of mbbgp")
	p.section("DESCRIPTION")
	p.text(`The configuration is one YAML file, by default /etc/mbbgp/mbbgp.yaml. An unknown
key is an error, and each error says where, what is there and what is allowed.
'mbbgp check' looks at a file, 'mbbgp config' prints what it comes to with all
defaults, and 'mbbgp reload' makes a running bridge apply what has changed.

This is an example that has every key, with what it means and what is allowed. A
key behind # has the value that is its default.`)
	p.section("REFERENCE")
	p.verbatim(string(config.Reference))
	p.section("SEE ALSO")
	p.line("mbbgp(1), mbbgp-check(1), mbbgp-config(1), mbbgp-reload(1)")
	return p.Bytes()
}

// page is a manual page that is being written.
type page struct{ bytes.Buffer }

// newPage begins a page. It has no date, so that one version has one page.
func newPage(name string, section int) *page {
	p := &page{}
	fmt.Fprintf(p, ".TH %s %d \"\" \"mbbgp\" \"mbbgp manual\"\n", roff(strings.ToUpper(name)), section)
	p.WriteString(".nh\n.ad l\n") // names and options are not to be hyphenated or spread
	return p
}

func (p *page) section(title string) { fmt.Fprintf(p, ".SH %s\n", title) }

func (p *page) line(text string) { p.WriteString(roff(text) + "\n") }

// term writes what is explained, and below it the explanation.
func (p *page) term(name, text string) {
	fmt.Fprintf(p, ".TP\n\\fB%s\\fR\n%s\n", strings.TrimPrefix(roff(name), `\&`), roff(text))
}

// text writes paragraphs; those with an indented line are not filled.
func (p *page) text(text string) {
	for paragraph := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		p.WriteString(".PP\n")
		if strings.HasPrefix(paragraph, "  ") || strings.Contains(paragraph, "\n  ") {
			p.verbatim(paragraph)
			continue
		}
		for line := range strings.SplitSeq(paragraph, "\n") {
			p.line(line)
		}
	}
}

// verbatim writes lines as they are.
func (p *page) verbatim(text string) {
	p.WriteString(".nf\n")
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		p.line(line)
	}
	p.WriteString(".fi\n")
}

var escapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)

// roff escapes a line of text: characters that would come out as typography, and
// those that would begin a request.
func roff(line string) string {
	line = escapes.Replace(line)
	if strings.HasPrefix(line, ".") {
		return `\&` + line
	}
	return line
}
