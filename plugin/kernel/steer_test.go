package kernel

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sirupsen/logrus/hooks/test"
	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/internal/netns"
)

func apply(t testing.TB, s *steering) {
	t.Helper()
	if err := s.apply(); err != nil {
		t.Fatal(err)
	}
	if s.problem != "" {
		t.Fatal(s.problem)
	}
}

func TestKernelWithoutNftablesIsNoErrorToTryAgain(t *testing.T) {
	log, hook := test.NewNullLogger()
	s := &steering{log: log, outdated: true, nft: newNFT(254)}
	for range 2 {
		if err := s.failed(fmt.Errorf("nftables' generation: %w", unix.EOPNOTSUPP)); err != nil {
			t.Errorf("to be tried again: %v", err)
		}
	}
	if info := s.info(); len(hook.Entries) != 1 || len(info) != 1 || info[0].OK || info[0].Problem == "" {
		t.Errorf("%d lines were logged and the state is %+v, want one line and a problem", len(hook.Entries), info)
	}
	if err := s.failed(unix.ENOBUFS); err == nil {
		t.Error("other errors are to be tried again, too")
	}
}

// flow is a packet to a NAT address and the hypervisor that is to get it.
type flow struct {
	to    netip.Prefix
	proto int
	port  uint16
	want  string
}

func (l *steerLab) expect(flows ...flow) {
	l.t.Helper()
	for _, f := range flows {
		if got := l.send(f.to.Addr(), f.proto, f.port); got != f.want {
			l.t.Errorf("protocol %d to %v, port %d came to %s, want %s", f.proto, f.to.Addr(), f.port, got, f.want)
		}
	}
}

func TestFlowsGoToTheOwnersOfTheirPorts(t *testing.T) {
	for _, objects := range []bool{true, false} {
		t.Run(fmt.Sprintf("next hop objects %v", objects), func(t *testing.T) {
			l := newSteerLab(t)
			l.hops.none = !objects
			s := l.steering()
			s.set(100, nat4, []portRange{{1024, 2048, targetA4}, {2048, 4096, targetB4}, {65000, 0, targetB4}})
			s.set(100, nat6, []portRange{{1024, 2048, targetB6}})
			apply(t, s)
			l.expect(
				flow{nat4, unix.IPPROTO_UDP, 1024, "hv1"},
				flow{nat4, unix.IPPROTO_UDP, 2047, "hv1"},
				flow{nat4, unix.IPPROTO_UDP, 2048, "hv2"},
				flow{nat4, unix.IPPROTO_UDP, 4095, "hv2"},
				flow{nat4, unix.IPPROTO_TCP, 3000, "hv2"},
				flow{nat4, unix.IPPROTO_TCP, 65535, "hv2"},
				flow{nat6, unix.IPPROTO_UDP, 1500, "hv2"},
				flow{nat6, unix.IPPROTO_TCP, 1500, "hv2"},
				// What nobody owns goes where the route goes.
				flow{nat4, unix.IPPROTO_UDP, 1023, "hv1"},
				flow{nat4, unix.IPPROTO_TCP, 4096, "hv1"},
				flow{nat4, unix.IPPROTO_ICMP, 0, "hv1"},
				flow{nat6, unix.IPPROTO_UDP, 2048, "hv1"},
				flow{nat6, unix.IPPROTO_ICMPV6, 0, "hv1"},
			)
			s.set(100, nat4, []portRange{{1024, 1500, targetA4}, {1500, 4096, targetB4}})
			s.set(100, nat6, nil)
			apply(t, s)
			l.expect(
				flow{nat4, unix.IPPROTO_UDP, 1499, "hv1"},
				flow{nat4, unix.IPPROTO_UDP, 2047, "hv2"},
				flow{nat4, unix.IPPROTO_TCP, 1500, "hv2"},
				flow{nat4, unix.IPPROTO_TCP, 65535, "hv1"},
				flow{nat6, unix.IPPROTO_UDP, 1500, "hv1"},
			)
			if n := s.counts(100); n != 2 {
				t.Errorf("%d ranges are counted, want 2", n)
			}
			if n := l.hops.uses[hop{kind: overlayHop, target: targetB6}]; n != 0 {
				t.Errorf("who owns nothing any more is held %d times", n)
			}
		})
	}
}

