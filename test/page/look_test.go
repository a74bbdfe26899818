package page

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/sirupsen/logrus"

	"mbbgp/plugin/api"
	"mbbgp/rib"
	"mbbgp/test/lab"
)

// hostile is what somebody may call a thing whose name the page shows.
const hostile = `<img src=x onerror="document.title='owned'">"'&</td>`

// bad is a state with something of everything amiss, and hostile names wherever
// a name comes from outside.
func bad() api.State {
	table := rib.New(rib.Options{})
	fill := func(o rib.Origin, vni rib.VNI, prefix, target string, preference rib.Preference) {
		table.Add(o, rib.Route{VNI: vni, Prefix: netip.MustParsePrefix(prefix), NextHop: rib.NextHop{Target: netip.MustParseAddr(target)}, Preference: preference})
	}
	a := table.NewOrigin(rib.OriginInfo{Source: rib.Client, Name: "[2001:db8:1::a]:40000"})
	b := table.NewOrigin(rib.OriginInfo{Source: rib.Client, Name: hostile})
	fabric := table.NewOrigin(rib.OriginInfo{Source: rib.BGP, Name: "192.0.2.254"})
	fill(a, 200, "10.1.0.7/32", "2001:db8:1::a", rib.Native)
	fill(b, 200, "10.1.0.7/32", "2001:db8:1::b", rib.Native)
	fill(fabric, 200, "10.1.0.7/32", "2001:db8:f::200", rib.Redistributed)
	fill(fabric, 200, "192.168.5.0/24", "2001:db8:f::200", rib.Redistributed)
	fill(a, 200, "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/128", "2001:db8:1111:2222:3333:4444:5555:6666", rib.Native)
	fill(a, 300, "10.1.0.0/16", "2001:db8:1::a", rib.Native)
	return api.State{
		Version: "v1.2.3", Started: time.Now().Add(-26 * time.Hour), Table: table,
		VNIs: func() []api.VNI {
			return []api.VNI{
				{VNI: 100, Name: "public", Family: "unicast", Encapsulation: "none", Gateway: netip.MustParseAddr("2001:db8:f::100"), Table: 254, Imported: 2, Exported: 812},
				{VNI: 200, Name: hostile, Family: "evpn", Encapsulation: "vxlan", Gateway: netip.MustParseAddr("2001:db8:f::200"), Table: 200, Imported: 1210, Exported: 15},
			}
		},
		Sessions: func() []api.Session {
			return []api.Session{
				{Peer: "2001:db8:1::a", Name: "[2001:db8:1::a]:40000", State: "established", Established: true, Since: time.Now().Add(-90 * time.Minute), VNIs: []rib.VNI{100, 200}, Routes: 4},
				{Peer: "2001:db8:1::b", Name: "[2001:db8:1::b]:41001", State: "established", Established: true, Since: time.Now().Add(-3 * time.Second), VNIs: []rib.VNI{200}, Routes: 1, Behind: 12, Refused: map[string]uint64{"own-gateway": 3}},
				{Peer: "[2001:db8::5]:4711", Name: "[2001:db8::5]:4711", Server: true, State: "down", Since: time.Now().Add(-5 * time.Minute), Held: 17, LastError: "dial tcp [2001:db8::5]:4711: connect: connection refused"},
			}
		},
		Neighbors: func() []api.Neighbor {
			return []api.Neighbor{
				{Address: netip.MustParseAddr("192.0.2.254"), ASN: 65000, State: "established", Since: time.Now().Add(-2 * time.Hour), Routes: 1212, MaxRoutes: 5000, Description: hostile,
					Families: []api.NeighborFamily{{Family: "evpn", EndOfRIB: true}, {Family: "vpnv4"}}, Stale: []api.StaleFamily{{Family: "vpnv6", LongLived: true}}},
				{Address: netip.MustParseAddr("2001:db8:0:1::254"), ASN: 4200000000, State: "active", LastError: "hold timer expired " + hostile, Description: "uplink 2"},
			}
		},
		Counters: func() []api.Counter {
			vni := func(n string) api.Label { return api.Label{Name: "vni", Value: n} }
			zero := api.Label{Name: "prefix", Value: "0.0.0.0/0"}
			return []api.Counter{
				{Name: "originated", Labels: []api.Label{vni("100"), zero}},
				{Name: "originated_offers", Labels: []api.Label{vni("100"), zero}},
				{Name: "aggregate", Labels: []api.Label{vni("100"), {Name: "prefix", Value: "203.0.113.0/24"}}, Value: 1},
				{Name: "vni_import_refused_total", Labels: []api.Label{vni("200"), {Name: "reason", Value: "policy"}}, Value: 7},
				{Name: "vni_export_refused_total", Labels: []api.Label{vni("200"), {Name: "reason", Value: "from-bgp"}}, Value: 1211},
				{Name: "import_refused_total", Labels: []api.Label{{Name: "reason", Value: "no-target"}}, Value: 31},
			}
		},
		Ready: func() []api.Condition {
			return []api.Condition{{Name: "metalbond-listener", OK: true}, {Name: "kernel", Detail: "2 pending changes"}}
		},
		Policy: func() []api.PolicyRule {
			return []api.PolicyRule{{VNI: 200, Direction: "import", Name: hostile, When: "prefixes 198.18.0.0/15 le 32", Then: "refuse", Matched: 7, Refused: 7}}
		},
		Kernel:  kernel,
		Explain: func(vni rib.VNI, p netip.Prefix) (api.Explanation, error) { return explanation(vni, p), nil },
	}
}

