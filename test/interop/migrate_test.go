package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// A machine moves from BGP to MetalBond. BGP says that it is behind a VTEP of
// the fabric, and its hypervisor says in MetalBond that it is behind a tunnel;
// it answers what comes in by either. It answers through the fabric, so what the
// gateway loses is lost on one way only:
//
//	customer -- leaf == fabric == gateway == underlay == host -- machine
//	                           == old VTEP ------------------ machine
//
// All of it is within what any kernel has: VXLAN, and segments without VRFs.
const (
	migrants        = 1000 // its addresses, 10.0.0.0 to 10.0.3.231, of which one is in use
	migrant         = "10.0.1.7"
	migrantTarget   = "2001:db8:0:a::7"
	gatewayTarget   = "2001:db8:f::200"
	migratePatience = time.Minute

	oldWay = "via inet6 fe80::ff:fe00:3 " // in the words of ip
	newWay = "segs 1 [ " + migrantTarget + " ]"
)

const migrateConfig = `
router-id: 10.0.0.1
asn: 65001
domain: "65001:1"
state-directory: /run/state
bgp:
  neighbors:
    - {address: 10.0.0.9, asn: 65000, families: [evpn], timers: {connect-retry: 1s}}
kernel: {tunnel: seg6, device: underlay}
vnis:
  - vni: 200
    import: ["target:65000:200"]
    export: ["target:65000:200"]
    gateway: ` + gatewayTarget + `
    table: 200
    decapsulation: off
    prefer: bgp
api: {socket: /run/api.sock}
`

// A thousand prefixes move from BGP to MetalBond, back, and again, under a ping
// and a TCP connection.
func TestVNIMovesFromBGPToMetalBondWithoutALostPacket(t *testing.T) {
	fabric, underlay, access := lab.New(t), lab.New(t), lab.New(t)
	fabric.MTU = 1600 // customers have 1500 bytes, as everybody
	gateway := fabric.Node("gateway", "10.0.0.1/24")
	gateway.Router()
	underlay.Attach(gateway, "underlay", "2001:db8::1/64")
	host := underlay.Node("host", "2001:db8::a/64")
	host.Router()
	gateway.Run("ip", "route", "add", "2001:db8:0:a::/64", "via", "2001:db8::a")
	leaf := vtepOf(fabric, "leaf", "10.0.0.2", 2)
	old := vtepOf(fabric, "old", "10.0.0.3", 3)

	customers := lab.New(t)
	customers.Attach(leaf, "customers", "192.168.2.1/24")
	customer := customers.Node("customer", "192.168.2.2/24")
	customer.Run("ip", "route", "add", "default", "via", "192.168.2.1")
	leaf.Run("ip", "route", "add", "10.0.0.0/22", "via", "10.0.0.1", "dev", "vx200", "onlink")

	machine := access.Node("machine", "169.254.7.2/24")
	access.Attach(old, "access", "169.254.7.1/24")
	access.Attach(host, "access", "169.254.7.3/24")
	machine.Run("sh", "-ec", "ip address add "+migrant+"/32 dev lo; ip route add default via 169.254.7.1")
	old.Run("sh", "-ec", "ip route add 10.0.0.0/22 via 169.254.7.2; ip route add 192.168.2.0/24 via 10.0.0.2 dev vx200 onlink")
	host.Run("ip", "-6", "route", "add", migrantTarget+"/128", "encap", "seg6local", "action", "End.DX4", "nh4", "169.254.7.2", "dev", "lan")

	speaker := fabric.Node("speaker", "10.0.0.9/24").Speaker(65000, "10.0.0.9", "10.0.0.1=65001")
	speaker.Do("fill 65000:7 %d 200 10.0.0.3 65000:200 02:00:00:00:00:03", migrants)
	speaker.Do("announce 65000:8 192.168.2.0/24 200 10.0.0.2 65000:200 02:00:00:00:00:02")
	gateway.Run("mkdir", "/run/state")
	gateway.Bridge(migrateConfig)
	waitWays(t, gateway, oldWay)
	hypervisor := host.Hypervisor()
	hypervisor.Connect("[2001:db8::1]:4711")
	hypervisor.Do("fill 200 %d %s", migrants, migrantTarget)
	witness := underlay.Node("witness", "2001:db8::b/64").Client("--server", "[2001:db8::1]:4711", "--subscribe", "200")
	migrate := func(args ...string) (string, error) {
		args = append([]string{"migrate"}, append(args, "--vni", "200", "--api", "/run/api.sock")...)
		return gateway.Try(lab.Program("mbbgp"), args...)
	}

	monitor := gateway.Start("ip", "-4", "monitor", "route")
	ping := customer.Ping(10*time.Millisecond, migrant)
	talk := customer.Talk(machine, migrant)
	capture := underlay.Capture()
	lab.Eventually(t, migratePatience, "plan", func() error {
		out, err := migrate("plan", "-j")
		if want := fmt.Sprintf(`"changes": %d`, migrants); err == nil && !strings.Contains(out, want) {
			err = fmt.Errorf("want %s in the plan", want)
		}
		return err
	})
	waitWays(t, gateway, oldWay) // what MetalBond says stands by
	for i, step := range []struct {
		command, way, told string
		exported           int
	}{
		{"cutover", newWay, migrantTarget, migrants},
		{"rollback", oldWay, gatewayTarget, 0},
		{"cutover", newWay, migrantTarget, migrants},
	} {
		report := fmt.Sprintf("/run/%d.txt", i)
		before := ping.Answers()
		out, err := migrate(step.command, "--report", report)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s:\n%s", step.command, out)
		// The command has waited for the kernel: nobody else needs to.
		if err := waysOf(gateway, step.way); err != nil {
			t.Errorf("after %s: %v", step.command, err)
		}
		if out, err := migrate("verify"); err != nil {
			t.Errorf("after %s: %v\n%s", step.command, err, out)
		}
		if want := fmt.Sprintf("%d changes as planned", migrants); !strings.Contains(gateway.Run("cat", report), want) {
			t.Errorf("the report of %s has no %q", step.command, want)
		}
		lab.Eventually(t, migratePatience, "what hypervisors are told", func() error {
			return lastTold(witness.Log(), "+ vni 200  "+migrant+"/32  via "+step.told)
		})
		speaker.WaitCount(migratePatience, step.exported)
		ping.WaitAnswer(migratePatience)
		talk.Wait()
		capture.Forget()
		ping.WaitAnswer(migratePatience)
		talk.Wait()
		tunnelled := false
		for _, p := range capture.Packets() {
			tunnelled = tunnelled || p.InnerDst.String() == migrant && p.Dst.String() == migrantTarget
		}
		if want := step.way == newWay; tunnelled != want {
			t.Errorf("after %s: packets go in the tunnel to the hypervisor: %t, want %t", step.command, tunnelled, want)
		}
		t.Logf("after %s: %d packets were answered since it began", step.command, ping.Answers()-before)
	}
	exchanges, loss := talk.End(), ping.End(migratePatience)
	t.Logf("%v; %d exchanges over TCP", loss, exchanges)
	speaker.Kill() // while it has nothing to say: the end of the gateway is a thousand lines
	if loss.Lost > 0 {
		t.Errorf("the ping: %v", loss)
	}
	for line := range strings.Lines(monitor.Log()) {
		if strings.HasPrefix(line, "Deleted 10.0.") {
			t.Errorf("a route was removed and not replaced: %s", line)
			break
		}
	}
}

