package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"mbbgp/config"
	"mbbgp/plugin/kernel"
	"mbbgp/rib"
)

const clientHelp = `Run a MetalBond client: connect to servers, announce routes, and print what they
say of the subscribed VNIs, each route once however many servers say it. It
takes the flags of metalbond's and of rustbond's client and can stand in for
either. It needs no configuration file.

An announcement is written in either program's way:
  VNI#PREFIX#NEXTHOP[#STD|LB|NAT[#FROM#TO]]     metalbond
  VNI#PREFIX@NEXTHOP[#std|lb|nat[#FROM#TO]]     rustbond

VNIs to subscribe to may also stand at the end of the line, so rustbond's
"-v 100" works here too (-v itself means --verbose, as in metalbond).

Routes are printed on standard output, "+" when one is there and "-" when it is
gone; with --json as one JSON object a line. The log is on standard error.

With --install-routes, the routes of a VNI are installed in a table of the
kernel, as metalbond's client does and with the same look in 'ip route', but for
the id of the next hop object. IPv6 prefixes may have several next hops, too;
routes of an earlier run, of metalbond's as well, serve until they are announced
again, for 10s at most. Load balancer targets are not installed, and packets to
an address with NAT port ranges are shared by those who have one. Several clients
may install routes in a network namespace, beside a bridge as well, each in
tables of its own.`

const clientExample = `  mbbgp client --server [2001:db8::a]:4711 --subscribe 100
  mbbgp client -s a.example:4711 -s b.example:4711 --subscribe 100,200 --json
  mbbgp client -s [::1]:4711 --announce 100#10.0.1.0/24#2001:db8::1 \
               --announce 100#192.0.2.7/32@2001:db8::1#nat#1024#2047
  mbbgp client -s [::1]:4711 --install-routes 100#1100 --tun overlay
  mbbgp client -s metalbond.example:4711 --tls-ca ca.crt --tls-certificate hv1.crt --tls-key hv1.key 100`

// clientFlags are those that only a client has.
type clientFlags struct {
	*plainFlags
	servers   []string
	subscribe []uint
	announce  []string
	install   *installFlags
	tls       *tlsFlags
	json      bool
}

func clientCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "client [VNI...]",
		Short:   "Run a plain MetalBond client that prints or installs routes",
		Long:    clientHelp,
		Example: clientExample,
	}
	f := &clientFlags{plainFlags: addPlainFlags(c)}
	c.Flags().StringSliceVarP(&f.servers, "server", "s", nil, "MetalBond server `HOST:PORT`; may be given more than once")
	c.Flags().UintSliceVar(&f.subscribe, "subscribe", nil, "`VNI` to subscribe to; may be given more than once, or as a list with commas")
	c.Flags().StringArrayVarP(&f.announce, "announce", "a", nil, "`ROUTE` to announce; may be given more than once")
	c.Flags().BoolVar(&f.json, "json", false, "print routes as JSON, one object a line")
	c.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "vni" { // rustbond's word
			name = "subscribe"
		}
		return pflag.NormalizedName(name)
	})
	f.install = addInstallFlags(c)
	f.tls = addClientTLSFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, vnis, err := f.config(args)
		if err != nil {
			return err
		}
		log, err := f.log.logger(cfg.Log, c.ErrOrStderr())
		if err != nil {
			return err
		}
		if cfg.Kernel != nil {
			if err := kernel.CheckExternal(cfg.Kernel.Device); err != nil {
				return fmt.Errorf("--tun: %w", err)
			}
		}
		return f.run(c, cfg, vnis, log)
	}
	return c
}

