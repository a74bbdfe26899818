package bridge

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"mbbgp/config"
	"mbbgp/rib"
)

// reloadable draws a configuration of those between which a reload may lead.
func reloadable(t *rapid.T) *config.Config {
	cfg := kernelConfig(t)
	cfg.MPLS.Labels = config.LabelRange{First: 1000, Last: 1999}
	cfg.BGP.NextHops = append(cfg.BGP.NextHops, addr("192.0.2.9"))
	cfg.VNIs = append(cfg.VNIs, config.VNI{
		VNI: 101, Family: config.VNIFamilyUnicast, Encapsulation: config.EncapNone, Gateway: addr("2001:db8:d::101"), Table: 101,
		Import: config.Import{Prefixes: []config.PrefixRule{{Allow: true, Prefix: prefix("0.0.0.0/0"), LE: 32}}},
	})
	cfg.MetalBond.Gateways = nil
	if rapid.Bool().Draw(t, "pool") {
		cfg.MetalBond.Gateways = []netip.Prefix{prefix("2001:db8:f::/64")}
	}
	chance := func(n int, what string) bool { return rapid.IntRange(0, n-1).Draw(t, what) == 0 }
	cfg.VNIs = slices.DeleteFunc(cfg.VNIs, func(v config.VNI) bool { return chance(4, fmt.Sprint("without ", v.VNI)) })
	for i := range cfg.VNIs {
		v := &cfg.VNIs[i]
		at := func(what string) string { return fmt.Sprintf("vni %d %s", v.VNI, what) }
		if v.Family != config.VNIFamilyUnicast {
			v.Export.Targets = []RouteTarget{rt(65000, v.VNI)}
			if chance(4, at("exports to another target")) {
				v.Export.Targets = []RouteTarget{rt(65000, 1), rt(65000, 2)}
			}
			if chance(4, at("exports nothing")) {
				v.Export.Targets = nil
			}
			v.Import.Targets = matches(rt(65000, rapid.SampledFrom([]uint32{v.VNI, v.VNI, 200, 300, 999}).Draw(t, at("imports"))))
			if chance(4, at("has another RD")) {
				v.RD = config.NewRD(addr("192.0.2.77"), uint16(v.VNI))
			}
		}
		v.Export.Types = rapid.SampledFrom([][]config.HopType{{config.HopStandard}, {config.HopStandard}, {config.HopStandard, config.HopNAT}}).Draw(t, at("types"))
		if chance(3, at("exports flows")) {
			v.Export.FlowSpec = config.FlowSpecRedirectIP
		}
		if chance(2, at("filters exports")) {
			v.Export.Prefixes = []config.PrefixRule{{Prefix: prefix("10.0.0.2/32")}, {Allow: true, Prefix: prefix("0.0.0.0/0"), LE: 32}}
		}
		v.Export.Rules = drawPolicy(t, at("export rules"))
		if chance(3, at("filters imports")) {
			v.Import.Prefixes = []config.PrefixRule{{Allow: true, Prefix: prefix("10.1.0.1/32")}}
		}
		if chance(2, at("has no import rules")) {
			v.Import.Rules = nil
		}
		if v.Gateway.IsValid() && chance(3, at("has another gateway")) {
			v.Gateway = addr(fmt.Sprintf("2001:db8:c::%d", v.VNI))
		}
		if chance(3, at("has no table")) {
			v.Table = 0
		}
		if chance(3, at("originates nothing")) {
			v.Originate = nil
		}
		for _, other := range []uint32{100, 200, 300} {
			if v.VNI != other && chance(5, at(fmt.Sprint("imports from ", other))) {
				v.ImportFrom = append(v.ImportFrom, other)
			}
		}
		if v.Encapsulation == config.EncapIPinIP || v.Encapsulation == config.EncapSRv6 {
			continue
		}
		for _, p := range []string{"10.0.0.0/24", "10.0.0.0/31"} {
			if kind := rapid.IntRange(0, 3).Draw(t, at("aggregate "+p)); kind > 1 {
				v.Aggregates = append(v.Aggregates, config.Aggregate{Prefix: prefix(p), SummaryOnly: kind > 2})
			}
		}
	}
	return cfg
}

// running is a bridge under way, and what is said to it.
type running struct {
	*Bridge
	out      *adjOut
	channels []*Channel
	refresh  bool
}

