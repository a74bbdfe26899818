package page

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"mbbgp/test/lab"
)

const (
	bridgeConfig = `
router-id: 10.0.0.1
asn: 65001
domain: "65001:1"
metalbond:
  gateways: ["2001:db8:f::/64"]
  listen: "[::]:4711"
bgp:
  settle: 1s
  neighbors:
    - address: 10.0.0.2
      description: leaf <b>1</b>
      asn: 65000
      families: [evpn, ipv4]
      timers: {connect-retry: 1s}
vnis:
  - vni: 100
    name: public
    family: unicast
    originate: [{prefix: 0.0.0.0/0, hold-down: 0s}]
    gateway: 2001:db8:f::100
  - vni: 200
    name: tenant <i>a</i>
    import:
      targets: ["65000:200"]
      rules: [{name: no test networks, when: {prefixes: [{prefix: 198.18.0.0/15, le: 32}]}, then: refuse}]
    export: ["65000:200"]
    gateway: 2001:db8:f::200
`
	leafConfig = `
router-id: 10.0.0.2
asn: 65000
domain: "65000:1"
bgp:
  neighbors: [{address: 10.0.0.1, asn: 65001, families: [evpn, ipv4], timers: {connect-retry: 1s}}]
vnis:
  - {vni: 100, family: unicast, gateway: "2001:db8:2::100"}
  - {vni: 200, import: ["65000:200"], export: ["65000:200"], gateway: "2001:db8:2::200"}
api: {socket: /run/mbbgp.sock}
`
	server  = "[2001:db8::1]:4711"
	address = "http://127.0.0.1:4712/"
)

// announce makes the leaf say routes.
func announce(leaf *lab.Node, routes ...string) {
	leaf.Run(lab.Program("mbbgp"), append([]string{"announce", "--api", "/run/mbbgp.sock"}, routes...)...)
}

// fabric is a bridge between a leaf and two hypervisors.
type fabric struct {
	node, leaf  *lab.Node
	bridge, far *lab.MetalBond // the bridge; what runs on the leaf
	a, b        *lab.Hypervisor
}

