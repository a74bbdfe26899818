package kernel

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/internal/netns"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/test/lab"
)

// validationLab is a gateway whose VNI 7 has a VRF. A hypervisor, which is not
// more than a tunnel, sends to the gateway's address; packets that pass go to
// the host, which is in the VRF, too.
func validationLab(t *testing.T, v config.VNI, decapsulation []string) (*steering, *steerLab) {
	lab.Need(t, "lab")
	netns.New(t)
	conn, err := rtnl.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	cfg := steerConfig(v)
	cfg.Kernel.Tunnel, cfg.Kernel.Device = config.TunnelIP6TNL, "overlay"
	l := &steerLab{t: t, cfg: cfg, conn: conn}
	l.hops = &heldHops{t: t, conn: conn, cfg: cfg.Kernel, none: true}
	netns.Run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	l.a, l.host = l.station("hv1", 2), l.station("host", 1)
	ip(t,
		"link add overlay up type ip6tnl mode any external",
		"link add red up type vrf table 1007",
		"link set host master red",
		"addr add 2001:db8:1::1/64 dev host nodad", // enslaving took it away
		"route add 10.1.0.0/24 table 1007 encap ip6 dst 2001:db8:2::2 dev overlay",
		"route add 2001:db8:71::/64 table 1007 encap ip6 dst 2001:db8:2::2 dev overlay",
		"route add default table 1007 via 10.0.1.2 dev host",
		"route add default table 1007 via 2001:db8:1::2 dev host",
		"route add 10.3.0.0/24 encap ip6 dst 2001:db8:2::2 dev overlay", // of another VNI
	)
	for id, target := range map[string]string{"7": "2001:db8:2::2", "8": "2001:db8:2::8"} {
		netns.Run(t, "ip", "-6", "nexthop", "add", "id", id, "encap", "ip6", "dst", target, "dev", "overlay")
	}
	ip(t,
		"nexthop add id 9 group 7/8",
		"route add 10.4.0.0/24 table 1007 nhid 9",
		"route add 2001:db8:74::/64 table 1007 nhid 9",
	)
	netns.Run(t, "sysctl", "-qw", "net.vrf.strict_mode=1")
	for _, command := range decapsulation {
		netns.Run(t, "ip", strings.Fields(command)...)
	}
	commands := []string{"route add " + testGateway.String() + " via 2001:db8:2::1"}
	for _, addr := range []string{"10.1.0.1/32", "10.2.0.1/32", "10.3.0.1/32", "10.4.0.1/32", "2001:db8:71::1/128", "2001:db8:72::1/128", "2001:db8:74::1/128"} {
		commands = append(commands, "addr add "+addr+" dev lo")
	}
	for _, to := range []string{"10.0.1.0/24", "2001:db8:1::/64"} {
		commands = append(commands, "route add "+to+" encap seg6 mode encap.red segs "+testGateway.String()+" dev u0")
	}
	l.a.ip(commands...)
	return l.steering(), l
}

// TestSourcesWithoutARouteOfTheVNIAreDropped sends from sources that the VNI's
// table leads to through the overlay, from some that it leads to elsewhere, and
// from one that another table leads to.
func TestSourcesWithoutARouteOfTheVNIAreDropped(t *testing.T) {
	gateway := testGateway.String()
	for _, row := range []struct {
		name  string
		vni   config.VNI
		decap []string
	}{
		{"ip6tnl without a VRF", config.VNI{Decapsulation: config.DecapIP6TNL, DecapDevice: "mb7"}, []string{
			"-6 addr add " + gateway + "/128 dev lo nodad",
			"link add mb7 up type ip6tnl mode any local " + gateway + " remote ::",
			"rule add priority 774 iif mb7 lookup 1007",
			"-6 rule add priority 774 iif mb7 lookup 1007",
		}},
		{"ip6tnl", config.VNI{VRF: "red", Decapsulation: config.DecapIP6TNL, DecapDevice: "mb7"}, []string{
			"-6 addr add " + gateway + "/128 dev lo nodad",
			"link add mb7 type ip6tnl mode any local " + gateway + " remote ::",
			"link set mb7 master red up",
		}},
		{"dt46", config.VNI{VRF: "red", Decapsulation: config.DecapDT46}, []string{
			"-6 route add " + gateway + "/128 encap seg6local action End.DT46 vrftable 1007 dev red",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := row.vni
			v.VNI, v.Table, v.Gateway, v.SourceValidation = 7, 1007, testGateway, true
			s, l := validationLab(t, v, row.decap)
			send := func(source, to string) {
				l.a.within(func() error { return datagram(netip.MustParseAddr(source), netip.MustParseAddr(to)) })
			}
			count := func() uint64 {
				link, err := s.owners.tree.handle.LinkByName("host")
				if err != nil {
					t.Fatal(err)
				}
				return link.Attrs().Statistics.TxPackets
			}
			for _, pair := range [][2]string{{"10.2.0.1", "10.0.1.2"}, {"2001:db8:72::1", "2001:db8:1::2"}} {
				before := count()
				waitFor(t, "packets of any source pass as long as nothing is validated", func() bool {
					send(pair[0], pair[1])
					return count() > before+3
				})
			}
			apply(t, s)
			for _, row := range []struct {
				source, to string
				passes     bool
			}{
				{"10.1.0.1", "10.0.1.2", true},
				{"10.2.0.1", "10.0.1.2", false},
				{"10.3.0.1", "10.0.1.2", false},
				{"10.4.0.1", "10.0.1.2", true},
				{"2001:db8:71::1", "2001:db8:1::2", true},
				{"2001:db8:72::1", "2001:db8:1::2", false},
				{"2001:db8:74::1", "2001:db8:1::2", true},
			} {
				dropped := s.dropped()[7]
				before := count()
				for range 10 {
					send(row.source, row.to)
				}
				if row.passes {
					waitFor(t, "10 packets from "+row.source, func() bool { return count() >= before+10 })
					if n := s.dropped()[7]; n != dropped {
						t.Errorf("from %s: %d packets were dropped", row.source, n-dropped)
					}
					continue
				}
				waitFor(t, "10 drops from "+row.source, func() bool { return s.dropped()[7] == dropped+10 })
			}
			dropped := s.dropped()[7]
			s.outdated = true
			apply(t, s)
			if n := s.dropped()[7]; n != dropped {
				t.Errorf("%d drops are counted after the table was written anew, want %d", n, dropped)
			}
			if err := s.remove(); err != nil {
				t.Error(err)
			}
		})
	}
}

// datagram sends one, in the network namespace of the calling thread.
func datagram(from, to netip.Addr) error {
	family := unix.AF_INET
	if to.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0))); err != nil {
		return err
	}
	return unix.Sendto(fd, []byte("?"), 0, sockaddr(netip.AddrPortFrom(to, 9)))
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
