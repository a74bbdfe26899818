package bridge

import (
	"errors"
	"io"
	"net/netip"
	"slices"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"mbbgp/config"
	"mbbgp/rib"
)

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix
)

func quiet() *logrus.Logger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return l
}

// fataler is a test, or a rapid one.
type fataler interface {
	Helper()
	Fatal(...any)
}

func rt(as uint16, number uint32) RouteTarget { return config.NewRouteTarget(as, number) }

func matches(targets ...RouteTarget) []config.TargetMatch {
	var all []config.TargetMatch
	for _, t := range targets {
		all = append(all, config.TargetMatch{Target: t})
	}
	return all
}

func soo(t fataler, s string) ExtendedCommunity {
	t.Helper()
	c, err := config.ParseSiteOfOrigin(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// testConfig has VNI 200 over VXLAN, VNI 300 over IP-in-IP, and VNI 400, which
// imports the targets of both and of every 400 without having a gateway.
func testConfig(t fataler) *config.Config {
	return &config.Config{
		RouterID: addr("192.0.2.1"),
		ASN:      65001,
		Domain:   soo(t, "65001:1"),
		VXLAN:    config.VXLAN{Local: addr("192.0.2.1"), RouterMAC: MAC{2, 0, 192, 0, 2, 1}},
		MetalBond: config.MetalBond{
			Gateways: []netip.Prefix{prefix("2001:db8:f::/64")},
		},
		BGP: &config.BGP{
			Neighbors:        []config.Neighbor{{Address: addr("192.0.2.254")}, {Address: addr("192.0.2.253")}},
			DynamicNeighbors: []config.DynamicNeighbor{{Prefix: prefix("198.51.100.0/24")}},
		},
		VNIs: []config.VNI{
			{
				VNI:     200,
				Gateway: addr("2001:db8:f::200"),
				Import:  config.Import{Targets: matches(rt(65000, 200))},
				Export:  config.Export{Targets: []RouteTarget{rt(65000, 200)}},
			},
			{
				VNI:           300,
				Encapsulation: config.EncapIPinIP,
				Gateway:       addr("2001:db8:e::300"),
				Import:        config.Import{Targets: matches(rt(65000, 300))},
				Export:        config.Export{Targets: []RouteTarget{rt(65000, 300)}},
			},
			{
				VNI:           400,
				Encapsulation: config.EncapIPinIP,
				Import: config.Import{Targets: append(matches(rt(65000, 200), rt(65000, 300)),
					config.TargetMatch{Any: true, Number: 400})},
			},
		},
	}
}

func newBridge(t fataler, cfg *config.Config) *Bridge {
	t.Helper()
	return newLoggedBridge(t, cfg, quiet())
}

func newLoggedBridge(t fataler, cfg *config.Config, log logrus.FieldLogger) *Bridge {
	t.Helper()
	b, err := New(cfg, rib.New(rib.Options{}), log)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// targets are the live next hops of a prefix as text, sorted.
func targets(b *Bridge, vni rib.VNI, p netip.Prefix) []string {
	var all []string
	for _, i := range b.Table().Lookup(vni, p) {
		all = append(all, i.NextHop.String())
	}
	slices.Sort(all)
	return all
}

func hop(target string) rib.NextHop { return rib.NextHop{Target: addr(target)} }

func reasonOf(err error) Reason {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return Accepted
}

func warnings(h *logtest.Hook) int {
	n := 0
	for _, e := range h.AllEntries() {
		if e.Level == logrus.WarnLevel {
			n++
		}
	}
	return n
}

func TestContradictionsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"a VNI twice":                            func(c *config.Config) { c.VNIs[1].VNI = 200 },
		"a VNI that no label carries":            func(c *config.Config) { c.VNIs[1].VNI = 1 << 24 },
		"a route distinguisher twice":            func(c *config.Config) { c.VNIs[0].RD, c.VNIs[2].RD = RD{7: 1}, RD{7: 1} },
		"an encapsulation that a family has not": func(c *config.Config) { c.VNIs[0].Family = config.VNIFamilyVPN },
		"aggregates of hypervisors":              func(c *config.Config) { c.VNIs[1].Aggregates = []config.Aggregate{{Prefix: prefix("10.0.0.0/8")}} },
		"MPLS without labels": func(c *config.Config) {
			c.VNIs[0].Family, c.VNIs[0].Encapsulation = config.VNIFamilyVPN, config.EncapMPLS
		},
		"BGP without IPv4 router-id":      func(c *config.Config) { c.RouterID = addr("2001:db8::1") },
		"BGP without local VXLAN address": func(c *config.Config) { c.VXLAN.Local = netip.Addr{} },
	} {
		cfg := testConfig(t)
		change(cfg)
		if _, err := New(cfg, rib.New(rib.Options{}), quiet()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	cfg := testConfig(t)
	cfg.BGP, cfg.RouterID, cfg.VXLAN.Local, cfg.VNIs[0].VNI = nil, netip.Addr{}, netip.Addr{}, 1<<31
	if _, err := New(cfg, rib.New(rib.Options{}), quiet()); err != nil {
		t.Errorf("without BGP: %v", err)
	}
}
