package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// changed are what the reloads of a file add to it and take away again: VNIs, a
// neighbour that never comes, and settings of clients.
var changed = []string{
	"",
	"  - vni: 300\n    import: [\"target:65000:300\"]\n    export: [\"target:65000:300\"]\n    gateway: 2001:db8:f::300\n",
	"  - vni: 300\n    import: [\"target:65000:301\"]\n    export: [\"target:65000:300\"]\n    gateway: 2001:db8:f::300\n" +
		"  - vni: 400\n    import: [\"target:65000:400\"]\n    export: [\"target:65000:400\"]\n    gateway: 2001:db8:f::400\n",
}

func TestReloadUnderLoadLosesNoSessionAndNoRoute(t *testing.T) {
	l := lab.New(t)
	const server = "[2001:db8::1]:4711"
	fabric := l.Node("fabric", "10.0.0.9/24").Speaker(65000, "10.0.0.9", "10.0.0.1=65001")
	node := l.Node("bridge", "10.0.0.1/24", "2001:db8::1/64")
	file := bridgeConfig("10.0.0.1", 65001, "10.0.0.9", 65000, listenHere, gateway)
	bridge := node.Bridge(file)
	var h [2]*lab.Hypervisor
	for i := range h {
		h[i] = l.Node(fmt.Sprintf("h%d", i+1), fmt.Sprintf("2001:db8::a%d/64", i+1)).Hypervisor("-quiet")
		h[i].Do("subscribe 200")
		h[i].Connect(server)
	}
	fabric.WaitEstablished("10.0.0.1", 60*time.Second)

	const rounds, width = 12, 200
	for round := range rounds {
		variant := file + changed[round%len(changed)]
		if round%2 == 1 {
			variant = strings.Replace(variant, "  neighbors:\n", "  neighbors:\n    - {address: 10.0.0.77, asn: 65077}\n", 1)
			variant = strings.Replace(variant, listenHere, listenHere+"\n  clients: [{source: \"2001:db8::/64\", pace: 50MB/s}]", 1)
		}
		node.WriteFile("/run/mbbgp.yaml", variant)
		for i := range width {
			h[0].Do("announce 200#10.1.%d.%d/32#2001:db8::a1", round, i)
			fabric.Do("announce 10.0.0.9:7 10.9.%d.%d/32 200 10.0.0.9 65000:200 02:00:00:00:00:09", round, i)
		}
		node.Run(lab.Program("mbbgp"), "reload")
		for i := range width / 2 {
			h[0].Do("withdraw 200#10.1.%d.%d/32#2001:db8::a1", round, i)
			fabric.Do("withdraw 10.0.0.9:7 10.9.%d.%d/32", round, i)
		}
	}

	var native, redistributed, atFabric []string
	for round := range rounds {
		for i := width / 2; i < width; i++ {
			native = append(native, fmt.Sprintf("200#10.1.%d.%d/32#2001:db8::a1", round, i))
			redistributed = append(redistributed, fmt.Sprintf("200#10.9.%d.%d/32#2001:db8:f::200", round, i))
			atFabric = append(atFabric, fmt.Sprintf("10.1.%d.%d/32", round, i))
		}
	}
	h[0].WaitRoutes(60*time.Second, redistributed...)
	h[1].WaitRoutes(60*time.Second, append(native, redistributed...)...)
	fabric.WaitPrefixes(60*time.Second, atFabric...)

	for i, x := range h {
		if n := x.Sessions(server); n != 1 {
			t.Errorf("hypervisor %d had %d sessions", i+1, n)
		}
	}
	if n := bridge.Metric("mbbgp_bgp_neighbor_sessions_total", `neighbor="10.0.0.9"`); n != 1 {
		t.Errorf("the fabric had %v sessions", n)
	}
}