// run runs a bridge of a configuration.
func run(t *rapid.T, cfg *config.Config) *running {
	r := &running{Bridge: newBridge(t, cfg), out: &adjOut{routes: map[NLRI]*Attributes{}}}
	r.channels = []*Channel{r.Open(rib.Client, "a"), r.Open(rib.Server, "s")}
	r.BGP().Refresh = func() { r.refresh = true }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- r.BGP().Export(ctx, r.out.send) }()
	go func() { done <- r.Leak(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return r
}

// state is all that a bridge has and has told, as text, whatever its RDs are.
func (r *running) state(t *rapid.T) (list []string) {
	r.out.take(t)
	for _, table := range []*rib.Table{r.Table(), r.Fabric()} {
		for _, vni := range table.VNIs() {
			table.Walk(vni, func(i rib.RouteInfo) bool {
				for _, c := range i.Claims {
					list = append(list, fmt.Sprintln(table == r.Fabric(), vni, i.Prefix, i.NextHop, i.Visible, c.Source, c.Name))
				}
				return true
			})
		}
	}
	for nlri, a := range r.out.routes {
		list = append(list, fmt.Sprintln("BGP", nlri.Kind, nlri.Prefix, nlri.Flow, nlri.Target, a.RouteTargets, a.RouterMAC, said(a)))
	}
	slices.Sort(list)
	return list
}

func TestReloadedBridgeIsLikeAFreshOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(t *rapid.T) {
			cfg := reloadable(t)
			b := run(t, cfg)
			heard := map[NLRI]Update{}
			type said struct {
				channel int
				vni     rib.VNI
				prefix  netip.Prefix
				hop     rib.NextHop
			}
			announced := map[said]bool{}
			draw := func(t *rapid.T) said {
				nh := hop(fmt.Sprintf("2001:db8:%s::%d", rapid.SampledFrom([]string{"1", "1", "1", "f", "e"}).Draw(t, "net"),
					rapid.SampledFrom([]int{1, 2, 200, 300}).Draw(t, "hop")))
				if rapid.IntRange(0, 3).Draw(t, "type") == 0 {
					nh.Type, nh.NATFrom, nh.NATTo = rib.NAT, 1, 9
				}
				return said{rapid.IntRange(0, 1).Draw(t, "channel"), rib.VNI(rapid.SampledFrom([]uint32{100, 101, 200, 300, 500, 600, 700}).Draw(t, "vni")),
					prefix(rapid.SampledFrom([]string{"10.0.0.1/32", "10.0.0.2/32", "10.0.0.0/31", "10.0.0.0/24", "10.1.0.1/32"}).Draw(t, "prefix")), nh}
			}
			// What a server said of our own gateways, or of our own routes, is not
			// remembered; a session says it again when it is back.
			repeat := func(r *running) {
				for _, x := range slices.SortedFunc(maps.Keys(announced), func(a, b said) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }) {
					_ = r.channels[x.channel].Announce(x.vni, x.prefix, x.hop)
				}
				synctest.Wait()
			}
			t.Repeat(map[string]func(*rapid.T){
				"announce": func(t *rapid.T) {
					for range rapid.IntRange(1, 10).Draw(t, "count") {
						x := draw(t)
						announced[x] = true
						_ = b.channels[x.channel].Announce(x.vni, x.prefix, x.hop)
					}
				},
				"withdraw": func(t *rapid.T) {
					x := draw(t)
					delete(announced, x)
					b.channels[x.channel].Withdraw(x.vni, x.prefix, x.hop)
				},
				"import": func(t *rapid.T) {
					u := labelled(drawNLRI(t), 5000, drawAttributes(t))
					u.NLRI.MAC = MAC{}
					heard[u.NLRI] = u
					b.BGP().Import([]Update{u})
				},
				"lose": func(t *rapid.T) {
					n := drawNLRI(t)
					n.MAC = MAC{}
					delete(heard, n)
					b.BGP().Import([]Update{unsay(n)})
				},
				"catch up": func(*rapid.T) { synctest.Wait() },
				"reload": func(t *rapid.T) {
					next := reloadable(t)
					if err := b.Apply(next); err != nil {
						t.Fatal(err)
					}
					cfg = next
				},
				"reload and change nothing": func(t *rapid.T) {
					synctest.Wait()
					b.settle(t, heard)
					before := b.state(t)
					sent := len(b.out.sent)
					if err := b.Apply(cfg); err != nil || b.refresh {
						t.Fatal(err, b.refresh)
					}
					synctest.Wait()
					if after := b.state(t); !slices.Equal(before, after) || len(b.out.sent) != sent {
						t.Fatalf("before\n%q\nafter\n%q", before, after)
					}
				},
			})
			b.settle(t, heard)
			repeat(b)
			fresh := run(t, cfg)
			fresh.BGP().Import(inOrder(heard))
			repeat(fresh)
			if got, want := b.state(t), fresh.state(t); !slices.Equal(got, want) {
				t.Fatalf("after reloads:\n%q\nafter a start:\n%q", without(got, want), without(want, got))
			}
		})
	})
}

// inOrder returns updates in the order of their NLRIs.
func inOrder(heard map[NLRI]Update) []Update {
	return slices.SortedFunc(maps.Values(heard), func(a, b Update) int { return strings.Compare(fmt.Sprint(a.NLRI), fmt.Sprint(b.NLRI)) })
}

// settle lets everything be said once more if that was asked for.
func (r *running) settle(_ *rapid.T, heard map[NLRI]Update) {
	if r.refresh {
		r.refresh = false
		r.BGP().Import(inOrder(heard))
	}
	synctest.Wait()
}

// without returns what is in one list and not in another.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

func TestContradictingConfigurationChangesNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*config.Config)
		want   string
	}{
		{"an RD twice", func(cfg *config.Config) {
			cfg.VNIs[0].RD, cfg.VNIs[1].RD = config.NewRD(addr("192.0.2.9"), 1), config.NewRD(addr("192.0.2.9"), 1)
		}, "vni 200 and vni 300 have the same route distinguisher 192.0.2.9:1"},
		{"the RD that another VNI was given", func(cfg *config.Config) { cfg.VNIs[0].RD = config.NewRD(cfg.RouterID, 300) },
			"vni 200: 300 is in use: vni 300 was given it of the route distinguishers that are free"},
		{"a VNI twice", func(cfg *config.Config) { cfg.VNIs[1].VNI = 200 }, "vni 200 is configured twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBridge(t, testConfig(t))
			before := b.current()
			cfg := testConfig(t)
			c.change(cfg)
			if err := b.Apply(cfg); err == nil || err.Error() != c.want {
				t.Errorf("error %v, want %s", err, c.want)
			}
			if b.current() != before {
				t.Error("something has changed")
			}
			if err := b.Apply(testConfig(t)); err != nil || !reflect.DeepEqual(before.sorted, b.current().sorted) {
				t.Errorf("the way back: %v", err)
			}
		})
	}
}
