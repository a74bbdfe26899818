package kernel

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// The topology of most tests:
//
//	customer -- leaf == fabric == gateway == underlay == host A -- VM A
//	                                                  == host B -- VM B
//
// The leaf is FRR with an EVPN L3 VNI. Every host has a VM with addresses of its
// own and ones that both have: for what has two next hops or moves, and for what
// has port ranges.
const (
	fabricAddress   = "10.0.0.1" // of the gateway
	vtepAddress     = "10.0.0.2" // of the leaf
	speakerAddress  = "10.0.0.9"
	underlayAddress = "2001:db8::1"
	gatewayTarget   = "2001:db8:f::200" // where hosts send what is for the fabric
	server          = "[" + underlayAddress + "]:4711"

	customer4, customer6 = "192.168.2.2", "fd00:2::2"
	customers4           = "192.168.2.0/24"
	customers6           = "fd00:2::/64"
	shared4, shared6     = "10.1.0.7", "fd00:1::7"
	nat4, nat6           = "10.1.0.50", "fd00:1::50"
)

// gatewayConfig is that of most tests, with what a test adds to the kernel
// section.
const gatewayConfig = `
router-id: ` + fabricAddress + `
asn: 65001
domain: "65001:1"
metalbond: {keepalive: 1s}
bgp:
  neighbors:
    - {address: ` + vtepAddress + `, asn: 65000, families: [evpn], timers: {connect-retry: 1s}}
    - {address: ` + speakerAddress + `, asn: 65000, families: [evpn], timers: {connect-retry: 1s}}
kernel: {make-device: true%s}
vnis:
  - vni: 200
    import: ["target:65000:200"]
    export: ["target:65000:200"]
    gateway: ` + gatewayTarget + `
    table: 200
    vrf: red
`

// host is a hypervisor with a VM.
type host struct {
	*lab.Node
	address          string // on the underlay
	target           string // where packets for the VM go
	vm               *lab.Node
	vm4, vm6         string
	session          *lab.Hypervisor // that a test steers; nil until connect
	routes4, routes6 string          // of the VM's addresses, as MetalBond has them
	shared           []string        // routes of the shared ones
}

// world is the topology.
type world struct {
	t                *testing.T
	fabric, underlay *lab.Lab
	gateway          *lab.Node
	daemon           *lab.MetalBond
	a, b             *host
}

// newWorld makes everything but the fabric side, and starts nothing.
func newWorld(t *testing.T) *world {
	w := &world{t: t, fabric: lab.New(t), underlay: lab.New(t)}
	w.fabric.MTU = 1600 // customers have 1500 bytes, as everybody
	w.gateway = w.fabric.Node("gateway", fabricAddress+"/24")
	w.gateway.Router()
	w.underlay.Attach(w.gateway, "underlay", underlayAddress+"/64")
	w.a, w.b = w.host("a"), w.host("b")
	return w
}

func (w *world) host(name string) *host {
	h := &host{
		address: "2001:db8::" + name,
		target:  "2001:db8:0:" + name + "::7",
		vm4:     fmt.Sprintf("10.1.0.%d", name[0]), vm6: "fd00:1::" + name,
	}
	h.Node = w.underlay.Node("host-"+name, h.address+"/64")
	h.Overlay(h.target + "/128")
	h.vm = h.VM("vm-"+name, h.vm4, h.vm6, shared4, shared6, nat4, nat6)
	h.Run("ip", "route", "add", "2001:db8:f::/64", "via", underlayAddress)
	w.gateway.Run("ip", "route", "add", h.target[:len(h.target)-1]+"/64", "via", h.address)
	h.routes4, h.routes6 = "200#"+h.vm4+"/32#"+h.target, "200#"+h.vm6+"/128#"+h.target
	h.shared = []string{"200#" + shared4 + "/32#" + h.target, "200#" + shared6 + "/128#" + h.target}
	return h
}

// start starts the gateway.
func (w *world) start(kernel string) {
	w.t.Helper()
	w.daemon = w.gateway.Bridge(fmt.Sprintf(gatewayConfig, kernel))
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("the gateway's kernel:\n%s", w.gateway.Run("sh", "-c", stateCommands))
		}
	})
}

