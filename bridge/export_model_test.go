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

// modelConfig has one VNI of every kind, two of unicast and of flow
// specifications, and what is drawn of policies, limits and aggregates.
func modelConfig(t *rapid.T) *config.Config {
	cfg := testConfig(t)
	cfg.MPLS.Labels = config.LabelRange{First: 1000, Last: 1999}
	cfg.BGP.NextHops = []netip.Addr{addr("192.0.2.9")}
	cfg.BGP.LosslessASN, cfg.Kernel = 65001, &config.Kernel{}
	cfg.VNIs = []config.VNI{
		{VNI: 200, Gateway: addr("2001:db8:f::200")},
		{VNI: 300, Encapsulation: config.EncapIPinIP, Gateway: addr("2001:db8:e::300"), Import: config.Import{Targets: matches(rt(65000, 300))}},
		{VNI: 301, Encapsulation: config.EncapSRv6},
		{VNI: 400, Family: config.VNIFamilyVPN, Encapsulation: config.EncapSRv6,
			SRv6: config.SRv6{Behavior: config.SIDBehaviorDX, NextHop: config.SIDNextHopSelf, Block: 32, Node: 32}},
		{VNI: 402, Family: config.VNIFamilyVPN, Encapsulation: config.EncapMPLS, Gateway: addr("2001:db8:f::402"),
			Export: config.Export{FlowSpec: config.FlowSpecRedirectIP}},
		{VNI: 500, Family: config.VNIFamilyUnicast, Encapsulation: config.EncapNone, Gateway: addr("2001:db8:f::500"),
			Export: config.Export{FlowSpec: config.FlowSpecRedirectRT}},
		{VNI: 501, Family: config.VNIFamilyUnicast, Encapsulation: config.EncapNone, Gateway: addr("2001:db8:f::501")},
	}
	for i := range cfg.VNIs {
		v := &cfg.VNIs[i]
		at := fmt.Sprintf("vni %d ", v.VNI)
		v.Table = v.VNI
		if v.Family != config.VNIFamilyUnicast {
			v.Export.Targets = []RouteTarget{rt(65000, v.VNI)}
		}
		v.Export.Types = rapid.SampledFrom([][]config.HopType{nil, {config.HopStandard},
			{config.HopStandard, config.HopNAT}, {config.HopStandard, config.HopNAT, config.HopLoadBalancerTarget}}).Draw(t, at+"types")
		if rapid.Bool().Draw(t, at+"has prefix rules") {
			v.Export.Prefixes = []config.PrefixRule{{Prefix: prefix("10.0.0.2/32")}, {Allow: true, Prefix: prefix("0.0.0.0/0"), LE: 32},
				{Allow: true, Prefix: prefix("::/0"), LE: 64}}
		}
		v.Export.Rules = drawPolicy(t, at+"rules")
		if v.Export.FlowSpec == config.FlowSpecOff && v.Family != config.VNIFamilyUnicast {
			v.Export.MaxPrefixes = rapid.IntRange(0, 3).Draw(t, at+"maximum")
		}
		if v.Encapsulation == config.EncapIPinIP || v.Encapsulation == config.EncapSRv6 {
			continue
		}
		for _, p := range []string{"0.0.0.0/0", "10.0.0.0/24", "10.0.0.0/31", "2001:db8:5::/64"} {
			if kind := rapid.IntRange(0, 3).Draw(t, at+"aggregate "+p); kind > 1 {
				v.Aggregates = append(v.Aggregates, config.Aggregate{Prefix: prefix(p), SummaryOnly: kind > 2})
			}
		}
	}
	return cfg
}

