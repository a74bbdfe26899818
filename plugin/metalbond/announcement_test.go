package metalbond

import (
	"net/netip"
	"testing"

	"mbbgp/rib"
)

func TestBothAnnouncementSyntaxesMeanTheSame(t *testing.T) {
	std := rib.NextHop{Target: netip.MustParseAddr("2001:db8::1")}
	lb, nat := std, std
	lb.Type = rib.LoadBalancerTarget
	nat.Type, nat.NATFrom, nat.NATTo = rib.NAT, 1024, 2047
	for _, row := range []struct {
		text string
		vni  rib.VNI
		p    string
		hop  rib.NextHop
	}{
		{"23#10.0.23.0/24#2001:db8::1", 23, "10.0.23.0/24", std},
		{"23#10.0.23.0/24#2001:db8::1#STD", 23, "10.0.23.0/24", std},
		{"23#10.0.23.0/24#2001:db8::1#LB", 23, "10.0.23.0/24", lb},
		{"23#192.0.2.7/32#2001:db8::1#NAT#1024#2047", 23, "192.0.2.7/32", nat},
		{"23#10.0.23.0/24@2001:db8::1", 23, "10.0.23.0/24", std},
		{"23#10.0.23.0/24@2001:db8::1#std", 23, "10.0.23.0/24", std},
		{"23#2001:db8:23::/64@2001:db8::1#lb", 23, "2001:db8:23::/64", lb},
		{"4294967295#192.0.2.7/32@2001:db8::1#nat#1024#2047", 4294967295, "192.0.2.7/32", nat},
		{"0#0.0.0.0/0#2001:db8::1", 0, "0.0.0.0/0", std},
	} {
		vni, p, hop, err := ParseAnnouncement(row.text)
		if err != nil || vni != row.vni || p.String() != row.p || hop != row.hop {
			t.Errorf("%s: %d %v %+v, %v", row.text, vni, p, hop, err)
		}
	}
}

func TestAnnouncementErrorsSayWhatIsWrong(t *testing.T) {
	forms := "the form is " + announcementForms
	for text, want := range map[string]string{
		"":                                      forms,
		"23":                                    forms,
		"23#10.0.23.0/24":                       forms,
		"x#10.0.23.0/24#2001:db8::1":            `vni: "x" is not a number from 0 to 4294967295`,
		"4294967296#10.0.23.0/24#2001:db8::1":   `vni: "4294967296" is not a number from 0 to 4294967295`,
		"23#10.0.23.0#2001:db8::1":              `prefix: "10.0.23.0" is not an IPv4 or IPv6 prefix like 10.0.0.0/24`,
		"23#10.0.23.0/33#2001:db8::1":           `prefix: "10.0.23.0/33" is not an IPv4 or IPv6 prefix like 10.0.0.0/24`,
		"23#::ffff:10.0.0.0/120@2001:db8::1":    `prefix: "::ffff:10.0.0.0/120" is not an IPv4 or IPv6 prefix like 10.0.0.0/24`,
		"23#10.0.23.1/24#2001:db8::1":           `prefix: 10.0.23.1/24 has bits set behind its length, 10.0.23.0/24 is the prefix`,
		"23#10.0.23.0/24#192.0.2.1":             `next hop: "192.0.2.1" is not an IPv6 unicast address`,
		"23#10.0.23.0/24@ff02::1":               `next hop: "ff02::1" is not an IPv6 unicast address`,
		"23#10.0.23.0/24@":                      `next hop: "" is not an IPv6 unicast address`,
		"23#10.0.23.0/24#2001:db8::1#GW":        `type: "GW" is none of std, lb and nat`,
		"23#10.0.23.0/24#2001:db8::1#LB#1":      `type: LB has no ports, only nat has`,
		"23#10.0.23.0/24#2001:db8::1#NAT":       `type: nat needs two ports, nat#FROM#TO`,
		"23#10.0.23.0/24#2001:db8::1#NAT#1":     `type: nat needs two ports, nat#FROM#TO`,
		"23#10.0.0.0/8@2001:db8::1#nat#1#x":     `port: "x" is not a number from 0 to 65535`,
		"23#10.0.0.0/8@2001:db8::1#nat#1#65536": `port: "65536" is not a number from 0 to 65535`,
		"23#10.0.0.0/8@2001:db8::1#nat#9#8":     `ports: 9 to 8 is no range, the first must not be above the second`,
	} {
		_, _, _, err := ParseAnnouncement(text)
		if err == nil || err.Error() != `announcement "`+text+`": `+want {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
}