func kernel() api.Kernel {
	return api.Kernel{
		NextHopObjects: true,
		Tables: []api.KernelTable{
			{VNI: 100, Table: 254, Routes: 12},
			{VNI: 200, Table: 200, VRF: "tenant-a", Routes: 3, Unclaimed: 1, Pending: 2, Conflicts: 1, LastError: "10.1.0.7/32: EINVAL " + hostile},
		},
		NextHops: []api.KernelNextHop{
			{Kind: "overlay", Target: netip.MustParseAddr("2001:db8:1::a"), ID: 471000000, Routes: 3, Reachable: true, Device: "eth0", Gateway: netip.MustParseAddr("fe80::1")},
			{Kind: "overlay", Target: netip.MustParseAddr("2001:db8:1::b"), ID: 471000001, Routes: 2},
			{Kind: "vtep", Target: netip.MustParseAddr("192.0.2.9"), VNI: 200, RouterMAC: "02:00:c0:00:02:09", Label: 200, ID: 471000002, Routes: 1, Reachable: true, Device: "eth1"},
		},
		Devices: []api.KernelDevice{
			{Name: "overlay", Kind: "ip6tnl", OK: true},
			{Name: "from mb100", Kind: "rule", VNI: 100, Ours: true, Problem: "file exists " + hostile},
		},
	}
}

func explanation(vni rib.VNI, p netip.Prefix) api.Explanation {
	return api.Explanation{
		VNI: vni, Prefix: p, Configured: true,
		NextHops: []api.ExplainedHop{
			{Target: netip.MustParseAddr("2001:db8:1::a"), Type: "standard", Visible: true, Claims: []api.Claim{{Source: "client", Name: hostile, Preference: 200}}, Export: api.Verdict{Accepted: true, NextHop: "192.0.2.1"}},
			{Target: netip.MustParseAddr("2001:db8:f::200"), Type: "standard", Claims: []api.Claim{{Source: "bgp", Name: "192.0.2.254", Preference: 100}}, Export: api.Verdict{Reason: "from-bgp", Detail: "learnt from BGP"}},
		},
		Paths: []api.ExplainedBGP{{
			Kind: "ip-prefix", NLRI: "192.0.2.254:200 10.1.0.7/32", Prefix: p, Neighbor: netip.MustParseAddr("192.0.2.254"), Best: true, NextHop: netip.MustParseAddr("192.0.2.9"), Label: 200,
			RouteTargets: []string{"65000:200"}, Import: []api.Verdict{{Reason: "policy", Detail: "rule " + hostile}},
		}},
		Kernel: &api.KernelRoute{Table: 200, Problem: "EINVAL", NextHops: kernel().NextHops[1:]},
	}
}

