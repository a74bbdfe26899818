package kernel

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// The underlay is one segment. SIDs lie in a /64 of the node that they belong
// to, as they would in the locators of a larger one.
const (
	bridgeAddress = "2001:db8::1"
	leafAddress   = "2001:db8::2"
	leafLocator   = "2001:db8:0:2::/64"
	hostAddress   = "2001:db8::a"
	hostLocator   = "2001:db8:0:a::/64"

	// target is what the hypervisor announces to MetalBond. It is a SID and no
	// address of the host: FRR sends with a segment routing header, and Linux
	// unpacks what has one at a SID only.
	target = "2001:db8:0:a::7"
)

const bridgeConfig = `
router-id: 10.0.0.1
asn: 65001
domain: "65001:1"
bgp:
  next-hops: [` + bridgeAddress + `]
  neighbors:
    - address: ` + leafAddress + `
      asn: 65000
      families: [vpnv4, vpnv6]
      timers: {connect-retry: 1s}
vnis:
  - vni: 200
    encapsulation: srv6
    srv6: {next-hop: %s}
    import: ["target:65000:200"]
    export: ["target:65000:200"]
`

// slow is how long anything may take in an emulated machine.
const slow = 90 * time.Second

func TestSRv6PacketsOfFRRAndHypervisorPassTheBridgeBy(t *testing.T) {
	l := lab.New(t)
	leaf := l.Node("leaf", leafAddress+"/64").SRv6(lab.SRv6Options{
		ASN: 65000, RouterID: "10.0.0.2", Address: leafAddress, Locator: leafLocator, Target: "65000:200",
		Neighbors: []lab.FRRNeighbor{{
			Address: bridgeAddress, ASN: 65001,
			// A hypervisor as next hop is not on the segment. From an eBGP neighbour
			// that need not be connected FRR takes it all the same; without this, or
			// ebgp-multihop, the route is valid and best in bgpd, and inactive in zebra.
			Options: []string{"disable-connected-check"},
		}},
	})
	customer := leaf.Customer("customer",
		[]string{"192.168.2.1/24", "fd00:2::1/64"}, []string{"192.168.2.2/24", "fd00:2::2/64"})
	host := l.Node("host", hostAddress+"/64")
	host.VRF()
	vm := host.Customer("vm",
		[]string{"10.1.0.1/24", "fd00:1::1/64"}, []string{"10.1.0.7/24", "fd00:1::7/64"})
	leaf.Run("ip", "route", "add", hostLocator, "via", hostAddress)
	host.Run("ip", "route", "add", leafLocator, "via", leafAddress)
	host.Run("ip", "route", "add", target, "encap", "seg6local", "action", "End.DT46", "vrftable", "1000", "dev", "red")
	bridge := l.Node("bridge", bridgeAddress+"/64")
	sid4, sid6 := leafSID(t, leaf, "End.DT4"), leafSID(t, leaf, "End.DT6")
	capture := l.Capture()

	for _, nextHop := range []string{"target", "self"} {
		t.Logf("with next-hop: %s", nextHop)
		daemon := bridge.Bridge(fmt.Sprintf(bridgeConfig, nextHop))
		hypervisor := host.Hypervisor()
		hypervisor.Do("subscribe 200")
		hypervisor.Connect("[" + bridgeAddress + "]:4711")
		v4, v6 := "200#10.1.0.7/32#"+target, "200#fd00:1::7/128#"+target
		hypervisor.Do("announce %s", v4)
		hypervisor.Do("announce %s", v6)

		t.Log("the hypervisor sends to the SIDs of the leaf")
		hypervisor.WaitRoutes(slow, "200#192.168.2.0/24#"+sid4, "200#fd00:2::/64#"+sid6)
		for _, r := range hypervisor.Routes() {
			f := strings.Split(r, "#")
			host.Run("ip", "route", "replace", f[1], "vrf", "red", "encap", "seg6", "mode", "encap.red", "segs", f[2], "dev", "lan")
		}

		t.Log("the leaf sends to the hypervisor")
		for _, prefix := range []string{"10.1.0.7", "fd00:1::7"} {
			if route := leaf.WaitRoute(slow, prefix); !strings.Contains(route, "segs 1 [ "+target+" ]") {
				t.Errorf("route %q, want the segment %s", route, target)
			}
		}

		t.Log("nothing of that touches the bridge")
		before := len(capture.Packets())
		customer.Run("ping", "-c", "3", "-i", "0.2", "10.1.0.7")
		customer.Run("ping", "-c", "3", "-i", "0.2", "fd00:1::7")
		vm.Run("ping", "-c", "3", "-i", "0.2", "192.168.2.2")
		vm.Run("ping", "-c", "3", "-i", "0.2", "fd00:2::2")
		checkWays(t, capture.Packets()[before:], map[string]int{
			// Three requests of one ping, three answers to another.
			leafAddress + " to " + target + ": 192.168.2.2 to 10.1.0.7": 6,
			leafAddress + " to " + target + ": fd00:2::2 to fd00:1::7":  6,
			hostAddress + " to " + sid4 + ": 10.1.0.7 to 192.168.2.2":   6,
			hostAddress + " to " + sid6 + ": fd00:1::7 to fd00:2::2":    6,
		})

		t.Log("what goes from the leaf goes from MetalBond")
		leaf.Run("ip", "address", "del", "192.168.2.1/24", "dev", "customer")
		hypervisor.WaitRoutes(slow, "200#fd00:2::/64#"+sid6)
		leaf.Run("ip", "address", "add", "192.168.2.1/24", "dev", "customer")

		t.Log("what goes from MetalBond goes from the leaf")
		hypervisor.Do("withdraw %s", v4)
		leaf.WaitNoRoute(slow, "10.1.0.7")
		leaf.WaitRoute(slow, "fd00:1::7")
		hypervisor.Kill()
		leaf.WaitNoRoute(slow, "fd00:1::7")
		daemon.Kill()
	}
}

// checkWays compares the packets inside packets with the expected ones: how
// many of them had these outer and inner addresses.
func checkWays(t *testing.T, packets []lab.Packet, want map[string]int) {
	t.Helper()
	bridge := netip.MustParseAddr(bridgeAddress)
	got := make(map[string]int)
	for _, p := range packets {
		if !p.InnerDst.IsValid() {
			continue // BGP, MetalBond, neighbour discovery
		}
		got[fmt.Sprintf("%s to %s: %s to %s", p.Src, p.Dst, p.InnerSrc, p.InnerDst)]++
		if slices.Contains(p.Addresses(), bridge) {
			t.Errorf("the bridge is in %+v", p)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("packets %v, want %v", got, want)
	}
}

// leafSID returns the SID whose behaviour FRR has given to the kernel.
func leafSID(t *testing.T, leaf *lab.FRR, behaviour string) (sid string) {
	t.Helper()
	lab.Eventually(t, slow, "SIDs of "+leaf.Name, func() error {
		out, err := leaf.Try("ip", "-6", "route", "show")
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			if strings.Contains(line, "action "+behaviour+" ") {
				sid, _, _ = strings.Cut(line, " ")
				return nil
			}
		}
		return fmt.Errorf("no %s in\n%s", behaviour, out)
	})
	return sid
}