func newFabric(t *testing.T) *fabric {
	t.Helper()
	lab.Need(t, "lab", "chromium")
	l := lab.New(t)
	f := &fabric{node: l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64"), leaf: l.Node("leaf", "10.0.0.2/24", "2001:db8::2/64")}
	f.far, f.bridge = f.leaf.Bridge(leafConfig), f.node.Bridge(bridgeConfig)
	f.a, f.b = l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("b", "2001:db8::b/64").Hypervisor()
	for _, h := range []*lab.Hypervisor{f.a, f.b} {
		h.Do("subscribe 100")
		h.Do("subscribe 200")
		h.Connect(server)
	}
	return f
}

func TestPageFollowsTheBridge(t *testing.T) {
	t.Parallel()
	f := newFabric(t)
	b := open(t, f.node, address)
	b.wide(1280)
	b.shows("#connection", "live, as of")
	b.shows("#sessions", "established", "[2001:db8::a]:", "[2001:db8::b]:")
	b.shows("#neighbors", "established", "10.0.0.2", "leaf <b>1</b>", "65000", "evpn, ipv4")
	b.shows("#vnis", "tenant <i>a</i>", "evpn/vxlan", "0.0.0.0/0 missing")
	b.shows("#problems", "VNI 100 has no default route 0.0.0.0/0")
	b.shows("#kernel-state", "does not forward")
	value[int](b, "window.loaded = 1") // gone if the page is loaded again

	t.Log("what comes is shown without loading the page again")
	announce(f.leaf, "100#0.0.0.0/0#2001:db8:2::1", "200#192.168.5.0/24#2001:db8:2::1", "200#198.18.5.0/24#2001:db8:2::1")
	f.a.Do("announce 200#10.1.0.7/32#2001:db8::a")
	b.shows("#found", "10.1.0.7/32", "192.168.5.0/24", "2001:db8:f::200", "client [2001:db8::a]:", "bgp ")
	b.shows("#vnis", "0.0.0.0/0 there", "import: 1 policy")
	b.shows("#verdict-title", "Ready, nothing amiss")
	b.shows("#rules", "no test networks")
	b.shoot("ready")

	t.Log("search and explain")
	b.do(chromedp.Click(chromedp.CSS(`#vnis a[href*="vni=200"]`)), chromedp.SendKeys(chromedp.CSS("#q"), "192.168.5.9"))
	b.hides("#found", "10.1.0.7/32")
	b.shows("#found", "192.168.5.0/24")
	if url := value[string](b, "location.search"); url != "?q=192.168.5.9&vni=200" {
		t.Errorf("the address of the page says %q", url)
	}
	b.do(chromedp.Focus(chromedp.CSS("#found button")))
	announce(f.leaf, "200#192.168.5.8/29#2001:db8:2::1")
	b.shows("#found", "192.168.5.8/29")
	if name := value[string](b, "document.activeElement.ariaLabel"); name != "Explain 192.168.5.0/24 of VNI 200" {
		t.Errorf("another route has come, and the focus went to %q", name)
	}
	b.do(chromedp.KeyEvent(kb.Enter))
	b.shows("#why", "VNI 200, 192.168.5.0/24", "refused: from-bgp", "ip-prefix", "from", "10.0.0.2", "65000:200", "accepted, via")
	b.shoot("explain")
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until(`!document.querySelector("#why").open && document.activeElement.ariaLabel === "Explain 192.168.5.0/24 of VNI 200"`)

	t.Log("sessions that go down, and come back")
	f.b.Kill()
	b.hides("#sessions", "[2001:db8::b]:")
	b.shows("#log", "MetalBond client [2001:db8::b]:", "gone, was established")
	f.far.Kill()
	b.shows("#problems", "BGP neighbor 10.0.0.2 (leaf <b>1</b>) is down", "VNI 100 has no default route 0.0.0.0/0")
	b.shows("#log", "BGP neighbor 10.0.0.2:", "was established")
	b.shows("#found-note", "No route of this kind.")
	if title := value[string](b, "document.title"); !strings.HasPrefix(title, "Ready, with 2 problems") {
		t.Errorf("the title is %q", title)
	}
	b.shoot("down")
	f.far = f.leaf.Bridge(leafConfig)
	announce(f.leaf, "100#0.0.0.0/0#2001:db8:2::1")
	b.shows("#verdict-title", "Ready, nothing amiss")
	if value[int](b, "window.loaded ?? 0") != 1 {
		t.Error("the page was loaded again")
	}
}

func TestPageFindsTheBridgeAgain(t *testing.T) {
	t.Parallel()
	f := newFabric(t)
	b := open(t, f.node, address, "net::ERR_") // what the browser says when nobody answers
	b.shows("#connection", "live, as of")
	b.shows("#found-note", "No route.")
	f.bridge.Kill()
	b.shows("#connection", "disconnected, trying again; as of", "ago")
	b.shows("#verdict-title", "The bridge does not answer")
	b.shows("#sessions", "[2001:db8::a]:") // as it was
	b.shoot("disconnected")
	f.bridge = f.node.Bridge(bridgeConfig)
	f.a.WaitState(server, "ESTABLISHED", patience)
	f.a.Do("announce 200#10.1.0.7/32#2001:db8::a")
	b.shows("#connection", "live, as of")
	b.shows("#log", "the bridge was started anew")
	b.hides("#verdict-title", "answer")
	b.shows("#found", "10.1.0.7/32")

	t.Log("a bridge that says nothing is not taken for one that has nothing to say")
	f.bridge.Freeze()
	b.shows("#connection", "disconnected, trying again")
	f.bridge.Thaw()
	b.shows("#connection", "live, as of")
	if within := value[float64](b, `Date.now() - Date.parse(new Date().toDateString() + " " + document.querySelector("#connection").innerText.match(/[0-9:]{8}/)[0])`); within > float64(patience/time.Millisecond) {
		t.Errorf("the page is of %v ms ago", within)
	}
}
