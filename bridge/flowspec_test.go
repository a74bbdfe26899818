package bridge

import (
	"testing"

	"mbbgp/config"
	"mbbgp/rib"
)

func TestPortRangeIsSteeredToItsOwner(t *testing.T) {
	cfg := testConfig(t)
	cfg.VNIs[1].Export.FlowSpec = config.FlowSpecRedirectIP
	exporting(t, cfg, func(t *testing.T, b *Bridge, c *Channel, heard func(...string)) {
		nat := func(target string, from, to uint16) rib.NextHop {
			return rib.NextHop{Target: addr(target), Type: rib.NAT, NATFrom: from, NATTo: to}
		}
		say := func(n rib.NextHop) {
			t.Helper()
			if err := c.Announce(300, prefix("10.0.0.1/32"), n); err != nil {
				t.Fatal(err)
			}
		}
		const one, two = "2001:db8:1::1", "2001:db8:1::2"
		flow := func(sign, protocol, ports string) string {
			return sign + "[destination: 10.0.0.1/32][protocol: " + protocol + "][destination-port: " + ports + "]"
		}
		say(nat(two, 1024, 2048))
		heard(flow("+", "6", "1024-2047")+" "+two, flow("+", "17", "1024-2047")+" "+two)
		say(nat(one, 2048, 2049))
		heard(flow("+", "6", "2048-2048")+" "+one, flow("+", "17", "2048-2048")+" "+one)
		say(nat(one, 1024, 2048)) // a second owner of a range: the lower address counts
		heard(flow("+", "6", "1024-2047")+" "+one, flow("+", "17", "1024-2047")+" "+one)
		say(nat(one, 0, 0)) // no range was told
		say(nat(one, 7, 7))
		heard()
		c.Withdraw(300, prefix("10.0.0.1/32"), nat(one, 1024, 2048))
		heard(flow("+", "6", "1024-2047")+" "+two, flow("+", "17", "1024-2047")+" "+two)
		if err := c.Announce(300, prefix("10.0.0.1/32"), hop(one)); err != nil {
			t.Fatal(err)
		}
		heard("+192.0.2.1:300 10.0.0.1/32 " + one)
		if s := b.BGP().Stats().VNIs[1].Exported; s.Routes != 5 || s.Prefixes.Used != 1 || s.Refused[HopType] != 2 {
			t.Errorf("%+v", s)
		}
		c.Close()
		heard("-192.0.2.1:300 10.0.0.1/32", flow("-", "6", "1024-2047"), flow("-", "17", "1024-2047"),
			flow("-", "6", "2048-2048"), flow("-", "17", "2048-2048"))
	})
}