// drawPolicy draws a policy.
func drawPolicy(t *rapid.T, label string) []config.Rule {
	rule := rapid.Custom(func(t *rapid.T) config.Rule {
		var r config.Rule
		if rapid.Bool().Draw(t, "of prefixes") {
			r.When.Prefixes = []config.PrefixRule{{Prefix: prefix(rapid.SampledFrom([]string{"10.0.0.0/31", "10.0.0.0/8", "::/0"}).Draw(t, "prefix")), LE: 32}}
		}
		if rapid.Bool().Draw(t, "of types") {
			r.When.Types = []config.HopType{config.HopType(rapid.IntRange(0, 2).Draw(t, "type"))}
		}
		if rapid.Bool().Draw(t, "of next hops") {
			r.When.NextHops = []netip.Prefix{prefix(fmt.Sprintf("2001:db8:1::%d/128", rapid.IntRange(1, 3).Draw(t, "next hop")))}
		}
		if rapid.IntRange(0, 3).Draw(t, "of communities") == 0 {
			r.When.Communities = []config.Community{config.Community(rapid.IntRange(1, 3).Draw(t, "community"))}
		}
		r.Then = rapid.SampledFrom([]config.Then{config.ThenContinue, config.ThenContinue, config.ThenAccept, config.ThenRefuse}).Draw(t, "then")
		if r.Then == config.ThenRefuse {
			return r
		}
		switch rapid.IntRange(0, 4).Draw(t, "set") {
		case 1:
			r.Set.Communities = []config.Community{config.Community(rapid.IntRange(1, 3).Draw(t, "added"))}
		case 2:
			r.Set.LargeCommunities = []config.LargeCommunity{{65002, 1, rapid.Uint32Range(1, 2).Draw(t, "added large")}}
		case 3:
			r.Set.LocalPref = number(rapid.Uint32Range(1, 3).Draw(t, "local preference"))
		case 4:
			r.Set.MED = number(rapid.Uint32Range(1, 3).Draw(t, "med"))
		}
		return r
	})
	return named(rapid.SliceOfN(rule, 0, 3).Draw(t, label)...)
}

// modelRules is what a policy says of a next hop of a prefix.
func modelRules(rules []config.Rule, p netip.Prefix, hop rib.NextHop) (accepted bool, s config.Set) {
	for _, r := range rules {
		w := r.When
		if len(w.Prefixes) > 0 && !config.Permit([]config.PrefixRule{{Allow: true, Prefix: w.Prefixes[0].Prefix, LE: w.Prefixes[0].LE}}, p) ||
			len(w.Types) > 0 && rib.NextHopType(w.Types[0]) != hop.Type ||
			len(w.NextHops) > 0 && w.NextHops[0].Addr() != hop.Target ||
			len(w.Communities) > 0 && !slices.Contains(s.Communities, w.Communities[0]) {
			continue
		}
		if r.Then == config.ThenRefuse {
			return false, config.Set{}
		}
		for _, c := range r.Set.Communities {
			if !slices.Contains(s.Communities, c) {
				s.Communities = append(s.Communities, c)
			}
		}
		for _, c := range r.Set.LargeCommunities {
			if !slices.Contains(s.LargeCommunities, c) {
				s.LargeCommunities = append(s.LargeCommunities, c)
			}
		}
		slices.Sort(s.Communities)
		slices.SortFunc(s.LargeCommunities, func(a, b config.LargeCommunity) int { return slices.Compare(a[:], b[:]) })
		if r.Set.LocalPref != nil {
			s.LocalPref = r.Set.LocalPref
		}
		if r.Set.MED != nil {
			s.MED = r.Set.MED
		}
		if r.Then == config.ThenAccept {
			break
		}
	}
	return true, s
}

// said is what the model looks at of attributes, as text.
func said(a *Attributes) string {
	value := func(n *uint32) string {
		if n == nil {
			return "-"
		}
		return fmt.Sprint(*n)
	}
	return fmt.Sprintf("%v sid %v communities %v %v local-preference %s med %s redirect %v %v", a.NextHop, a.SRv6.SID,
		a.Communities, a.Large, value(a.LocalPref), value(a.MED), a.Redirect, a.RedirectTo)
}

