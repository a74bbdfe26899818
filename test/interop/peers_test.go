package interop

import (
	"testing"
	"time"

	"mbbgp/test/lab"
)

// The peers alone: what fails here is the lab's fault, not mbbgp's.

func TestStockMetalBondsTalkToEachOther(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	server := l.Node("server", "2001:db8::1/64")
	m := server.MetalBondServer()
	a := l.Node("a", "2001:db8::a/64").Hypervisor()
	b := l.Node("b", "2001:db8::b/64").Hypervisor()
	a.Do("subscribe 200")
	a.Connect("[2001:db8::1]:4711")
	b.Connect("[2001:db8::1]:4711")

	want := []string{
		"200#10.1.0.0/16#2001:db8::b",
		"200#10.2.0.1/32#2001:db8::b#NAT#1024#2047",
		"200#2001:db8:2::/48#2001:db8::b#LB",
	}
	for _, r := range want {
		b.Do("announce %s", r)
	}
	a.WaitRoutes(5*time.Second, want...)
	m.WaitRoutes(5*time.Second, want...)
	b.Do("withdraw %s", want[0])
	a.WaitRoutes(5*time.Second, want[1:]...)
	b.Kill()
	a.WaitRoutes(5 * time.Second)
}

func TestFRRsExchangeType5Routes(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	a := l.Node("a", "10.0.0.1/24").FRR(lab.FRROptions{
		ASN: 65001, RouterID: "10.0.0.1", VNI: 5000, Target: "65000:5000", MAC: "02:00:00:00:00:01",
		Neighbors: []lab.FRRNeighbor{{Address: "10.0.0.2", ASN: 65002}},
		Connected: []string{"192.168.1.1/24", "fd00:1::1/64"},
	})
	b := l.Node("b", "10.0.0.2/24").FRR(lab.FRROptions{
		ASN: 65002, RouterID: "10.0.0.2", VNI: 5000, Target: "65000:5000", MAC: "02:00:00:00:00:02",
		Neighbors: []lab.FRRNeighbor{{Address: "10.0.0.1", ASN: 65001}},
		Connected: []string{"192.168.2.1/24", "fd00:2::1/64"},
	})
	a.WaitRoute(30*time.Second, "192.168.2.0/24")
	a.WaitRoute(30*time.Second, "fd00:2::/64")
	b.WaitRoute(30*time.Second, "192.168.1.0/24")
	routes, err := a.Type5()
	if err != nil {
		t.Fatal(err)
	}
	if len(routes) != 2 {
		t.Errorf("%d routes of b in the table of a, want 2: %+v", len(routes), routes)
	}
}

func TestSpeakerAndFRRExchangeType5Routes(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	s := l.Node("speaker", "10.0.0.1/24").Speaker(65001, "10.0.0.1", "10.0.0.2=65002")
	f := l.Node("frr", "10.0.0.2/24").FRR(lab.FRROptions{
		ASN: 65002, RouterID: "10.0.0.2", VNI: 5000, Target: "65000:5000", MAC: "02:00:00:00:00:02",
		Neighbors: []lab.FRRNeighbor{{Address: "10.0.0.1", ASN: 65001}},
		Connected: []string{"192.168.2.1/24", "fd00:2::1/64"},
	})
	s.WaitEstablished("10.0.0.2", 20*time.Second)
	s.WaitPrefixes(20*time.Second, "192.168.2.0/24", "fd00:2::/64")
	s.Do("announce 10.0.0.1:1 10.7.0.0/16 5000 10.0.0.1 65000:5000 02:00:00:00:00:01")
	f.WaitRoute(20*time.Second, "10.7.0.0/16")
	s.Do("withdraw 10.0.0.1:1 10.7.0.0/16")
	f.WaitNoRoute(20*time.Second, "10.7.0.0/16")
}
