package kernel

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/internal/netns"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
	"mbbgp/test/lab"
)

// host is a machine of its own with a Kernel and the tables that it follows.
// Hypervisors are fd00:1::N by uplink u1 and fd00:2::N by uplink u2.
type host struct {
	t       testing.TB
	cfg     *config.Config
	tables  Tables
	origin  rib.Origin // in MetalBond's table
	fabric  rib.Origin
	network *os.File // the network namespace
	kernel  *Kernel
	end     context.CancelFunc
	ended   chan struct{}
	err     error // of Run, once it has ended
}

func newHost(t testing.TB, change func(*config.Config)) *host {
	lab.Need(t, "lab")
	netns.New(t)
	batch(t, `
		link add u1 type veth peer name p1
		link add u2 type veth peer name p2
		link add seg type veth peer name gap
		link set u1 up
		link set p1 up
		link set u2 up
		link set p2 up
		link set seg up
		link set gap up
		addr add fd00:a::1/64 dev u1 nodad
		addr add fd00:b::1/64 dev u2 nodad
		route add fd00:1::/64 via fd00:a::2
		route add fd00:2::/64 via fd00:b::2`)
	h := &host{t: t, cfg: hostConfig(), tables: Tables{MetalBond: rib.New(rib.Options{}), Fabric: rib.New(rib.Options{})}}
	if change != nil {
		change(h.cfg)
	}
	h.origin = h.tables.MetalBond.NewOrigin(rib.OriginInfo{Source: rib.Client})
	h.fabric = h.tables.Fabric.NewOrigin(rib.OriginInfo{Source: rib.BGP})
	var err error
	if h.network, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.stop()
		h.network.Close()
	})
	return h
}

// hostConfig sends to hypervisors by seg6, which every kernel has.
func hostConfig() *config.Config {
	k := config.DefaultKernel()
	k.Tunnel, k.Device, k.Settle = config.TunnelSeg6, "seg", 300*time.Millisecond
	return &config.Config{Kernel: k, VNIs: []config.VNI{
		{VNI: 100, Encapsulation: config.EncapNone, Decapsulation: config.DecapOff, Table: 1100, Gateway: netip.MustParseAddr("fd00:f::100")},
	}}
}

// batch runs commands of ip, one on each line.
func batch(t testing.TB, lines string) {
	t.Helper()
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(lines)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip -batch: %v\n%s", err, out)
	}
}

// start runs a Kernel until stop.
func (h *host) start() {
	h.t.Helper()
	var err error
	if h.kernel, err = New(h.cfg, h.tables, quiet()); err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.end, h.ended = cancel, make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is thrown away
		defer close(h.ended)
		if h.err = unix.Setns(int(h.network.Fd()), unix.CLONE_NEWNET); h.err == nil {
			h.err = h.kernel.Run(ctx)
		}
	}()
}

// stop ends the Kernel. What is in the kernel stays.
func (h *host) stop() {
	h.t.Helper()
	if h.end == nil {
		return
	}
	h.end()
	<-h.ended
	if h.err != nil {
		h.t.Errorf("Run: %v", h.err)
	}
	h.end = nil
}

// ready starts a Kernel and waits until its first pass is in the kernel.
func (h *host) ready() {
	h.t.Helper()
	h.start()
	select {
	case <-h.kernel.Ready():
	case <-h.ended:
		h.t.FailNow() // stop says why
	case <-time.After(time.Minute):
		h.t.Fatal("not ready after a minute")
	}
}

func (h *host) announce(p string, targets ...string) {
	h.announceAt(netip.MustParsePrefix(p), targets...)
}

// announceAt makes targets all that VNI 100 has of a prefix.
func (h *host) announceAt(p netip.Prefix, targets ...string) {
	var hops []rib.NextHop
	for _, s := range targets {
		hops = append(hops, rib.NextHop{Target: netip.MustParseAddr(s)})
	}
	h.tables.MetalBond.Replace(h.origin, 100, p, hops, rib.Native)
}