// wantSaid is said of a route of a next hop, or of its flow specification.
func wantSaid(v *config.VNI, p netip.Prefix, hop rib.NextHop, s config.Set, flow bool) string {
	a := Attributes{LocalPref: s.LocalPref, MED: s.MED}
	for _, c := range s.Communities {
		a.Communities = append(a.Communities, uint32(c))
	}
	for _, c := range s.LargeCommunities {
		a.Large = append(a.Large, c)
	}
	unspecified := netip.IPv4Unspecified()
	if p.Addr().Is6() {
		unspecified = netip.IPv6Unspecified()
	}
	switch {
	case flow && v.Export.FlowSpec == config.FlowSpecRedirectIP:
		a.NextHop, a.Redirect = hop.Target, ExtendedCommunity{8}
	case flow:
		a.NextHop, a.RedirectTo = unspecified, hop.Target
	case v.Encapsulation == config.EncapVXLAN:
		a.NextHop = addr("192.0.2.1")
	case v.Encapsulation == config.EncapMPLS, v.Family == config.VNIFamilyUnicast && p.Addr().Is4():
		a.NextHop = addr("192.0.2.9")
	case v.Family == config.VNIFamilyUnicast:
		a.NextHop = unspecified
	case v.VNI == 400:
		a.NextHop, a.SRv6.SID = addr("192.0.2.9"), hop.Target
	case v.Encapsulation == config.EncapSRv6:
		a.NextHop, a.SRv6.SID = hop.Target, hop.Target
	default:
		a.NextHop = hop.Target
	}
	if !flow && (v.Encapsulation == config.EncapIPinIP || v.Encapsulation == config.EncapSRv6) && len(v.Export.Types) > 1 {
		a.Large = append(a.Large, [3]uint32{65001, 1, uint32(hop.Type)})
		if hop.Type == rib.NAT {
			a.Large = append(a.Large, [3]uint32{65001, 2, uint32(hop.NATFrom)<<16 + uint32(hop.NATTo)})
		}
		if hop.TargetVNI != 0 {
			a.Large = append(a.Large, [3]uint32{65001, 3, uint32(hop.TargetVNI)})
		}
	}
	return said(&a)
}

// exported is what BGP must hear of a VNI.
type exported struct {
	routes map[netip.Prefix]map[string]bool // what is said of the prefix, one path each
	flows  map[NLRI]string
}

// prefixes are those that count against the limit.
func (x exported) prefixes() map[netip.Prefix]bool {
	all := map[netip.Prefix]bool{}
	for p := range x.routes {
		all[p] = true
	}
	for n := range x.flows {
		all[n.Prefix] = true
	}
	return all
}