// vtepOf adds a tunnel endpoint to the fabric that knows all others by number.
func vtepOf(fabric *lab.Lab, name, address string, number int) *lab.Node {
	n := fabric.Node(name, address+"/24")
	n.Router()
	n.Run("ip", "link", "add", "vx200", "address", fmt.Sprintf("02:00:00:00:00:0%d", number), "up", "type", "vxlan",
		"id", "200", "local", address, "dev", "lan", "dstport", "4789", "nolearning")
	for peer, mac := range map[string]string{"10.0.0.1": "02:00:0a:00:00:01", "10.0.0.2": "02:00:00:00:00:02", "10.0.0.3": "02:00:00:00:00:03"} {
		if peer != address {
			n.Run("ip", "neigh", "add", peer, "lladdr", mac, "dev", "vx200", "nud", "permanent")
			n.Run("bridge", "fdb", "add", mac, "dst", peer, "dev", "vx200", "self", "permanent")
		}
	}
	return n
}

// waysOf returns an error unless all routes to the machine that moves have a text
// in them, in the words of ip.
func waysOf(gateway *lab.Node, text string) error {
	out, err := gateway.Try("ip", "-4", "route", "show", "table", "200")
	if err != nil {
		return err
	}
	all, so := 0, 0
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "10.0.") {
			all++
			if strings.Contains(line, text) {
				so++
			}
		}
	}
	if all != migrants || so != migrants {
		return fmt.Errorf("%d routes, %d of them %q, want %d", all, so, text, migrants)
	}
	return nil
}

func waitWays(t *testing.T, gateway *lab.Node, text string) {
	t.Helper()
	lab.Eventually(t, migratePatience, "table 200", func() error { return waysOf(gateway, text) })
}

// lastTold returns an error unless the last line of a client's output about the
// machine that moves is that one.
func lastTold(out, want string) error {
	last := ""
	for line := range strings.Lines(out) {
		if strings.Contains(line, " "+migrant+"/32 ") {
			last = strings.TrimSpace(line)
		}
	}
	if last != want {
		return fmt.Errorf("the last line is %q, want %q", last, want)
	}
	return nil
}
