package kernel

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/internal/netns"
	"mbbgp/rib"
)

func TestTwoOfAKindAreRefused(t *testing.T) {
	bridge := func(protocol uint8) *config.Config {
		return &config.Config{Kernel: &config.Kernel{Protocol: protocol}, VNIs: []config.VNI{{Table: 7}}}
	}
	client := func(tables ...uint32) *config.Config {
		c := &config.Config{Kernel: &config.Kernel{Protocol: 254, RoutesOnly: true}}
		for _, n := range tables {
			c.VNIs = append(c.VNIs, config.VNI{Table: n})
		}
		return c
	}
	netns.New(t)
	for _, row := range []struct {
		name          string
		first, second *config.Config
		problem       string
	}{
		{"bridges with a protocol", bridge(254), bridge(254), "another process keeps the routes of protocol 254 in this network namespace: stop it, or give one of them another kernel.protocol"},
		{"bridges with different ones", bridge(254), bridge(253), ""},
		{"clients with a table", client(7, 8), client(9, 8), "another client installs routes in table 8: stop it, or install them in another table"},
		{"clients with different ones", client(7, 8), client(9), ""},
		{"a bridge and a client", bridge(254), client(7), ""},
	} {
		first, err := acquire(row.first)
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		second, err := acquire(row.second)
		if err == nil && row.problem != "" || err != nil && err.Error() != row.problem {
			t.Errorf("%s: %v, want %q", row.name, err, row.problem)
		}
		second.release()
		first.release()
		if second, err = acquire(row.second); err != nil { // of what failed half is not kept
			t.Errorf("%s: after the end of the first: %v", row.name, err)
		}
		second.release()
	}
}

func TestSecondKernelAndCleanupAreRefused(t *testing.T) {
	h := newHost(t, nil)
	h.crowd()
	h.ready()
	second, err := New(h.cfg, h.tables, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another kernel.protocol") {
		t.Errorf("a second one: %v", err)
	}
	if err := Cleanup(h.cfg, quiet()); err == nil || !strings.Contains(err.Error(), "another kernel.protocol") {
		t.Errorf("cleanup: %v", err)
	}
	h.stop()
	if err := Cleanup(h.cfg, quiet()); err != nil {
		t.Error(err)
	}
	h.expect()
}

// A client stands beside a bridge with the same protocol, and is done with its
// routes alone.
func TestRoutesOnlyTouchesNothingElse(t *testing.T) {
	h := newHost(t, func(c *config.Config) {
		c.Kernel.RoutesOnly, c.Kernel.Settle = true, 0
		c.VNIs[0].Gateway = c.VNIs[0].Gateway.Next()
	})
	batch(t, `
		link set seg alias "mbbgp 254"
		link add mb9 type bridge
		link set mb9 alias "mbbgp 254 vni 9"
		rule add iif mb9 lookup 1109 priority 774 protocol 254
		rule add iif mb9 lookup 1109 priority 500 protocol 254
		route add 2001:db8:ff::8 encap seg6local action End.DT6 table 5 dev u1 proto 254 metric 4711
		route add unreachable default table 1109 metric 4278198272 proto 254`)
	netns.Run(t, "nft", "add table inet mbbgp_254")
	address := localAddr{addr: addrOf("2001:db8:ff::9"), bits: 128, device: 1, protocol: 254}
	if err := reopen(t, h.cfg).sys.changeAddr(unix.RTM_NEWADDR, unix.NLM_F_CREATE, address); err != nil {
		t.Fatal(err)
	}
	others := func() string {
		return says(t, "ip -d link") + says(t, "ip -6 addr show dev lo") + says(t, "ip rule") + says(t, "nft list ruleset") +
			says(t, "ip -6 route show 2001:db8:ff::8") + says(t, "ip route show table 1109")
	}
	before := others()
	h.announce("10.0.0.1/32", "fd00:1::1")
	h.announceNAT("198.51.100.1/32", "fd00:1::1", "fd00:2::1")
	h.ready()
	h.until("swept", func(i Info) bool { return i.Swept && i.Synced })
	h.expect("10.0.0.1", "seg6 fd00:1::1", "198.51.100.1", "seg6 fd00:1::1 + seg6 fd00:2::1")
	i := h.kernel.Info()
	if len(i.Devices) != 1 || i.Devices[0].Ours || !i.Devices[0].OK || i.Tables[0].Steered != 0 {
		t.Errorf("devices %+v, tables %+v", i.Devices, i.Tables)
	}
	h.stop()
	if err := Cleanup(h.cfg, quiet()); err != nil {
		t.Error(err)
	}
	h.expect()
	if ids := h.objects(false); len(ids) > 0 {
		t.Errorf("next hop objects %v are left", ids)
	}
	if after := others(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

// announceNAT makes targets the owners of a part of the ports each.
func (h *host) announceNAT(p string, targets ...string) {
	var hops []rib.NextHop
	for i, s := range targets {
		hops = append(hops, rib.NextHop{Type: rib.NAT, Target: addrOf(s), NATFrom: uint16(1000 * (i + 1)), NATTo: uint16(1000*(i+1) + 500)})
	}
	h.tables.MetalBond.Replace(h.origin, 100, prefixOf(p), hops, rib.Native)
}

// Where a bridge sends what it announces itself is for its own packets, too;
// what a client announces is its own.
func TestStaticRoutesAreInstalledByABridge(t *testing.T) {
	for _, client := range []bool{false, true} {
		h := newHost(t, func(c *config.Config) { c.Kernel.RoutesOnly = client })
		own := h.tables.MetalBond.NewOrigin(rib.OriginInfo{Source: rib.Static})
		h.tables.MetalBond.Replace(own, 100, prefixOf("10.0.0.1/32"), []rib.NextHop{{Target: addrOf("fd00:1::1")}}, rib.Native)
		h.announce("10.0.0.2/32", "fd00:1::1")
		h.ready()
		want := []string{"10.0.0.2", "seg6 fd00:1::1"}
		if !client {
			want = slices.Concat(want, []string{"10.0.0.1", "seg6 fd00:1::1"})
		}
		h.expect(want...)
		h.stop()
	}
}
