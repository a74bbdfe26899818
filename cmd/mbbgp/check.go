package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/plugin/api"
	"mbbgp/plugin/gobgp"
	"mbbgp/plugin/metalbond"
	"mbbgp/rib"
)

func checkCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration file",
		Long: `Check a configuration file and the files that it names, without running
anything. Everything that is wrong is printed on standard error, one line each:

  FILE:LINE:COLUMN: PATH: VALUE, what is allowed

and the exit code is 1. A good file is summed up in one line. Before that comes,
on standard error, what is allowed and will hardly be meant. A bridge that runs
takes a good file on with 'mbbgp reload', which also tells what needs a restart.

With --system it is this machine that is checked: whether it has what the file
makes use of in the kernel (features, modules, capabilities, sysctls, devices,
MTU), and what to do where not. Nothing is changed. The exit code is 1 if an
error is found, and 0 with warnings alone. Run it as who will run mbbgp, and in
the same network namespace.`,
		Example: `  mbbgp check -c mbbgp.yaml
  mbbgp check -c mbbgp.yaml && mbbgp reload
  mbbgp check --system -c mbbgp.yaml
  mbbgp check --system -j | jq -r '.[] | select(.ok | not).remedy'`,
	}
	path := configFile(c)
	system := c.Flags().Bool("system", false, "check what the file needs of this machine")
	asJSON := c.Flags().BoolP("json", "j", false, "print JSON, for programs; with --system")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *asJSON && !*system {
			return usageError{errors.New("--json is for --system")}
		}
		cfg, err := config.Load(*path)
		if err == nil && !*system {
			err = checkUse(*path, cfg, c.ErrOrStderr())
		}
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				_, _ = fmt.Fprintln(c.ErrOrStderr(), strings.TrimSuffix(line, "\n"))
			}
			return reported{err}
		}
		if *system {
			return checkSystem(*path, cfg, *asJSON, c.OutOrStdout())
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: good: %s\n", *path, summary(cfg))
		return err
	}
	return c
}

// checkUse finds what is wrong outside the file: passwords and certificates that
// cannot be read, a gobgpd file that is not one, what bridge and speaker do not accept.
// What they warn of goes to out.
func checkUse(file string, cfg *config.Config, out io.Writer) error {
	var problems []error
	if cfg.BGP != nil {
		for i, n := range cfg.BGP.Neighbors {
			problems = append(problems, checkFile(file, fmt.Sprintf("bgp.neighbors[%d].password-file", i), n.PasswordFile))
		}
		for i, n := range cfg.BGP.DynamicNeighbors {
			problems = append(problems, checkFile(file, fmt.Sprintf("bgp.dynamic-neighbors[%d].password-file", i), n.PasswordFile))
		}
	}
	if cfg.API.Listen.IsValid() {
		problems = append(problems, checkTLS(file, cfg.API.TLS))
	}
	if t := cfg.MetalBond.TLS; t != nil {
		if err := metalbond.CheckTLS(t); err != nil {
			problems = append(problems, placed(file, "metalbond.tls", err))
		}
	}
	if t := cfg.MetalBond.ServerTLS; t != nil {
		if err := metalbond.CheckServerTLS(t); err != nil {
			problems = append(problems, placed(file, "metalbond.server-tls", err))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	log := logrus.New()
	log.SetOutput(out)
	log.SetLevel(logrus.WarnLevel)
	log.SetFormatter(warning{file})
	dry := *cfg
	dry.StateDirectory = "" // whose state it is, is running
	b, err := bridge.New(&dry, rib.New(rib.Options{Encode: metalbond.Encode}), log)
	if err == nil && cfg.BGP != nil {
		_, err = gobgp.New(&dry, b.BGP(), log)
	}
	return inFile(file, err)
}

// warning writes what is logged as a line about a file.
type warning struct{ file string }

// Format implements logrus.Formatter.
func (w warning) Format(e *logrus.Entry) ([]byte, error) {
	line := fmt.Sprintf("%s: warning: %s", w.file, e.Message)
	for _, key := range slices.Sorted(maps.Keys(e.Data)) {
		line += fmt.Sprintf(", %s %v", key, e.Data[key])
	}
	return []byte(line + "\n"), nil
}

// inFile says of each line of an error which file it is about.
func inFile(file string, err error) error {
	if err == nil {
		return nil
	}
	var problems []error
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			problems = append(problems, fmt.Errorf("%s: %s", file, line))
		}
	}
	return errors.Join(problems...)
}

// checkTLS checks the files of api.tls, each by itself and then what they hold.
func checkTLS(file string, t config.APITLS) error {
	err := errors.Join(
		checkFile(file, "api.tls.certificate", t.Certificate),
		checkFile(file, "api.tls.key", t.Key),
		checkFile(file, "api.tls.clients", t.Clients),
	)
	if err != nil {
		return err
	}
	if err := api.TLS(t).Check(); err != nil {
		return placed(file, "api.tls.certificate", err)
	}
	return nil
}

// checkFile says of a file that the file names whether it can be read.
func checkFile(file, where, path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.ReadFile(path); err != nil {
		return placed(file, where, err)
	}
	return nil
}