// connect starts a session of the host that the test steers, with the routes
// that it announces, and waits until it knows the customers' networks.
func (h *host) connect(t *testing.T, routes ...string) {
	t.Helper()
	h.session = h.Hypervisor("-keepalive", "1")
	h.session.Do("subscribe 200")
	h.session.Connect(server)
	h.announce(routes...)
	lab.Eventually(t, slow, "routes of "+h.Name, func() error {
		for _, prefix := range []string{customers4, customers6} {
			if err := h.session.Holds("200#" + prefix + "#" + gatewayTarget); err != nil {
				return err
			}
		}
		return nil
	})
}

func (h *host) announce(routes ...string) {
	for _, r := range routes {
		h.session.Do("announce %s", r)
	}
}

func (h *host) withdraw(routes ...string) {
	for _, r := range routes {
		h.session.Do("withdraw %s", r)
	}
}

// leaf adds FRR and a customer to the fabric.
func (w *world) leaf() (leaf *lab.FRR, customer *lab.Node) {
	near := []string{"192.168.2.1/24", "fd00:2::1/64"}
	leaf = w.fabric.Node("leaf", vtepAddress+"/24").FRR(lab.FRROptions{
		ASN: 65000, RouterID: vtepAddress, VNI: 200, Target: "65000:200",
		MAC: "02:00:00:00:00:02", Connected: near,
		Neighbors: []lab.FRRNeighbor{{Address: fabricAddress, ASN: 65001}},
	})
	return leaf, leaf.Host("customer", near, []string{customer4 + "/24", customer6 + "/64"})
}

// gatewayMAC is the gateway's Router's MAC: it has its router id in it.
const gatewayMAC = "02:00:0a:00:00:01"

// plainLeaf adds a leaf without BGP, whose kernel is set up by hand, and a
// customer. What it knows of the gateway it never forgets, as a leaf that helps
// with a graceful restart; FRR 8 does that for other families than EVPN only. A
// speaker does the talking.
func (w *world) plainLeaf(name, vtep, mac string) (customer *lab.Node) {
	leaf := w.fabric.Node(name, vtep+"/24")
	leaf.VRF()
	customer = leaf.Customer("of-"+name, []string{"192.168.2.1/24", "fd00:2::1/64"}, []string{customer4 + "/24", customer6 + "/64"})
	leaf.Run("sh", "-ec", fmt.Sprintf(`
		ip link add vx200 address %[2]s type vxlan id 200 local %[1]s dev lan dstport 4789 nolearning
		ip link set vx200 addrgenmode none master red up
		ip neigh add %[3]s lladdr %[4]s dev vx200 nud permanent
		ip neigh add ::ffff:%[3]s lladdr %[4]s dev vx200 nud permanent
		bridge fdb add %[4]s dst %[3]s dev vx200 self permanent
		ip route add 10.1.0.0/16 vrf red via %[3]s dev vx200 onlink
		ip route add fd00:1::/64 vrf red via ::ffff:%[3]s dev vx200 onlink`, vtep, mac, fabricAddress, gatewayMAC))
	return customer
}

// speaker adds a BGP speaker to the fabric, which announces for plain leaves.
// What it says before the gateway is there waits.
func (w *world) speaker() *lab.Speaker {
	return w.fabric.Node("speaker", speakerAddress+"/24").Speaker(65000, speakerAddress, fabricAddress+"=65001")
}

// announce says that the customers' networks are behind a leaf, or another one
// than before.
func announce(s *lab.Speaker, vtep, mac string) {
	for i, prefix := range []string{customers4, customers6} {
		s.Do("announce 65000:%d %s 200 %s 65000:200 %s", i, prefix, vtep, mac)
	}
}

// reach waits until an address answers.
func reach(t *testing.T, from *lab.Node, addresses ...string) {
	t.Helper()
	for _, a := range addresses {
		lab.Eventually(t, slow, from.Name+" to "+a, func() error {
			_, err := from.Try("ping", "-n", "-c", "1", "-W", "1", a)
			return err
		})
	}
}

// waitTable waits until a table of the gateway has a route with a text in it,
// in the words of ip.
func (w *world) waitTable(within time.Duration, family, prefix, text string) {
	w.t.Helper()
	lab.Eventually(w.t, within, "table 200", func() error {
		out, err := w.gateway.Try("ip", family, "route", "show", "table", "200", "exact", prefix)
		if err == nil && (out == "" || !strings.Contains(out, text)) {
			err = fmt.Errorf("%s is %q, want %q in it", prefix, out, text)
		}
		return err
	})
}