// TestFlowsAreSteeredInTheirVNIOnly has an address in two VNIs, with different
// ranges. The host is in the one that is not the main table's.
func TestFlowsAreSteeredInTheirVNIOnly(t *testing.T) {
	l := newSteerLab(t)
	l.cfg.VNIs = append(l.cfg.VNIs, config.VNI{VNI: 7, Table: 1007, DecapDevice: "host"})
	s := l.steering()
	s.set(7, nat4, []portRange{{1024, 2048, targetB4}})
	s.set(7, nat6, []portRange{{1024, 2048, targetB6}})
	s.set(100, nat4, []portRange{{2048, 4096, targetB4}})
	s.set(100, nat6, []portRange{{2048, 4096, targetB6}})
	s.set(8, nat4, []portRange{{5000, 6000, targetB4}}) // a VNI without a table
	apply(t, s)
	l.expect(
		flow{nat4, unix.IPPROTO_UDP, 1024, "hv2"}, flow{nat4, unix.IPPROTO_UDP, 3000, "hv1"}, flow{nat4, unix.IPPROTO_UDP, 5000, "hv1"},
		flow{nat6, unix.IPPROTO_TCP, 1024, "hv2"}, flow{nat6, unix.IPPROTO_TCP, 3000, "hv1"},
	)
	if n := s.counts(7); n != 2 {
		t.Errorf("%d ranges of vni 7 are counted, want 2", n)
	}
	s.set(7, nat4, nil)
	s.set(7, nat6, nil)
	apply(t, s)
	l.expect(flow{nat4, unix.IPPROTO_UDP, 1024, "hv1"}, flow{nat6, unix.IPPROTO_TCP, 1024, "hv1"})
}

func TestConflictingRangesAreTheLowestTargets(t *testing.T) {
	l := newSteerLab(t)
	s := l.steering()
	s.set(100, nat4, []portRange{{1000, 2000, targetB4}, {1500, 2500, targetA4}})
	apply(t, s)
	l.expect(
		flow{nat4, unix.IPPROTO_UDP, 1499, "hv2"},
		flow{nat4, unix.IPPROTO_UDP, 1500, "hv1"},
		flow{nat4, unix.IPPROTO_UDP, 1999, "hv1"},
	)
	if n := s.conflicts(100); n != 1 {
		t.Errorf("%d conflicts, want 1", n)
	}
	s.set(100, nat4, []portRange{{1000, 2000, targetB4}})
	apply(t, s)
	if n := s.conflicts(100); n != 0 {
		t.Errorf("%d conflicts are left", n)
	}
}

// TestMeddlingWithSteeringIsPutRight lets somebody else break it in several
// ways.
func TestMeddlingWithSteeringIsPutRight(t *testing.T) {
	l := newSteerLab(t)
	s := l.steering()
	s.set(100, nat4, []portRange{{1024, 2048, targetB4}})
	s.set(100, nat6, []portRange{{1024, 2048, targetB6}})
	apply(t, s)
	if n, err := s.reconcile(); n != 0 || err != nil {
		t.Fatalf("untouched, yet restored %d, %v", n, err)
	}
	netns.Run(t, "nft", "add", "table", "inet", "foreign")
	if n, err := s.reconcile(); n != 0 || err != nil {
		t.Fatalf("somebody else's table was added, yet restored %d, %v", n, err)
	}
	table := fmt.Sprint(l.cfg.Kernel.SteeringTables.First + 1)
	for _, meddling := range []string{
		"nft flush ruleset",
		"nft flush table inet mbbgp_254",
		"nft flush chain inet mbbgp_254 vni100_198.51.100.1",
		"nft flush map inet mbbgp_254 main_nat4",
		"nft insert rule inet mbbgp_254 steer accept",
		"ip route del default table " + table,
		"ip -6 route flush table " + table,
		"ip rule del priority 500",
		"ip -6 rule del priority 518",
		"ip rule del lookup " + table,
		"ip rule add priority 501 fwmark 0/0xfff00000 table 4000 protocol 254",
	} {
		netns.Run(t, "sh", "-c", meddling+"; nft add table inet foreign")
		if n, err := s.reconcile(); n == 0 || err != nil {
			t.Errorf("%s: restored %d, %v", meddling, n, err)
		}
		if n, err := s.reconcile(); n != 0 || err != nil {
			t.Errorf("%s: restored %d once more, %v", meddling, n, err)
		}
		l.expect(flow{nat4, unix.IPPROTO_UDP, 1024, "hv2"}, flow{nat6, unix.IPPROTO_TCP, 2000, "hv2"}, flow{nat4, unix.IPPROTO_UDP, 5, "hv1"})
	}
	if list := netns.Run(t, "nft", "list", "tables"); !strings.Contains(list, "foreign") {
		t.Error("somebody else's table is gone")
	}
}

