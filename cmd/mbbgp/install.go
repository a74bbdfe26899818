package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mbbgp/config"
	"mbbgp/rib"
)

// installFlags are those by which the client puts routes into the kernel. They
// have metalbond's names, and the routes look like metalbond's: protocol 254,
// the kernel's default metric, and the hop limit of the packets inside.
type installFlags struct {
	tables   []string
	device   string
	ipv4Only bool
	cleanup  bool
}

func addInstallFlags(c *cobra.Command) *installFlags {
	f := &installFlags{}
	c.Flags().StringSliceVar(&f.tables, "install-routes", nil, "subscribe to a VNI and install its routes in a table of the kernel, `VNI#TABLE`; may be given more than once, or as a list with commas")
	c.Flags().StringVar(&f.device, "tun", "", "ip6tnl `DEVICE` in external mode that installed routes leave by")
	c.Flags().BoolVar(&f.ipv4Only, "ipv4-only", false, "install IPv4 routes only")
	c.Flags().BoolVar(&f.cleanup, "cleanup", false, "remove installed routes at the end (default: they stay)")
	return f
}

// configure adds the tables to a configuration. Without tables the other flags
// mean nothing, as they do to metalbond.
func (f *installFlags) configure(cfg *config.Config) error {
	if len(f.tables) == 0 {
		return nil
	}
	for _, text := range f.tables {
		v, err := parseInstall(text)
		if err != nil {
			return err
		}
		for _, other := range cfg.VNIs {
			switch {
			case other.VNI == v.VNI:
				return usageError{fmt.Errorf("--install-routes %s: VNI %d goes to table %d already", text, v.VNI, other.Table)}
			case other.Table == v.Table:
				return usageError{fmt.Errorf("--install-routes %s: table %d is that of VNI %d already", text, v.Table, other.VNI)}
			}
		}
		cfg.VNIs = append(cfg.VNIs, v)
	}
	if f.device == "" {
		return usageError{errors.New("--tun is missing: name the ip6tnl device that installed routes leave by")}
	}
	k := config.DefaultKernel()
	k.Device = f.device
	k.Decapsulation = config.DecapOff
	k.HopLimit = 0
	k.Metric = 0
	k.NextHopIDs = nextHopIDs(cfg.VNIs[0].Table)
	k.Settle = 10 * time.Second
	k.Cleanup = f.cleanup
	k.IPv4Only = f.ipv4Only
	k.RoutesOnly = true
	cfg.Kernel = k
	return nil
}

// nextHopIDs lets several clients run on one machine, with tables of their own:
// next hop ids tell what is whose.
func nextHopIDs(table uint32) config.NumberRange {
	const bits = 20
	first := 1<<31 | table<<bits&^(1<<31)
	return config.NumberRange{First: first, Last: first | 1<<bits - 1}
}

// parseInstall reads VNI#TABLE.
func parseInstall(text string) (config.VNI, error) {
	bad := func(format string, args ...any) (config.VNI, error) {
		return config.VNI{}, usageError{fmt.Errorf("--install-routes %s: %w", text, fmt.Errorf(format, args...))}
	}
	from, to, found := strings.Cut(text, "#")
	if !found {
		return bad("want VNI#TABLE, such as 100#1100")
	}
	vni, err := strconv.ParseUint(from, 10, 32)
	if err != nil {
		return bad("%q is not a VNI (0 to 4294967295)", from)
	}
	table, err := strconv.ParseUint(to, 10, 32)
	if err != nil || table == 0 || table == 253 || table == 255 {
		return bad("%q is not a table for routes (1 to 4294967295, not 253 and 255)", to)
	}
	return config.VNI{VNI: uint32(vni), Table: uint32(table), Decapsulation: config.DecapOff}, nil
}

// installed are the VNIs whose routes are installed.
func installed(cfg *config.Config) (list []rib.VNI) {
	for _, v := range cfg.VNIs {
		list = append(list, rib.VNI(v.VNI))
	}
	return list
}