// config returns the configuration and the VNIs that the command line names.
func (f *clientFlags) config(args []string) (*config.Config, []rib.VNI, error) {
	cfg := f.plainFlags.config()
	if len(f.servers) == 0 {
		return nil, nil, usageError{errors.New("--server is missing: name at least one HOST:PORT to connect to")}
	}
	for _, s := range f.servers {
		server, err := parseServer(s)
		if err != nil {
			return nil, nil, err
		}
		cfg.MetalBond.Servers = append(cfg.MetalBond.Servers, server)
	}
	var err error
	if cfg.MetalBond.ServerTLS, err = f.tls.client(); err != nil {
		return nil, nil, err
	}
	if err := f.install.configure(cfg); err != nil {
		return nil, nil, err
	}
	vnis := installed(cfg)
	for _, n := range f.subscribe {
		if n > 1<<32-1 {
			return nil, nil, usageError{fmt.Errorf("--subscribe: %d is out of range (0 to 4294967295)", n)}
		}
		vnis = append(vnis, rib.VNI(n))
	}
	for _, text := range args {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, nil, usageError{fmt.Errorf("%q is not a VNI (0 to 4294967295)", text)}
		}
		vnis = append(vnis, rib.VNI(n))
	}
	slices.Sort(vnis)
	return cfg, slices.Compact(vnis), nil
}

// run announces, subscribes, and prints until the context ends.
func (f *clientFlags) run(c *cobra.Command, cfg *config.Config, vnis []rib.VNI, log *logs) error {
	d, err := newDaemon(cfg, log)
	if err != nil {
		return err
	}
	d.operator.log = log
	own := d.bridge.Open(rib.Static, "command line")
	for _, text := range f.announce {
		if err := announce(own, text); err != nil {
			return err
		}
	}
	out := &printer{out: c.OutOrStdout(), json: f.json}
	group, ctx := errgroup.WithContext(c.Context())
	for _, vni := range vnis {
		d.client.Subscribe(vni)
		group.Go(func() error {
			return follow(ctx, d.table, vni, rib.ReaderOptions{Sources: rib.Sources(rib.Server)}, func(change rib.Change) error {
				return out.change(vni, change)
			})
		})
	}
	group.Go(func() error { return d.Run(ctx) })
	if err := errors.Join(group.Wait(), leave(c.Context(), cfg, false, log.of(config.LogKernel))); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return nil
}

// event is a route that came or went, as JSON.
type event struct {
	Time      time.Time    `json:"time"`
	Event     string       `json:"event"` // add or remove
	VNI       rib.VNI      `json:"vni"`
	Prefix    netip.Prefix `json:"prefix"`
	NextHop   netip.Addr   `json:"nexthop"`
	Type      string       `json:"type"`
	TargetVNI rib.VNI      `json:"targetVNI,omitempty"`
	NATFrom   uint16       `json:"natFrom,omitempty"`
	NATTo     uint16       `json:"natTo,omitempty"`
}

// printer prints routes as they come and go. It writes whole lines, so that
// several readers may share it.
type printer struct {
	out  io.Writer
	json bool
}

// change prints what a change took away, then what it brought.
func (p *printer) change(vni rib.VNI, c rib.Change) error {
	var text strings.Builder
	p.lines(&text, "remove", vni, c.Prefix, c.Old, c.New)
	p.lines(&text, "add", vni, c.Prefix, c.New, c.Old)
	_, err := io.WriteString(p.out, text.String())
	return err
}

// lines writes a line for each of list that is not in other.
func (p *printer) lines(to *strings.Builder, word string, vni rib.VNI, prefix netip.Prefix, list, other []rib.Path) {
	for _, path := range list {
		if holds(other, path.NextHop) {
			continue
		}
		hop := path.NextHop
		if !p.json {
			sign := map[string]string{"add": "+", "remove": "-"}[word]
			_, _ = fmt.Fprintf(to, "%s vni %d  %v  via %v\n", sign, vni, prefix, hop)
			continue
		}
		line, err := json.Marshal(event{
			Time: time.Now(), Event: word, VNI: vni, Prefix: prefix, NextHop: hop.Target,
			Type: hop.Type.String(), TargetVNI: hop.TargetVNI, NATFrom: hop.NATFrom, NATTo: hop.NATTo,
		})
		if err == nil { // nothing in an event can fail to be JSON
			to.Write(append(line, '\n'))
		}
	}
}

// holds reports whether a next hop is in the list, whoever said it.
func holds(list []rib.Path, hop rib.NextHop) bool {
	for _, p := range list {
		if p.NextHop == hop {
			return true
		}
	}
	return false
}
