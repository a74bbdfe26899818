package kernel

import (
	"slices"
	"testing"

	"mbbgp/config"
	"mbbgp/plugin/kernel/internal/netns"
	"mbbgp/test/lab"
)

// A kernel that can forward packets has all features, and trying them leaves
// nothing behind.
func TestFeaturesAreTriedElsewhere(t *testing.T) {
	lab.Need(t, "lab")
	netns.New(t)
	before := netns.Run(t, "sh", "-c", "ip link; ip -6 route show table all; ip nexthop; nft list tables")
	list := make([]feature, 0, len(featureTable))
	for f := range featureTable {
		list = append(list, f)
	}
	slices.Sort(list)
	got := tryFeatures(list)
	for _, f := range list {
		if s := got[f]; !s.tried || s.err != nil {
			t.Errorf("%s: tried %v: %v", featureTable[f].name, s.tried, s.err)
		}
	}
	if after := netns.Run(t, "sh", "-c", "ip link; ip -6 route show table all; ip nexthop; nft list tables"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// What this machine has is what Check finds.
func TestCheckReadsTheMachine(t *testing.T) {
	lab.Need(t, "lab")
	netns.New(t)
	cfg := goodConfig()
	cfg.VNIs = cfg.VNIs[:1]
	netns.Run(t, "sh", "-ec", `
		sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
			net.ipv4.nexthop_compat_mode=0 net.ipv4.fib_multipath_hash_policy=1 net.ipv6.fib_multipath_hash_policy=1 net.ipv6.route.max_size=2097152
		ip link add eth0.100 mtu 9000 type veth peer name far
		ip link set eth0.100 up
		ip link set far up
		ip addr add 2001:db8::1/64 dev eth0.100 nodad
		ip -6 route add default via 2001:db8::2
		ip link add overlay up mtu 1500 type ip6tnl external
		ip link add red up type vrf table 100
		ip addr add fd00:100::1/128 dev red nodad`)
	if got := remarks(Check(cfg)); len(got) > 0 {
		t.Fatalf("of a machine that lacks nothing: %+v", got)
	}
	netns.Run(t, "sh", "-ec", `
		sysctl -qw net.ipv4.conf.overlay.rp_filter=1
		ip link set eth0.100 mtu 1500
		ip addr add 2001:db8:f::100/128 dev eth0.100
		ip link del red`)
	cfg.VNIs[0].VRF, cfg.VNIs[0].Decapsulation = "", config.DecapDT6
	var whats []string
	for _, f := range remarks(Check(cfg)) {
		whats = append(whats, f.What)
	}
	want := []string{"net.ipv4.conf.overlay.rp_filter is 1", "2001:db8:f::100 is an address of eth0.100", "MTU 1500 of eth0.100"}
	if !slices.Equal(whats, want) {
		t.Errorf("found %q, want %q", whats, want)
	}
}