// modelExport works out from what is in the table what BGP must hear.
func modelExport(t *rapid.T, b *Bridge, v *config.VNI) exported {
	type candidate struct {
		hop rib.NextHop
		set config.Set
	}
	accepted := map[netip.Prefix][]candidate{}
	want := exported{map[netip.Prefix]map[string]bool{}, map[NLRI]string{}}
	inside := func(p netip.Prefix, a config.Aggregate) bool {
		return a.Prefix.Bits() < p.Bits() && a.Prefix.Contains(p.Addr())
	}
	summarised := func(p netip.Prefix) bool {
		return slices.ContainsFunc(v.Aggregates, func(a config.Aggregate) bool { return a.SummaryOnly && inside(p, a) })
	}
	straight := v.Encapsulation == config.EncapIPinIP || v.Encapsulation == config.EncapSRv6
	b.Table().Walk(rib.VNI(v.VNI), func(i rib.RouteInfo) bool {
		hop := i.NextHop
		path := rib.Path{NextHop: hop, Source: rib.BGP}
		for _, c := range i.Claims {
			path.Source = min(path.Source, c.Source)
		}
		native := path.Source != rib.BGP
		ok, set := modelRules(v.Export.Rules, i.Prefix, hop)
		flow := v.Export.FlowSpec != config.FlowSpecOff && hop.Type == rib.NAT && hop.NATTo > 0
		route := hop.Type == rib.Standard || slices.Contains(v.Export.Types, config.HopType(hop.Type))
		ok = ok && i.Visible && native && !b.current().gatewayHop(hop.Target) && config.Permit(v.Export.Prefixes, i.Prefix) &&
			(hop.TargetVNI == 0 || straight && len(v.Export.Types) > 1) && (route || flow)
		explained := b.BGP().ExplainExport(rib.VNI(v.VNI), i.Prefix, path)
		if native && i.Visible && ok != (explained.Reason == Accepted) && explained.Reason != VNILimit &&
			explained.Reason != SummaryOnly && explained.Reason != OtherVNI {
			t.Fatalf("vni %d: %v by %v is explained as %+v", v.VNI, i.Prefix, hop, explained)
		}
		if !ok {
			return true
		}
		if flow {
			for _, protocol := range []uint8{6, 17} {
				n := NLRI{Kind: FlowSpec, Prefix: i.Prefix, Flow: Flow{protocol, hop.NATFrom, hop.NATTo - 1}}
				if s := wantSaid(v, i.Prefix, hop, set, true); want.flows[n] == "" || lower(hop.Target, want.flows[n]) {
					want.flows[n] = s
				}
			}
		}
		if route {
			accepted[i.Prefix] = append(accepted[i.Prefix], candidate{hop, set})
		}
		return true
	})
	for p, list := range accepted {
		if summarised(p) {
			continue
		}
		want.routes[p] = map[string]bool{}
		if !straight {
			list = []candidate{slices.MinFunc(list, func(x, y candidate) int { return compareHops(&x.hop, &y.hop) })}
		}
		for _, c := range list {
			want.routes[p][wantSaid(v, p, c.hop, c.set, false)] = true
		}
	}
	for _, a := range v.Aggregates {
		ok, set := modelRules(v.Export.Rules, a.Prefix, rib.NextHop{Target: v.Gateway})
		for p := range accepted {
			if ok && want.routes[a.Prefix] == nil && inside(p, a) && !summarised(a.Prefix) {
				want.routes[a.Prefix] = map[string]bool{wantSaid(v, a.Prefix, rib.NextHop{}, set, false): true}
			}
		}
	}
	return want
}

// lower reports whether a hypervisor comes before the one of a flow
// specification: their addresses differ in the last digit.
func lower(target netip.Addr, other string) bool {
	for _, id := range []string{"1", "2", "3"} {
		a := "2001:db8:1::" + id
		if containsWord(other, a) {
			return false
		}
		if target == addr(a) {
			return true
		}
	}
	return false
}

func containsWord(s, word string) bool {
	for i := 0; i+len(word) <= len(s); i++ {
		if s[i:i+len(word)] == word && (i+len(word) == len(s) || s[i+len(word)] == ' ') {
			return true
		}
	}
	return false
}

