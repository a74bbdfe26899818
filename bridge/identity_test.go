package bridge

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"mbbgp/config"
	"mbbgp/rib"
)

// Two MetalBond domains, each with a bridge, and nothing between the bridges:
// what one exports the other imports.

// everyType are those of MetalBond.
var everyType = []config.HopType{config.HopStandard, config.HopNAT, config.HopLoadBalancerTarget}

// identityVNIs are those of both bridges.
var identityVNIs = []rib.VNI{100, 200, 300}

// drawKind makes c a VNI whose routes keep all that MetalBond says of them.
func drawKind(t *rapid.T, c *config.VNI) {
	switch rapid.SampledFrom([]string{"vpn/srv6", "evpn/srv6", "evpn/ip-in-ip"}).Draw(t, "kind") {
	case "vpn/srv6":
		c.Family, c.Encapsulation = config.VNIFamilyVPN, config.EncapSRv6
	case "evpn/srv6":
		c.Family, c.Encapsulation = config.VNIFamilyEVPN, config.EncapSRv6
	case "evpn/ip-in-ip":
		c.Family, c.Encapsulation = config.VNIFamilyEVPN, config.EncapIPinIP
	}
	c.SRv6 = config.SRv6{
		Behavior: rapid.SampledFrom([]config.SIDBehavior{config.SIDBehaviorDT46, config.SIDBehaviorDX}).Draw(t, "behavior"),
		NextHop:  rapid.SampledFrom([]config.SIDNextHop{config.SIDNextHopTarget, config.SIDNextHopSelf}).Draw(t, "next hop"),
		Block:    rapid.SampledFrom([]uint8{48, 32}).Draw(t, "block"),
		Node:     16,
	}
}

// drawTypes draws at least two types, so that a VNI that exports them is
// lossless.
func drawTypes(t *rapid.T, label string) []config.HopType {
	types := rapid.Permutation(everyType).Draw(t, label)
	return types[:rapid.IntRange(2, 3).Draw(t, label+" number")]
}

// drawPrefixRules draws a list that is often empty, and lets all of the rest
// pass otherwise.
func drawPrefixRules(t *rapid.T, label string) []config.PrefixRule {
	if rapid.Bool().Draw(t, label) {
		return nil
	}
	return []config.PrefixRule{
		{Prefix: identityPrefix(t, label)},
		{Allow: true, Prefix: prefix("0.0.0.0/0"), LE: 32},
		{Allow: true, Prefix: prefix("::/0"), LE: 128},
	}
}

// drawRules draws up to two rules.
func drawRules(t *rapid.T, label string) (rules []config.Rule) {
	for i := range rapid.IntRange(0, 2).Draw(t, label) {
		r := config.Rule{Name: fmt.Sprintf("rule-%d", i+1), Then: rapid.SampledFrom([]config.Then{config.ThenContinue, config.ThenAccept, config.ThenRefuse}).Draw(t, label+" then")}
		switch rapid.IntRange(0, 2).Draw(t, label+" when") {
		case 0:
			r.When.Prefixes = []config.PrefixRule{{Prefix: identityPrefix(t, label)}}
		case 1:
			r.When.Types = []config.HopType{rapid.SampledFrom(everyType).Draw(t, label+" type")}
		case 2:
			r.When.NextHops = []netip.Prefix{prefix("2001:db8:1::/64")}
			r.When.Types = []config.HopType{rapid.SampledFrom(everyType).Draw(t, label+" type")}
		}
		rules = append(rules, r)
	}
	return rules
}

func identityPrefix(t *rapid.T, label string) netip.Prefix {
	return prefix(rapid.SampledFrom([]string{
		"0.0.0.0/0", "10.0.0.0/8", "10.0.0.1/32", "10.0.0.2/32", "::/0", "2001:db8:7::/48", "2001:db8:7::1/128",
	}).Draw(t, label+" prefix"))
}

// drawDomains draws the configurations of two bridges that have the same VNIs.
func drawDomains(t *rapid.T) (cfgs [2]*config.Config) {
	for i := range cfgs {
		cfg := testConfig(t)
		cfg.RouterID = netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
		cfg.Domain = soo(t, fmt.Sprintf("65001:%d", i+1))
		cfg.BGP.LosslessASN = 65000
		cfg.VNIs = nil
		cfgs[i] = cfg
	}
	if rapid.Bool().Draw(t, "D-PATH") {
		cfgs[0].DomainID, cfgs[1].DomainID = config.DomainID{3: 1}, config.DomainID{3: 2}
	}
	for _, vni := range identityVNIs {
		a := config.VNI{VNI: uint32(vni)}
		drawKind(t, &a)
		b := a
		target := rt(65000, uint32(vni))
		a.Export = config.Export{
			Targets: []RouteTarget{target}, Types: drawTypes(t, "export types"),
			Prefixes: drawPrefixRules(t, "export"), Rules: drawRules(t, "export rules"),
		}
		b.Import = config.Import{
			Targets: matches(target), Types: drawTypes(t, "import types"),
			Prefixes: drawPrefixRules(t, "import"), Rules: drawRules(t, "import rules"),
		}
		cfgs[0].VNIs = append(cfgs[0].VNIs, a)
		cfgs[1].VNIs = append(cfgs[1].VNIs, b)
	}
	return cfgs
}

