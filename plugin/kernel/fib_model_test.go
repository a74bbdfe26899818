package kernel

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// expected is what a table should have of a prefix: the hops that carry packets,
// none if there is to be no route.
func (m *model) expected(vni uint32, p netip.Prefix) (targets []string) {
	cfg := configured(m.cfg, rib.VNI(vni))
	offers := func(vni uint32) {
		for _, path := range m.tables.Fabric.Lookup(rib.VNI(vni), p) {
			switch kind := configured(m.cfg, rib.VNI(vni)).Encapsulation; {
			case !path.NextHop.Target.IsValid():
				targets = append(targets, "discard")
			case kind == config.EncapVXLAN:
				gateway := vtepGateway(hop{mac: fakeMAC(path.NextHop.Target)})
				targets = append(targets, fmt.Sprintf("vtep %d %v of %v", vni, gateway, path.NextHop.Target))
			case kind == config.EncapMPLS:
				targets = append(targets, fmt.Sprintf("label %v %d", path.NextHop.Target, path.NextHop.Label))
			default:
				targets = append(targets, fmt.Sprintf("plain %v", path.NextHop.Target))
			}
		}
	}
	for _, kind := range []rib.NextHopType{rib.Standard, rib.NAT} {
		for _, path := range m.tables.MetalBond.Lookup(cfgVNI(cfg), p) {
			if path.NextHop.Type != kind || !path.Visible {
				continue
			}
			if i := slices.IndexFunc(m.cfg.VNIs, func(v config.VNI) bool { return v.Gateway == path.NextHop.Target }); i >= 0 {
				offers(m.cfg.VNIs[i].VNI)
			} else {
				targets = append(targets, fmt.Sprintf("overlay %v", path.NextHop.Target))
			}
		}
		if len(targets) > 0 {
			break
		}
	}
	if len(targets) == 0 && slices.ContainsFunc(m.tables.Fabric.Lookup(cfgVNI(cfg), p), func(i rib.RouteInfo) bool { return !i.NextHop.Target.IsValid() }) {
		targets = []string{"discard"}
	}
	slices.Sort(targets)
	targets = slices.Compact(targets)
	if len(targets) > 1 {
		targets = slices.DeleteFunc(targets, func(s string) bool { return s == "discard" })
	}
	return targets
}

func cfgVNI(c *config.VNI) rib.VNI { return rib.VNI(c.VNI) }

// reachable returns the targets that the underlay leads to.
func (m *model) reachable(targets []string) []string {
	return slices.DeleteFunc(slices.Clone(targets), func(s string) bool {
		words := strings.Fields(s)
		for _, word := range words[1:] {
			if a, err := netip.ParseAddr(word); err == nil && m.world.unreachable[a] {
				return true
			}
		}
		return false
	})
}

// said is what a route of the kernel says, as expected puts it.
func (m *model) said(r rtnl.Route) (targets []string) {
	if r.Type == unix.RTN_BLACKHOLE {
		return []string{"discard"}
	}
	hops := slices.Clone(r.Hops)
	if r.NextHopID != 0 {
		n := m.kernel.objects[r.NextHopID]
		for _, member := range n.Group {
			hops = append(hops, m.kernel.objects[member.ID].Hop)
		}
		if len(n.Group) == 0 {
			hops = append(hops, n.Hop)
		}
	}
	for _, h := range hops {
		switch {
		case h.Encap.Kind == rtnl.EncapIP6:
			targets = append(targets, fmt.Sprintf("overlay %v", h.Encap.Dst))
		case h.Device > fakeVXLAN:
			targets = append(targets, fmt.Sprintf("vtep %d %v", h.Device-fakeVXLAN, h.Gateway))
		case h.Encap.Kind == rtnl.EncapMPLS:
			targets = append(targets, fmt.Sprintf("label via %v %d", h.Gateway, h.Encap.Label))
		default:
			targets = append(targets, fmt.Sprintf("plain via %v", h.Gateway))
		}
	}
	slices.Sort(targets)
	return slices.Compact(targets)
}

// check compares the kernel with the tables, once everything had its time.
func (m *model) check(t *rapid.T) {
	for range 200 {
		m.turn()
		m.now = m.now.Add(2 * time.Second)
	}
	want := map[fakeRoute][]string{}
	lost := map[fakeRoute]bool{} // the underlay leads to none of it
	for i := range m.cfg.VNIs {
		c := &m.cfg.VNIs[i]
		for _, p := range modelPrefixes {
			k := fakeRoute{c.Table, p, m.cfg.Kernel.Metric}
			if targets := m.expected(c.VNI, p); len(targets) > 0 && m.foreign[k].Table == 0 {
				reachable := m.reachable(targets)
				lost[k] = len(reachable) == 0
				if lost[k] {
					reachable = targets
				}
				want[k] = viaGateway(reachable)
			}
		}
	}
	for k, r := range m.kernel.routes {
		if f, ok := m.foreign[k]; ok {
			if f.Protocol != r.Protocol || f.Type != r.Type {
				t.Fatalf("the route %v of somebody else is %+v now", k, r)
			}
			continue
		}
		have := m.said(r)
		single := !m.fib.objects && k.prefix.Addr().Is6() && len(have) == 1 // of several hops the kernel takes one only
		part := lost[k] || single
		if !slices.Equal(have, want[k]) && !(part && subset(have, want[k])) {
			t.Fatalf("%v goes to %v, want %v", k, have, want[k])
		}
		delete(want, k)
	}
	maps.DeleteFunc(want, func(k fakeRoute, _ []string) bool { return lost[k] })
	if len(want) > 0 {
		t.Fatalf("not in the kernel: %v", want)
	}
	for k := range m.foreign {
		if _, ok := m.kernel.routes[k]; !ok {
			t.Fatalf("the route %v of somebody else is gone", k)
		}
	}
	m.checkObjects(t)
}

