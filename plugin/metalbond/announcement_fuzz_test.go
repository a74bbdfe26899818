package metalbond

import (
	"fmt"
	"testing"

	"mbbgp/rib"
	"mbbgp/wire"
)

// FuzzParseAnnouncement holds: what the command line takes can be told to a
// peer, which reads the same of it, and is taken again in both forms.
func FuzzParseAnnouncement(f *testing.F) {
	for _, s := range []string{
		"200#10.1.0.0/16#2001:db8::a", "200#10.1.0.0/16@2001:db8::a", "0#::/0#2001:db8::a#STD", "4294967295#0.0.0.0/0#fe80::1#lb",
		"1#10.0.0.1/32#2001:db8::a#NAT#1024#2047", "1#10.0.0.1/32@2001:db8::a#nat#0#65535",
		"1#10.0.0.1/32#2001:db8::a#nat#2#1", "1#10.0.0.1/8#2001:db8::a", "1#::ffff:10.0.0.0/120#::", "##", "1#@#",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		vni, prefix, hop, err := ParseAnnouncement(s)
		if err != nil {
			return
		}
		u, err := wire.ParseUpdate(Encode(nil, false, vni, prefix, hop)[wire.HeaderLen:])
		if err != nil || rib.VNI(u.VNI) != vni || u.Prefix != prefix || u.Target != hop.Target || u.NATFrom != hop.NATFrom || u.NATTo != hop.NATTo {
			t.Errorf("%q is %d %v %v, told as %+v (%v)", s, vni, prefix, hop, u, err)
		}
		kind := map[rib.NextHopType]string{rib.Standard: "std", rib.LoadBalancerTarget: "lb", rib.NAT: fmt.Sprintf("nat#%d#%d", hop.NATFrom, hop.NATTo)}[hop.Type]
		for _, sign := range []string{"#", "@"} {
			again := fmt.Sprintf("%d#%v%s%v#%s", vni, prefix, sign, hop.Target, kind)
			if v, p, h, err := ParseAnnouncement(again); err != nil || v != vni || p != prefix || h != hop {
				t.Errorf("%q is taken as %d %v %v, %v", again, v, p, h, err)
			}
		}
	})
}
