package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mbbgp/config"
)

// plainFlags are those that metalbond's server and client have in common.
type plainFlags struct {
	keepalive seconds
	http      string
	api       string
	verbose   bool
	log       *logFlags
}

func addPlainFlags(c *cobra.Command) *plainFlags {
	f := &plainFlags{keepalive: seconds(5 * time.Second)}
	c.Flags().Var(&f.keepalive, "keepalive", "keepalive `INTERVAL` to offer, in seconds or such as 5s; both ends use the lower one")
	c.Flags().StringVar(&f.http, "http", "", "serve a status page, /routes.json, /routes.yaml, /metrics and health on `ADDRESS`, such as [::1]:4712 (default off)")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "the same as --log-level debug")
	c.Flags().StringVar(&f.api, "api", "", "serve the management API on the socket `PATH`, such as "+config.DefaultSocket+", for 'mbbgp show --api PATH' (default off)")
	f.log = addLogFlags(c)
	return f
}

// config returns the configuration of a bridge that only speaks MetalBond.
func (f *plainFlags) config() *config.Config {
	cfg := &config.Config{HTTP: f.http}
	cfg.API.Socket = f.api
	cfg.MetalBond.Keepalive = time.Duration(f.keepalive)
	if f.verbose {
		cfg.Log.Level = config.LogDebug
	}
	return cfg
}

// seconds is a duration on the command line: metalbond's programs take a bare
// number of seconds, ours take a unit, too.
type seconds time.Duration

// Set reads "5" or "5s".
func (s *seconds) Set(text string) error {
	if n, err := strconv.ParseUint(text, 10, 16); err == nil {
		text = fmt.Sprintf("%ds", n)
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > 65535*time.Second || d%time.Second != 0 {
		return errors.New("want whole seconds, 1 to 65535, with or without the unit s")
	}
	*s = seconds(d)
	return nil
}

// String returns the interval with its unit.
func (s *seconds) String() string { return time.Duration(*s).String() }

// Type is the word that help shows.
func (s *seconds) Type() string { return "interval" }

// parseListen reads a listen address in all forms that metalbond's programs
// take: [::]:4711, :4711, 127.0.0.1:4711, localhost:4711.
func parseListen(text string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a, nil
	}
	tcp, err := net.ResolveTCPAddr("tcp", text)
	if err != nil {
		return netip.AddrPort{}, usageError{fmt.Errorf("--listen %s: want ADDRESS:PORT, such as [::]:4711", text)}
	}
	a := tcp.AddrPort()
	if !a.Addr().IsValid() {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port()), nil
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
}

// parseServer reads HOST:PORT; without a port it is MetalBond's.
func parseServer(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.Trim(text, "[]"), strconv.Itoa(config.DefaultMetalBondPort)
		if _, notIP := netip.ParseAddr(host); notIP != nil && strings.Contains(host, ":") {
			host = ""
		}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil || host == "" {
		return "", usageError{fmt.Errorf("--server %s: want HOST:PORT, such as [2001:db8::a]:4711", text)}
	}
	return net.JoinHostPort(host, port), nil
}