// viaGateway says of targets that are looked up what becomes of them.
func viaGateway(targets []string) (list []string) {
	for _, s := range targets {
		s, _, _ = strings.Cut(s, " of ")
		var target string
		var label int
		if n, _ := fmt.Sscanf(s, "label %s %d", &target, &label); n == 2 {
			s = fmt.Sprintf("label via fe80::1 %d", label)
		} else if n, _ := fmt.Sscanf(s, "plain %s", &target); n == 1 {
			s = "plain via fe80::1"
		}
		list = append(list, s)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// checkObjects makes sure that nothing stays that nobody needs.
func (m *model) checkObjects(t *rapid.T) {
	used := map[uint32]bool{}
	for _, r := range m.kernel.routes {
		used[r.NextHopID] = true
	}
	for id := range maps.Clone(used) {
		for _, n := range m.fib.sets.list[m.fib.ids.groups[id]].hops {
			used[m.fib.hops.list[n].id] = true // also those that are not reachable
		}
	}
	for _, tbl := range m.fib.tables { // a conflict is ready for the other route's end
		for _, x := range tbl.failed {
			used[m.fib.sets.list[x.set].id] = true
			for _, n := range m.fib.sets.list[x.set].hops {
				used[m.fib.hops.list[n].id] = true
			}
		}
	}
	for id, n := range m.kernel.objects {
		if !used[id] && n.Protocol == m.cfg.Kernel.Protocol {
			t.Fatalf("nobody needs the next hop object %+v", n)
		}
	}
	vteps := 0
	for _, n := range m.world.vteps {
		if n < 0 || n > 1 {
			t.Fatalf("a VTEP was added %d times", n)
		}
		vteps += n
	}
	hops := 0
	for x := range m.fib.hops.numbers {
		if x.kind == vtepHop {
			hops++
		}
	}
	if vteps != hops {
		t.Fatalf("%d VTEPs, but %d hops use one", vteps, hops)
	}
}

var modelPrefixes = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("0.0.0.0/0"),
	netip.MustParsePrefix("2001:db8::/48"), netip.MustParsePrefix("2001:db8::1/128"),
}

func TestKernelIsWhatTheTablesSay(t *testing.T) {
	t.Run("with next hop objects", func(t *testing.T) { testModel(t, true) })
	t.Run("without", func(t *testing.T) { testModel(t, false) })
}

func testModel(t *testing.T, objects bool) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := modelConfig()
		cfg.Kernel.NextHopObjects = objects
		m := newModel(cfg)
		vni := rapid.SampledFrom([]rib.VNI{1, 2, 3, 4})
		prefix := rapid.SampledFrom(modelPrefixes)
		target := func(t *rapid.T) netip.Addr {
			return netip.MustParseAddr(fmt.Sprintf("fd00::%d", rapid.IntRange(1, 4).Draw(t, "target")))
		}
		t.Repeat(map[string]func(*rapid.T){
			"announce": func(t *rapid.T) {
				nh := rib.NextHop{Target: target(t), Type: rapid.SampledFrom([]rib.NextHopType{rib.Standard, rib.Standard, rib.NAT, rib.LoadBalancerTarget}).Draw(t, "type")}
				m.tables.MetalBond.Add(m.origin[0], rib.Route{VNI: vni.Draw(t, "vni"), Prefix: prefix.Draw(t, "prefix"), NextHop: nh})
			},
			"announce the gateway": func(t *rapid.T) {
				n := vni.Draw(t, "vni")
				nh := rib.NextHop{Target: configured(cfg, n).Gateway}
				if n == 3 && rapid.Bool().Draw(t, "leaked") {
					nh.Target = configured(cfg, 2).Gateway
				}
				m.tables.MetalBond.Add(m.origin[0], rib.Route{VNI: n, Prefix: prefix.Draw(t, "prefix"), NextHop: nh})
			},
			"offer": func(t *rapid.T) {
				nh := rib.NextHop{}
				n := vni.Draw(t, "vni")
				if rapid.IntRange(0, 4).Draw(t, "discard") > 0 {
					nh.Target = target(t)
					switch configured(cfg, n).Encapsulation {
					case config.EncapVXLAN:
						nh.MAC = fakeMAC(nh.Target)
					case config.EncapMPLS:
						nh.Label = 100
					}
				}
				m.tables.Fabric.Add(m.origin[1], rib.Route{VNI: n, Prefix: prefix.Draw(t, "prefix"), NextHop: nh})
			},
			"withdraw": func(t *rapid.T) {
				m.tables.MetalBond.Replace(m.origin[0], vni.Draw(t, "vni"), prefix.Draw(t, "prefix"), nil, 0)
			},
			"offer nothing": func(t *rapid.T) {
				m.tables.Fabric.Replace(m.origin[1], vni.Draw(t, "vni"), prefix.Draw(t, "prefix"), nil, 0)
			},
			"reach":       func(t *rapid.T) { m.world.setReachable(target(t), true) },
			"not reach":   func(t *rapid.T) { m.world.setReachable(target(t), false) },
			"turn":        func(*rapid.T) { m.turn() },
			"time passes": func(t *rapid.T) { m.now = m.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "s")) * time.Second) },
			"restart":     func(*rapid.T) { m.start() },
			"refuse": func(t *rapid.T) {
				every := rapid.IntRange(2, 5).Draw(t, "every")
				m.kernel.refuse = func() error {
					if every--; every%3 == 0 {
						return errno(unix.ENOBUFS)
					}
					return nil
				}
			},
			"refuse nothing":        func(*rapid.T) { m.kernel.refuse = nil },
			"meddle with a route":   func(t *rapid.T) { m.meddleRoute(t) },
			"meddle with an object": func(t *rapid.T) { m.meddleObject(t) },
			"lose a link": func(t *rapid.T) {
				device := rapid.SampledFrom([]int{fakeOverlay, fakeUplink, fakeVXLAN + 2}).Draw(t, "device")
				m.kernel.setLink(device, false)
				m.event(rtnl.Event{Kind: rtnl.LinkEvent, Link: rtnl.Link{Index: device}})
				m.turn()
				m.kernel.setLink(device, true)
				m.event(rtnl.Event{Kind: rtnl.LinkEvent, Link: rtnl.Link{Index: device, Up: true, Carrier: true}})
				m.fib.hops.touchAll(func(*hopState) bool { return true }) // the devices are looked at again
			},
			"route of somebody else": func(t *rapid.T) {
				k := fakeRoute{101, prefix.Draw(t, "prefix"), rapid.SampledFrom([]uint32{4711, 0}).Draw(t, "metric")}
				if r, ok := m.foreign[k]; ok {
					delete(m.foreign, k)
					delete(m.kernel.routes, k)
					m.event(rtnl.Event{Kind: rtnl.RouteEvent, Removed: true, Route: r})
					return
				}
				r := rtnl.Route{Table: k.table, Prefix: k.prefix, Metric: k.metric, Protocol: 4, Type: unix.RTN_UNREACHABLE}
				m.foreign[k], m.kernel.routes[k] = r, r // in the place of ours
				m.event(rtnl.Event{Kind: rtnl.RouteEvent, Route: r})
			},
		})
		m.kernel.refuse = nil
		m.check(t)
	})
}