// checkExported compares what the speaker has with the table, and that what was
// said before and still holds is at the same NLRI.
func checkExported(t *rapid.T, cfg *config.Config, b *Bridge, out *adjOut, before map[NLRI]string) map[NLRI]string {
	out.take(t)
	now := map[NLRI]string{}
	for nlri, a := range out.routes {
		now[nlri] = said(a)
	}
	common := map[NLRI]string{} // of all VNIs, without RD
	heard := 0
	for i := range cfg.VNIs {
		v := &cfg.VNIs[i]
		n := b.current().networks[rib.VNI(v.VNI)]
		want, s := modelExport(t, b, v), n.exportStats()
		got, prefixes, routes := map[string]bool{}, map[netip.Prefix]bool{}, 0
		for nlri, text := range now {
			if nlri.RD == (RD{}) || !slices.Contains(s.RDs, nlri.RD) && !slices.Contains(b.bgp.rds.list(n.vni), nlri.RD) {
				continue
			}
			key := fmt.Sprint(nlri.Prefix, " ", text)
			switch {
			case nlri.Kind != n.kind():
				t.Fatalf("vni %d: %v is of another kind", v.VNI, nlri)
			case !want.routes[nlri.Prefix][text]:
				t.Fatalf("vni %d: %v %s is in BGP, want %v", v.VNI, nlri, text, want.routes[nlri.Prefix])
			case got[key]:
				t.Fatalf("vni %d: %s twice", v.VNI, key)
			}
			got[key], prefixes[nlri.Prefix] = true, true
			routes++
			if old := before[nlri]; old != "" && old != text && want.routes[nlri.Prefix][old] {
				t.Fatalf("vni %d: %v has moved from %s to %s", v.VNI, nlri, old, text)
			}
		}
		heard += routes
		total := 0
		for p, list := range want.routes {
			if v.Family == config.VNIFamilyUnicast {
				for text := range list {
					first(common, NLRI{Kind: Unicast, Prefix: p}, text)
				}
			}
			if prefixes[p] || v.Export.MaxPrefixes == 0 {
				total += len(list)
			}
		}
		for nlri, text := range want.flows {
			first(common, nlri, text)
		}
		all := len(want.prefixes())
		switch {
		case v.Family != config.VNIFamilyUnicast && routes != total:
			t.Fatalf("vni %d: %d routes in BGP, want %v", v.VNI, routes, want.routes)
		case s.Routes != total+len(want.flows):
			t.Fatalf("vni %d: counted %d, there are %d", v.VNI, s.Routes, total+len(want.flows))
		case v.Export.MaxPrefixes == 0 && s.Prefixes.Used != all:
			t.Fatalf("vni %d: %+v, %d prefixes", v.VNI, s, all)
		case v.Export.MaxPrefixes > 0 && (s.Prefixes.Used != min(v.Export.MaxPrefixes, all) || s.Waiting != all-s.Prefixes.Used):
			t.Fatalf("vni %d: %+v, %d prefixes", v.VNI, s, all)
		}
		for _, a := range v.Aggregates {
			told := prefixes[a.Prefix] || v.Family == config.VNIFamilyUnicast && len(want.routes[a.Prefix]) > 0
			if discarded := len(b.Fabric().Lookup(n.vni, a.Prefix)) > 0; discarded != told {
				t.Fatalf("vni %d: %v is discarded: %v", v.VNI, a.Prefix, discarded)
			}
		}
	}
	for nlri, text := range common {
		if now[nlri] != text {
			t.Fatalf("%v is %q in BGP, want %q", nlri, now[nlri], text)
		}
	}
	if len(now) != heard+len(common) {
		t.Fatalf("%d routes in BGP, %d of VNIs and %v: %v", len(now), heard, common, now)
	}
	return now
}

// first sets m[k] if it is not set.
func first(m map[NLRI]string, k NLRI, text string) {
	if _, taken := m[k]; !taken {
		m[k] = text
	}
}

// bubbled is a test in a synctest bubble, which may not be asked for its
// deadline as rapid would.
type bubbled struct{ rapid.TB }

func TestExportFollowsTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(t *rapid.T) {
			cfg := modelConfig(t)
			b := newBridge(t, cfg)
			channels := []*Channel{b.Open(rib.Client, "a"), b.Open(rib.Client, "b"), b.Open(rib.Server, "s"), b.Open(rib.Static, "static")}
			out := &adjOut{routes: map[NLRI]*Attributes{}}
			ctx, cancel := context.WithCancel(context.Background())
			done, gate := make(chan error, 1), make(chan struct{}, 1)
			slow := rapid.Bool().Draw(t, "slow speaker")
			go func() {
				done <- b.BGP().Export(ctx, func(u []Update) error {
					if slow {
						select {
						case gate <- struct{}{}:
						case <-ctx.Done():
						}
					}
					return out.send(u)
				})
			}()
			t.Cleanup(cancel)
			draw := func(t *rapid.T) (*Channel, rib.VNI, netip.Prefix, rib.NextHop) {
				nh := hop(fmt.Sprintf("2001:db8:%s::%d", rapid.SampledFrom([]string{"1", "1", "1", "f"}).Draw(t, "net"), rapid.IntRange(1, 3).Draw(t, "hop")))
				switch rapid.IntRange(0, 7).Draw(t, "type") {
				case 0, 1, 2:
					nh.Type = rib.NAT
					nh.NATFrom, nh.NATTo = 1, rapid.SampledFrom([]uint16{2, 2, 5}).Draw(t, "end of the range")
				case 3:
					nh.Type = rib.NAT // and no range
				case 4:
					nh.Type = rib.LoadBalancerTarget
				}
				if rapid.IntRange(0, 5).Draw(t, "target") == 0 {
					nh.TargetVNI = 999
				}
				return channels[rapid.IntRange(0, len(channels)-1).Draw(t, "channel")],
					rib.VNI(cfg.VNIs[rapid.IntRange(0, len(cfg.VNIs)-1).Draw(t, "vni")].VNI),
					prefix(rapid.SampledFrom([]string{"10.0.0.0/32", "10.0.0.1/32", "10.0.0.2/32", "10.0.0.0/31", "10.0.0.0/24",
						"2001:db8:5::/64", "2001:db8:5::1/128"}).Draw(t, "prefix")), nh
			}
			before := map[NLRI]string{}
			t.Repeat(map[string]func(*rapid.T){
				"announce": func(t *rapid.T) {
					for range rapid.IntRange(1, 20).Draw(t, "count") {
						c, vni, p, nh := draw(t)
						if err := c.Announce(vni, p, nh); err != nil {
							t.Fatal(err)
						}
					}
				},
				"withdraw": func(t *rapid.T) {
					c, vni, p, nh := draw(t)
					c.Withdraw(vni, p, nh)
				},
				"import": func(t *rapid.T) {
					_, _, p, nh := draw(t)
					b.BGP().Import([]Update{say(type5(1, p.String()), ipipPath(nh.Target.String(), rt(65000, 300)))})
				},
				"lose": func(t *rapid.T) {
					_, _, p, _ := draw(t)
					b.BGP().Import([]Update{unsay(type5(1, p.String()))})
				},
				"withdraw a lot": func(t *rapid.T) {
					c := rapid.IntRange(0, len(channels)-1).Draw(t, "of")
					channels[c].Close()
					channels[c] = b.Open(rib.Client, "again")
				},
				"let one batch through": func(t *rapid.T) {
					select {
					case <-gate:
					default:
					}
				},
				"catch up": func(t *rapid.T) {
					for synctest.Wait(); len(gate) > 0; synctest.Wait() {
						<-gate
					}
					before = checkExported(t, cfg, b, out, before)
				},
			})
			for _, c := range channels {
				c.Close()
			}
			for synctest.Wait(); len(gate) > 0; synctest.Wait() {
				<-gate
			}
			checkExported(t, cfg, b, out, nil)
			if len(out.routes) != 0 {
				t.Fatalf("left in BGP: %v", out.routes)
			}
			for _, n := range b.current().sorted {
				if len(n.out.paths)+len(n.out.waiting) != 0 {
					t.Fatalf("vni %d keeps %d and %d", n.vni, len(n.out.paths), len(n.out.waiting))
				}
				for _, a := range n.exportStats().Aggregates {
					if a.Contributors != 0 || a.Exported {
						t.Fatalf("vni %d: %+v", n.vni, a)
					}
				}
			}
			if n := len(b.bgp.contest.claims); n != 0 {
				t.Fatalf("%d claims are left", n)
			}
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		})
	})
}

// wantExported are the BGP next hops that every prefix must have of a network
// that exports standard next hops without rules.
func wantExported(b *Bridge, n *network) map[netip.Prefix]map[netip.Addr]bool {
	want := map[netip.Prefix]map[netip.Addr]bool{}
	b.Table().Walk(n.vni, func(i rib.RouteInfo) bool {
		native := slices.ContainsFunc(i.Claims, func(c rib.Claim) bool { return sources.Has(c.Source) })
		t := i.NextHop.Target
		if !i.Visible || !native || i.NextHop.Type != rib.Standard || i.NextHop.TargetVNI != 0 || b.current().gatewayHop(t) ||
			!config.Permit(n.exports.Prefixes, i.Prefix) {
			return true
		}
		if n.self {
			t = b.bgp.local
		}
		if want[i.Prefix] == nil {
			want[i.Prefix] = map[netip.Addr]bool{}
		}
		want[i.Prefix][t] = true
		return true
	})
	return want
}
