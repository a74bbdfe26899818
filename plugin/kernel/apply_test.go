package kernel

import (
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// say announces 50 prefixes of a VNI.
func (h *host) say(vni rib.VNI) {
	for i := range 50 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(vni), byte(i)}), 32)
		h.tables.MetalBond.Replace(h.origin, vni, p, []rib.NextHop{{Target: netip.MustParseAddr("fd00:1::7")}}, rib.Native)
	}
}

// with is the configuration of the host with more VNIs.
func (h *host) with(more ...config.VNI) *config.Config {
	cfg := *h.cfg
	cfg.VNIs = append(slices.Clone(h.cfg.VNIs), more...)
	return &cfg
}

// full waits until a table has this many routes to hypervisors.
func (h *host) full(table, want int) {
	h.t.Helper()
	n := 0
	if !eventually(func() bool {
		routes := h.routes(table)
		maps.DeleteFunc(routes, func(_, to string) bool { return to != "seg6 fd00:1::7" })
		n = len(routes)
		return n == want
	}) {
		h.t.Fatalf("table %d has %d routes, want %d: %+v", table, n, want, h.kernel.Info())
	}
}

func TestVNIsComeAndGoWhileOthersStay(t *testing.T) {
	h := newHost(t, nil)
	h.say(100)
	h.say(101)
	h.ready()
	h.until("what an earlier run left is swept", func(i Info) bool { return i.Synced })
	heard := h.hear()
	vni := config.VNI{VNI: 101, Encapsulation: config.EncapNone, Decapsulation: config.DecapOff, Table: 1101, Isolated: true, Gateway: netip.MustParseAddr("fd00:f::101")}

	h.kernel.Apply(h.with(vni))
	h.full(1101, 50)
	h.until("VNI 101", func(i Info) bool { return i.Synced && len(i.Tables) == 2 })

	h.kernel.Apply(h.with())
	h.full(1101, 0)
	h.until("VNI 101 is gone", func(i Info) bool { return i.Synced && len(i.Tables) == 1 })
	if routes := h.routes(1101); !eventually(func() bool { routes = h.routes(1101); return len(routes) == 0 }) {
		t.Errorf("left behind: %v", routes)
	}

	// Another VNI gets the table of the one before.
	h.kernel.Apply(h.with(vni))
	h.full(1101, 50)
	h.say(102)
	vni.VNI = 102
	h.kernel.Apply(h.with(vni))
	h.full(1101, 50)
	if !eventually(func() bool { _, ok := h.routes(1101)["10.0.102.0"]; return ok && len(h.routes(1101)) == 51 }) {
		t.Errorf("the table has %v", h.routes(1101))
	}
	if routes, _ := heard(); routes > 0 {
		t.Errorf("%d routes of VNI 100 have changed", routes)
	}
	h.full(1100, 50)
}

func TestNewTableIsFilledBeforeTheOldOneIsEmptied(t *testing.T) {
	h := newHost(t, nil)
	h.say(101)
	vni := config.VNI{VNI: 101, Encapsulation: config.EncapNone, Decapsulation: config.DecapOff, Table: 1101}
	old := h.cfg
	h.cfg = h.with(vni)
	h.ready()
	h.full(1101, 50)
	h.cfg = old
	l, err := rtnl.Listen(nil, unix.RTNLGRP_IPV4_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	order := make(chan string, 1000)
	go func() {
		defer close(order)
		for {
			e, err := l.Next()
			if err != nil {
				return
			}
			if e.Kind == rtnl.RouteEvent && e.Route.Prefix.IsSingleIP() {
				order <- fmt.Sprint(e.Route.Table, " ", e.Removed)
			}
		}
	}()
	vni.Table = 1201
	h.kernel.Apply(h.with(vni))
	h.full(1201, 50)
	h.full(1101, 0)
	l.Close()
	filled := 0
	for x := range order {
		switch {
		case x == "1201 false":
			filled++
		case x == "1101 true" && filled < 50:
			t.Fatalf("a route was removed when %d of 50 had come", filled)
		}
	}
	if filled != 50 {
		t.Errorf("%d routes have come, want 50", filled)
	}
}

func TestDevicesComeAndGoWithTheirVNI(t *testing.T) {
	h := newHost(t, func(cfg *config.Config) {
		cfg.VXLAN = config.VXLAN{Local: netip.MustParseAddr("fd00:a::1"), RouterMAC: config.MAC{2, 0, 0, 0, 0, 1}}
	})
	h.ready()
	h.until("an earlier run is over", func(i Info) bool { return i.Swept })
	vni := func(n uint32) config.VNI {
		return config.VNI{VNI: n, Encapsulation: config.EncapVXLAN, Decapsulation: config.DecapOff, Table: n, Isolated: true, VXLANDevice: fmt.Sprint("vx", n)}
	}
	there := func(device string) func() bool {
		return func() bool { return exec.Command("ip", "link", "show", device).Run() == nil }
	}
	index := func(device string) string {
		out, _ := exec.Command("ip", "-o", "link", "show", device).CombinedOutput()
		number, _, _ := strings.Cut(string(out), ":")
		return number
	}
	rules := func(device string) bool {
		out, _ := exec.Command("ip", "rule", "show").CombinedOutput()
		return strings.Contains(string(out), "iif "+device)
	}
	h.kernel.Apply(h.with(vni(201)))
	if !eventually(there("vx201")) || !eventually(func() bool { return rules("vx201") }) {
		t.Fatal("vx201 is not there, or no rule of it")
	}
	first := index("vx201")
	h.kernel.Apply(h.with(vni(201), vni(202)))
	if !eventually(there("vx202")) {
		t.Fatal("vx202 is not there")
	}
	h.kernel.Apply(h.with(vni(201)))
	if !eventually(func() bool { return !there("vx202")() && !rules("vx202") }) {
		t.Error("vx202 is still there, or a rule of it")
	}
	if again := index("vx201"); again != first {
		t.Errorf("vx201 was made anew: %s, %s before", again, first)
	}
	other := vni(201)
	other.Table = 301
	h.kernel.Apply(h.with(other))
	if !eventually(func() bool {
		out, _ := exec.Command("ip", "rule", "show").CombinedOutput()
		return strings.Contains(string(out), "iif vx201 lookup 301") && !strings.Contains(string(out), "iif vx201 lookup 201")
	}) {
		t.Error("no rule, or one too many, leads packets of vx201 to table 301")
	}
	if again := index("vx201"); again != first {
		t.Errorf("vx201 was made anew for its table: %s, %s before", again, first)
	}
	if routes := h.routes(201); !eventually(func() bool { routes = h.routes(201); return len(routes) == 0 }) {
		t.Errorf("left of table 201: %v", routes)
	}
}