// fakeMAC is the Router's MAC of a VTEP.
func fakeMAC(vtep netip.Addr) [6]byte { return [6]byte{2, 5: vtep.As16()[15]} }

func subset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

func compareFake(a, b fakeRoute) int {
	return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.metric, b.metric), a.prefix.Compare(b.prefix))
}

// meddleRoute removes or changes a route of ours. Who does it is told, or not.
func (m *model) meddleRoute(t *rapid.T) {
	for _, k := range slices.SortedFunc(maps.Keys(m.kernel.routes), compareFake) {
		r := m.kernel.routes[k]
		if r.Protocol != m.cfg.Kernel.Protocol || rapid.Bool().Draw(t, "not this one") {
			continue
		}
		removed := rapid.Bool().Draw(t, "removed")
		if removed {
			delete(m.kernel.routes, k)
		} else {
			r.NextHopID, r.Hops, r.Type = 0, nil, unix.RTN_BLACKHOLE
			m.kernel.routes[k] = r
		}
		if rapid.Bool().Draw(t, "heard") {
			m.event(rtnl.Event{Kind: rtnl.RouteEvent, Removed: removed, Route: r})
		} else {
			m.event(rtnl.Event{Kind: rtnl.OverrunEvent})
		}
		return
	}
}

// meddleObject removes or changes a next hop object of ours.
func (m *model) meddleObject(t *rapid.T) {
	for _, id := range slices.Sorted(maps.Keys(m.kernel.objects)) {
		n := m.kernel.objects[id]
		if rapid.Bool().Draw(t, "not this one") {
			continue
		}
		removed := rapid.Bool().Draw(t, "removed")
		switch {
		case removed:
			m.kernel.lose(id)
		case len(n.Group) > 1:
			n.Group = slices.Clone(n.Group[:1])
			m.kernel.objects[id] = n
		default:
			n.Hop.Encap.HopLimit = 7
			m.kernel.objects[id] = n
		}
		if rapid.Bool().Draw(t, "heard") {
			m.event(rtnl.Event{Kind: rtnl.NextHopEvent, Removed: removed, NextHop: n})
		} else {
			m.event(rtnl.Event{Kind: rtnl.OverrunEvent})
		}
		return
	}
}
