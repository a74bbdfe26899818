package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Told returns the paths of a prefix in bgpd's VPN table, if it is a provider
// edge of VPNs, or else its unicast one. FRR's JSON has 0.0.0.0 for IPv6 next
// hops of IPv4 prefixes.
func (f *FRR) Told(prefix string) ([]Route, error) {
	family := "ipv6"
	if netip.MustParsePrefix(prefix).Addr().Is4() {
		family = "ipv4"
	}
	type entry struct {
		Paths []struct {
			frrPath
			Metric                    uint32
			RemoteLabel               uint32
			RemoteSID                 string
			ASPath                    struct{ String string }
			Community, LargeCommunity struct{ String string }
		}
	}
	entries := make(map[string]entry) // by RD
	if f.table == "vpn" {
		if err := f.Show(&entries, fmt.Sprintf("show bgp %s vpn %s", family, prefix)); err != nil {
			return nil, err
		}
	} else {
		var e entry
		if err := f.Show(&e, fmt.Sprintf("show bgp %s unicast %s", family, prefix)); err != nil {
			return nil, err
		}
		entries[""] = e
	}
	var routes []Route
	for rd, e := range entries {
		for _, p := range e.Paths {
			if p.Local {
				continue
			}
			r := Route{
				RD: rd, Label: p.RemoteLabel, SID: p.RemoteSID, ASPath: p.ASPath.String, MED: p.Metric,
				Communities: strings.Fields(p.Community.String + " " + p.LargeCommunity.String + " " + p.ExtendedCommunity.String),
			}
			for _, h := range p.NextHops {
				if !strings.HasPrefix(h.IP, "fe80:") {
					r.NextHop = h.IP
				}
			}
			routes = append(routes, r)
		}
	}
	slices.SortFunc(routes, func(x, y Route) int { return strings.Compare(x.RD, y.RD) })
	return routes, nil
}

// Configure changes bgpd's configuration while it runs.
func (f *FRR) Configure(lines ...string) {
	f.t.Helper()
	args := []string{"-c", "configure terminal"}
	for _, l := range lines {
		args = append(args, "-c", l)
	}
	f.Run("vtysh", args...)
}