// serve serves a state here, and returns its URL.
func serve(t *testing.T, s api.State) string {
	t.Helper()
	lab.Need(t, "lab", "chromium")
	log := logrus.New()
	log.SetOutput(io.Discard)
	server := api.New("127.0.0.1:0", s, log)
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + server.Addr().String() + "/"
}

func TestTopSaysWhatIsAmiss(t *testing.T) {
	b := open(t, nil, serve(t, bad()))
	b.wide(1280)
	b.shows("#verdict-title", "Not ready")
	b.shows("#problems", "Waiting for kernel: 2 pending changes", "VNI 100 has no default route 0.0.0.0/0",
		"BGP neighbor 2001:db8:0:1::254 (uplink 2) is down: active: hold timer expired", "MetalBond server [2001:db8::5]:4711 is down",
		"The kernel is out of step with the tables: 2 prefixes", "17 routes of [2001:db8::5]:4711 held")
	b.shows("#figures", "2 of 3 up", "1 of 2 up", "out of step")
	below := value[float64](b, `document.querySelector("#problems").getBoundingClientRect().bottom`)
	if below > 800 {
		t.Errorf("the problems end %v pixels below the top, behind the first screen", below)
	}
	for _, s := range []string{"light", "dark"} {
		b.scheme(s)
		b.shoot("desktop-" + s)
	}
}

func TestNamesAreTextWhateverTheyAre(t *testing.T) {
	b := open(t, nil, serve(t, bad()))
	b.shows("#sessions", "established", "[2001:db8:1::b]:41001", "down")
	b.shows("#neighbors", hostile, "4200000000", "evpn, vpnv4 (no End-of-RIB yet)", "vpnv6 (long-lived)", "1,212 of 5,000")
	b.shows("#vnis", "200\n"+hostile, "import: 7 policy", "export: 1,211 from-bgp", "0.0.0.0/0 missing", "aggregate 203.0.113.0/24 exported", "MetalBond only")
	b.shows("#vnis-note", "31 no-target")
	b.shows("#found", hostile, "10.1.0.7/32", "stands by")
	b.shows("#rules", hostile, "198.18.0.0/15")
	b.shows("#tables", hostile)
	b.shows("#hops", "192.0.2.9 vni 200 label 200 mac 02:00:c0:00:02:09", "unreachable", "dev eth0 via fe80::1")
	b.shows("#devices", "file exists "+hostile)
	value[bool](b, `[...document.querySelectorAll("#found button")].find((e) => e.ariaLabel.startsWith("Explain 10.1.0.7/32")).click() ?? true`)
	b.shows("#why", "VNI 200, 10.1.0.7/32", "said by", hostile, "accepted, via 192.0.2.1", "refused: from-bgp: learnt from BGP", "refused: policy: rule "+hostile, "not installed: EINVAL")
	b.wide(1280)
	b.shoot("explain")
	b.wide(360)
	b.scheme("dark")
	b.shoot("explain-phone")
	if n := value[int](b, `document.querySelectorAll("img, td td").length`); n > 0 {
		t.Errorf("%d elements come out of names", n)
	}
	if title := value[string](b, "document.title"); !strings.HasPrefix(title, "Not ready") {
		t.Errorf("the title is %q", title)
	}
}