// placed says of an error which value of the file it is about.
func placed(file, where string, err error) error {
	e := &config.Error{File: file, Path: where, Problem: err.Error()}
	e.Line, e.Column = position(file, where)
	return e
}

// position finds the value at a path in a file that has been parsed before. A
// value that the file has by reference only is said to be at its beginning.
func position(file, where string) (line, column int) {
	path, err := yaml.PathString("$." + where)
	if err != nil {
		return 1, 1
	}
	f, err := os.Open(file)
	if err != nil {
		return 1, 1
	}
	defer f.Close()
	node, err := path.ReadNode(f)
	if err != nil {
		return 1, 1
	}
	at := node.GetToken().Position
	return at.Line, at.Column
}

// summary says in one line what a configuration makes of the process.
func summary(cfg *config.Config) string {
	var parts []string
	parts = append(parts, summaryOfMetalBond(&cfg.MetalBond)...)
	switch b := cfg.BGP; {
	case b == nil:
		parts = append(parts, "no BGP")
	case b.Attach != "":
		parts = append(parts, fmt.Sprintf("BGP AS %d, neighbors of the gobgpd at %s", cfg.ASN, b.Attach))
	case b.GoBGPConfig != "":
		parts = append(parts, fmt.Sprintf("BGP AS %d, neighbors of %s", cfg.ASN, b.GoBGPConfig))
	default:
		text := fmt.Sprintf("BGP AS %d, %s", cfg.ASN, count(len(b.Neighbors), "neighbor"))
		if n := len(b.DynamicNeighbors); n > 0 {
			text += ", " + count(n, "dynamic prefix")
		}
		parts = append(parts, text)
	}
	parts = append(parts, summaryOfVNIs(cfg))
	if k := cfg.Kernel; k != nil {
		tables := 0
		for i := range cfg.VNIs {
			if cfg.VNIs[i].Table != 0 {
				tables++
			}
		}
		parts = append(parts, count(tables, "kernel table")+" by "+k.Tunnel.String())
	}
	return strings.Join(parts, "; ")
}

// summaryOfMetalBond says where clients are served and who our servers are.
func summaryOfMetalBond(m *config.MetalBond) (parts []string) {
	plain, secure := m.Listeners()
	if len(plain) > 0 {
		parts = append(parts, "MetalBond server on "+join(plain))
	}
	if len(secure) > 0 {
		parts = append(parts, "MetalBond server with TLS on "+join(secure))
	}
	if len(m.Servers) > 0 {
		text := "MetalBond client of " + strings.Join(m.Servers, ", ")
		if m.ServerTLS != nil {
			text += " with TLS"
		}
		parts = append(parts, text)
	}
	return parts
}

// summaryOfVNIs says how many VNIs there are, of which kinds, and what they
// have beside routes.
func summaryOfVNIs(cfg *config.Config) string {
	kinds := make(map[string]int)
	var leaks, rules, originates, aggregates, lossless, flowspec int
	for i := range cfg.VNIs {
		v := &cfg.VNIs[i]
		kinds[kindOf(v)]++
		leaks += len(v.ImportFrom)
		rules += len(v.Import.Rules) + len(v.Export.Rules)
		originates += len(v.Originate)
		aggregates += len(v.Aggregates)
		if straight(v) && slices.ContainsFunc(v.Export.Types, func(t config.HopType) bool { return t != config.HopStandard }) {
			lossless++
		}
		if v.Export.FlowSpec != config.FlowSpecOff {
			flowspec++
		}
	}
	text := count(len(cfg.VNIs), "VNI")
	if cfg.BGP == nil {
		kinds = nil
	}
	var with []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		with = append(with, fmt.Sprintf("%d %s", kinds[kind], kind))
	}
	if len(with) > 0 {
		text += " (" + strings.Join(with, ", ") + ")"
	}
	with = nil
	for _, x := range []struct {
		n    int
		what string
	}{
		{rules, "rule"}, {originates, "originated prefix"}, {aggregates, "aggregate"}, {leaks, "leak"},
	} {
		if x.n > 0 {
			with = append(with, count(x.n, x.what))
		}
	}
	if lossless > 0 {
		with = append(with, fmt.Sprintf("%d lossless", lossless))
	}
	if flowspec > 0 {
		with = append(with, fmt.Sprintf("%d with flow specifications", flowspec))
	}
	if len(with) > 0 {
		text += ", " + strings.Join(with, ", ")
	}
	return text
}

// kindOf names the routes of a VNI in BGP, such as "evpn/vxlan".
func kindOf(v *config.VNI) string {
	if v.Encapsulation == config.EncapNone {
		return v.Family.String()
	}
	return v.Family.String() + "/" + v.Encapsulation.String()
}

// straight reports whether packets of a VNI go to the hypervisors without
// passing this gateway.
func straight(v *config.VNI) bool {
	return v.Encapsulation == config.EncapSRv6 || v.Encapsulation == config.EncapIPinIP
}

// count returns "1 VNI", "2 VNIs".
func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "x"):
		return fmt.Sprintf("%d %ses", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func join(list []netip.AddrPort) string {
	var texts []string
	for _, a := range list {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}