// TestSteeringIsAdopted restarts the program: what hypervisors said before
// counts until they had their time to say it again.
func TestSteeringIsAdopted(t *testing.T) {
	l := newSteerLab(t)
	s := l.steering()
	s.set(100, nat4, []portRange{{1000, 2000, targetA4}, {2000, 3000, targetB4}, {65000, 0, targetB4}})
	s.set(100, nat6, []portRange{{1000, 2000, targetB6}})
	apply(t, s)
	rules := netns.Run(t, "ip", "rule")

	s = l.steering()
	s.set(100, nat4, []portRange{{1000, 1500, targetB4}})
	apply(t, s)
	l.expect(
		flow{nat4, unix.IPPROTO_UDP, 1400, "hv2"}, // said by the present run
		flow{nat4, unix.IPPROTO_UDP, 1500, "hv1"},
		flow{nat4, unix.IPPROTO_UDP, 2500, "hv2"},
		flow{nat4, unix.IPPROTO_UDP, 65535, "hv2"},
		flow{nat6, unix.IPPROTO_UDP, 1500, "hv2"},
	)
	if now := netns.Run(t, "ip", "rule"); now != rules {
		t.Errorf("owners have other marks than before:\n%s\n%s", rules, now)
	}
	if n := s.sweep(); n != 2 {
		t.Errorf("%d addresses were swept, want 2", n)
	}
	apply(t, s)
	l.expect(
		flow{nat4, unix.IPPROTO_UDP, 1400, "hv2"},
		flow{nat4, unix.IPPROTO_UDP, 2500, "hv1"}, // as the route says
		flow{nat6, unix.IPPROTO_UDP, 1500, "hv1"},
	)
}

func TestRemovalOfSteeringLeavesNothing(t *testing.T) {
	l := newSteerLab(t)
	state := func() string {
		return netns.Run(t, "sh", "-c", "nft list ruleset; ip rule; ip -6 rule; ip route show table all proto 254; ip -6 route show table all proto 254")
	}
	before := state()
	fill := func(s *steering) {
		s.set(100, nat4, []portRange{{1000, 2000, targetA4}, {2000, 3000, targetB4}})
		s.set(100, nat6, []portRange{{1000, 2000, targetB6}})
		apply(t, s)
	}
	s := l.steering()
	fill(s)
	if state() == before {
		t.Fatal("nothing was steered")
	}
	if err := s.remove(); err != nil {
		t.Fatal(err)
	}
	if after := state(); after != before {
		t.Errorf("left:\n%s\nwant:\n%s", after, before)
	}
	fill(s)
	if err := l.steering().remove(); err != nil { // another run, which knows nothing
		t.Fatal(err)
	}
	if after := state(); after != before {
		t.Errorf("another run left:\n%s\nwant:\n%s", after, before)
	}
	if err := l.steering().remove(); err != nil {
		t.Errorf("nothing is there to remove, and that is an error: %v", err)
	}
}

// TestPortsThatMoveAreNeverNobodys moves a range to and fro under a stream of
// packets. The route leads to the first hypervisor, the range belongs to the
// second under two of its addresses; a packet that came to the first one was
// nobody's for a moment.
func TestPortsThatMoveAreNeverNobodys(t *testing.T) {
	l := newSteerLab(t)
	other := netip.MustParseAddr("fd00:b::44")
	l.b.ip("route add " + other.String() + " encap seg6local action End.DX4 nh4 0.0.0.0 dev u0")
	s := l.steering()
	claims := [][]portRange{
		{{1024, 4096, targetB4}},
		{{1024, 2048, targetB4}, {2048, 4096, other}},
		{{1024, 1500, other}, {1500, 3000, targetB4}, {3000, 4096, other}},
		{{1024, 4096, other}},
	}
	s.set(100, nat4, claims[0])
	apply(t, s)
	l.expect(flow{nat4, unix.IPPROTO_UDP, 1024, "hv2"}, flow{nat4, unix.IPPROTO_UDP, 5, "hv1"})

	stop, sent := make(chan struct{}), make(chan int)
	var fd int
	l.host.within(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		return err
	})
	defer unix.Close(fd)
	go func() {
		n := 0
		defer func() { sent <- n }()
		for ; ; n++ {
			select {
			case <-stop:
				return
			default:
				_ = unix.Sendto(fd, []byte("?"), 0, sockaddr(netip.AddrPortFrom(nat4.Addr(), uint16(1024+n*7%3072))))
			}
		}
	}()
	strays, heard := 0, 0
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for {
			select {
			case a := <-l.heard:
				heard++
				if a.station != "hv2" && a.port >= 1024 { // not a late one of those before
					strays++
				}
			case <-stop:
				return
			}
		}
	}()
	for i := range 40 {
		s.set(100, nat4, claims[(i+1)%len(claims)])
		apply(t, s)
	}
	close(stop)
	<-finished
	if n := <-sent; heard == 0 || strays > 0 {
		t.Errorf("of %d packets that were sent %d were heard, %d of them where they did not belong", n, heard, strays)
	}
}