func TestPageFitsAnyWidthInBothSchemes(t *testing.T) {
	b := open(t, nil, serve(t, bad()))
	b.shows("#found", "10.1.0.7/32")
	b.shows("#devices", "overlay")
	colours := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		for _, width := range []int64{320, 360, 768, 1001, 1280, 1920} {
			b.wide(width)
			if over := value[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
				t.Errorf("%d pixels wide, %s: %d pixels more than fit", width, scheme, over)
			}
			b.shoot(fmt.Sprintf("%s-%d", scheme, width))
		}
		colours[scheme] = value[string](b, `getComputedStyle(document.body).backgroundColor + " " + getComputedStyle(document.body).color`)
		for _, line := range value[[]string](b, faint) {
			t.Errorf("%s: %s", scheme, line)
		}
	}
	if colours["light"] == colours["dark"] {
		t.Errorf("light and dark are both %s", colours["light"])
	}
}

func TestPageWorksWithoutMouseAndSight(t *testing.T) {
	b := open(t, nil, serve(t, bad()))
	b.wide(1280)
	b.shows("#found", "10.1.0.7/32")
	b.do(chromedp.KeyEvent(kb.Tab))
	b.until(`document.activeElement.className === "skip" && document.activeElement.getBoundingClientRect().left >= 0`)
	for _, want := range []string{"q", "vni"} {
		for range 20 {
			if value[string](b, "document.activeElement.id") == want {
				break
			}
			b.do(chromedp.KeyEvent(kb.Tab))
		}
		b.until(`document.activeElement.id === "` + want + `" && getComputedStyle(document.activeElement).outlineStyle === "solid"`)
	}
	for what, expression := range map[string]string{
		"inputs without label":             `[...document.querySelectorAll("input")].filter((e) => !e.labels.length)`,
		"tables without name":              `[...document.querySelectorAll("table")].filter((e) => !document.getElementById(e.getAttribute("aria-labelledby")))`,
		"tables that are none to a reader": `[...document.querySelectorAll("table")].filter((e) => e.role !== "table" || [...e.querySelectorAll("td")].some((d) => d.role !== "cell"))`,
		"buttons without name":             `[...document.querySelectorAll("button")].filter((e) => !(e.ariaLabel || e.textContent))`,
		"names that are given twice":       `[...document.querySelectorAll("[id]")].filter((e) => document.querySelectorAll("#" + e.id).length > 1)`,
		"states by colour only":            `[...document.querySelectorAll("[data-mark]")].filter((e) => e.checkVisibility() && e.id !== "verdict" && (!e.textContent.trim() || getComputedStyle(e, "::before").content === "none"))`,
	} {
		if list := value[[]string](b, "("+expression+").map((e) => e.outerHTML.slice(0, 100))"); len(list) > 0 {
			t.Errorf("%s: %q", what, list)
		}
	}
	if live := value[string](b, `document.querySelector("#verdict-title").ariaLive + " " + document.querySelector("#connection").role + " " + document.querySelector("#log").role`); live != "polite status log" {
		t.Errorf("what is read out when it changes: %s", live)
	}
}

// faint finds texts whose contrast is below 4.5 to 1 (WCAG 2.2, level AA).
const faint = `(() => {
	const rgb = (c) => c.match(/[\d.]+/g).map(Number);
	const luminance = (c) => rgb(c).slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = (e) => {
		for (; e; e = e.parentElement) {
			const c = getComputedStyle(e).backgroundColor;
			if ((rgb(c)[3] ?? 1) > 0) return c;
		}
		return "rgb(255, 255, 255)";
	};
	const all = new Set();
	for (const e of document.querySelectorAll("body *")) {
		if (!e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
		const [a, b] = [luminance(getComputedStyle(e).color), luminance(ground(e))];
		const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (contrast < 4.5) all.add(e.tagName + "." + e.className + " " + getComputedStyle(e).color + " on " + ground(e) + ": " + contrast.toFixed(2));
	}
	return [...all];
})()`