// offer makes targets what the fabric offers of a prefix of VNI 100.
func (h *host) offer(p string, targets ...string) {
	var hops []rib.NextHop
	for _, s := range targets {
		if s == "discard" {
			hops = append(hops, rib.NextHop{})
			continue
		}
		hops = append(hops, rib.NextHop{Target: netip.MustParseAddr(s)})
	}
	h.tables.Fabric.Replace(h.fabric, 100, netip.MustParsePrefix(p), hops, rib.Redistributed)
}

// shown is a route as iproute2 shows it.
type shown struct {
	Type     string
	Dst      string
	Dev      string
	Protocol string
	Metric   int
	Gateway  string
	Via      struct{ Host string }
	Segs     []string
	NHID     int
	Nexthops []shown
}

// target says where it goes: a segment, or a gateway.
func (r *shown) target() string {
	switch {
	case len(r.Segs) > 0:
		return "seg6 " + strings.Join(r.Segs, ",")
	case r.Via.Host != "":
		return r.Via.Host + " dev " + r.Dev
	case r.Gateway != "":
		return r.Gateway + " dev " + r.Dev
	}
	return "dev " + r.Dev
}

// routes returns what iproute2 shows of a table: prefixes, and where each goes.
func (h *host) routes(table int) map[string]string {
	h.t.Helper()
	routes := map[string]string{}
	for _, family := range []string{"-4", "-6"} {
		var list []shown
		out, err := exec.Command("ip", family, "-j", "route", "show", "table", fmt.Sprint(table)).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "FIB table does not exist") {
			h.t.Fatalf("ip route: %v\n%s", err, out)
		}
		if err == nil {
			if err := json.Unmarshal(out, &list); err != nil {
				h.t.Fatalf("ip route: %v\n%s", err, out)
			}
		}
		for _, r := range list {
			var targets []string
			for _, n := range r.Nexthops {
				targets = append(targets, n.target())
			}
			slices.Sort(targets)
			switch {
			case r.Type != "":
				targets = []string{r.Type}
			case len(targets) == 0:
				targets = []string{r.target()}
			}
			text := strings.Join(targets, " + ")
			if r.Metric != int(h.cfg.Kernel.Metric) {
				text += fmt.Sprintf(" metric %d", r.Metric)
			}
			routes[r.Dst] = text
		}
	}
	return routes
}

// expect waits until table 1100 is want: pairs of prefix and where it goes.
func (h *host) expect(pairs ...string) {
	h.t.Helper()
	want := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		want[pairs[i]] = pairs[i+1]
	}
	var have map[string]string
	if !eventually(func() bool {
		have = h.routes(1100)
		return maps.Equal(have, want)
	}) {
		h.t.Fatalf("the routes are\n%v\nwant\n%v", have, want)
	}
}

// eventually asks until ok says yes, for 20 seconds.
func eventually(ok func() bool) bool {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return ok()
}

// until waits for a state of the Kernel.
func (h *host) until(what string, ok func(Info) bool) {
	h.t.Helper()
	if !eventually(func() bool { return ok(h.kernel.Info()) }) {
		h.t.Fatalf("%s: not so: %+v", what, h.kernel.Info())
	}
}

func (h *host) synced() {
	h.t.Helper()
	h.until("synced", func(i Info) bool { return i.Synced })
}

// hear counts from now on what happens to routes of table 1100 and to next hop
// objects, whoever causes it. The function that it returns ends that.
func (h *host) hear() func() (routes, objects int) {
	h.t.Helper()
	l, err := rtnl.Listen(nil, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP)
	if err != nil {
		h.t.Fatal(err)
	}
	var routes, objects int
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			e, err := l.Next()
			switch {
			case err != nil:
				return
			case e.Kind == rtnl.RouteEvent && e.Route.Metric == 9999: // the last one
				return
			case e.Kind == rtnl.RouteEvent && e.Route.Table == 1100:
				routes++
			case e.Kind == rtnl.NextHopEvent:
				objects++
			}
		}
	}()
	return func() (int, int) {
		netns.Run(h.t, "ip", "route", "add", "blackhole", "192.0.2.255", "metric", "9999")
		<-done
		l.Close()
		netns.Run(h.t, "ip", "route", "del", "blackhole", "192.0.2.255", "metric", "9999")
		return routes, objects
	}
}