// permits is what a VNI's filters and rules say of a next hop, one after the
// other as the words of the configuration have it.
func permits(types []config.HopType, prefixes []config.PrefixRule, rules []config.Rule, p netip.Prefix, nh rib.NextHop) bool {
	if !slices.Contains(types, config.HopType(nh.Type)) || !config.Permit(prefixes, p) {
		return false
	}
	for _, r := range rules {
		w := r.When
		if len(w.Prefixes) > 0 && w.Prefixes[0].Prefix != p ||
			len(w.Types) > 0 && w.Types[0] != config.HopType(nh.Type) ||
			len(w.NextHops) > 0 && !w.NextHops[0].Contains(nh.Target) {
			continue
		}
		if r.Then != config.ThenContinue {
			return r.Then == config.ThenAccept
		}
	}
	return true
}

// wantAcross are the routes of one bridge that the other must have.
func wantAcross(a *Bridge, from, to *config.VNI) (want []string) {
	a.Table().Walk(rib.VNI(from.VNI), func(i rib.RouteInfo) bool {
		if i.Visible && !a.current().gatewayHop(i.NextHop.Target) &&
			permits(from.Export.Types, from.Export.Prefixes, from.Export.Rules, i.Prefix, i.NextHop) &&
			permits(to.Import.Types, to.Import.Prefixes, to.Import.Rules, i.Prefix, i.NextHop) {
			want = append(want, fmt.Sprintf("%v %+v", i.Prefix, i.NextHop))
		}
		return true
	})
	slices.Sort(want)
	return want
}

// allRoutes are those of a VNI, and which of them nobody sees.
func allRoutes(b *Bridge, vni rib.VNI) (all []string) {
	b.Table().Walk(vni, func(i rib.RouteInfo) bool {
		all = append(all, fmt.Sprintf("%v %+v", i.Prefix, i.NextHop))
		if !i.Visible {
			all = append(all, fmt.Sprintf("%v is hidden", i.NextHop))
		}
		return true
	})
	slices.Sort(all)
	return all
}

func TestRoutesCrossBGPUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(t *rapid.T) {
			cfgs := drawDomains(t)
			a, b := newBridge(t, cfgs[0]), newBridge(t, cfgs[1])
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() {
				done <- a.BGP().Export(ctx, func(batch []Update) error {
					for i := range batch {
						batch[i].Neighbor = fabric
					}
					b.BGP().Import(batch)
					return nil
				})
			}()
			t.Cleanup(cancel)
			channels := []*Channel{a.Open(rib.Client, "a"), a.Open(rib.Server, "s"), a.Open(rib.Static, "static")}
			draw := func(t *rapid.T) (*Channel, rib.VNI, netip.Prefix, rib.NextHop) {
				nh := hop(fmt.Sprintf("2001:db8:%s::%d", rapid.SampledFrom([]string{"1", "1", "2", "f"}).Draw(t, "net"), rapid.IntRange(1, 2).Draw(t, "hop")))
				nh.Type = rapid.SampledFrom([]rib.NextHopType{rib.Standard, rib.NAT, rib.LoadBalancerTarget}).Draw(t, "type")
				if nh.Type == rib.NAT {
					nh.NATFrom = rapid.SampledFrom([]uint16{0, 1024, 40000}).Draw(t, "from")
					nh.NATTo = rapid.SampledFrom([]uint16{40000, 65535}).Draw(t, "to")
				}
				nh.TargetVNI = rapid.SampledFrom([]rib.VNI{0, 0, 100, 200, maxVNI, 1<<32 - 1}).Draw(t, "target VNI")
				return rapid.SampledFrom(channels).Draw(t, "channel"), rapid.SampledFrom(identityVNIs).Draw(t, "vni"), identityPrefix(t, "route"), nh
			}
			check := func(t *rapid.T) {
				synctest.Wait()
				for i, vni := range identityVNIs {
					want, got := wantAcross(a, &cfgs[0].VNIs[i], &cfgs[1].VNIs[i]), allRoutes(b, vni)
					if !slices.Equal(got, want) {
						t.Fatalf("vni %d: %q, want %q", vni, got, want)
					}
				}
			}
			t.Repeat(map[string]func(*rapid.T){
				"announce": func(t *rapid.T) {
					c, vni, p, nh := draw(t)
					if err := c.Announce(vni, p, nh); err != nil {
						t.Fatal(err)
					}
				},
				"withdraw": func(t *rapid.T) {
					c, vni, p, nh := draw(t)
					c.Withdraw(vni, p, nh)
				},
				"withdraw all": func(t *rapid.T) {
					a.Table().Flush(rapid.SampledFrom(channels).Draw(t, "channel").Origins()[0])
				},
				"catch up": check,
			})
			check(t)
			for _, c := range channels {
				c.Close()
			}
			check(t)
			wantNothingKept(t, b.BGP())
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		})
	})
}
