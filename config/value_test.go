package config

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// distinguishers are both texts and wire bytes of route distinguishers; route
// targets and Sites-of-Origin have the same six bytes behind their type.
var distinguishers = []struct {
	name string
	text string
	rd   RD
}{
	{"a 2-octet system", "65001:200", RD{0, 0, 0xfd, 0xe9, 0, 0, 0, 200}},
	{"a 2-octet system and a 32-bit number", "1:4294967295", RD{0, 0, 0, 1, 255, 255, 255, 255}},
	{"an IPv4 address", "192.0.2.1:200", RD{0, 1, 192, 0, 2, 1, 0, 200}},
	{"a 4-octet system", "4200000000:200", RD{0, 2, 0xfa, 0x56, 0xea, 0x00, 0, 200}},
	{"the first 4-octet system", "65536:65535", RD{0, 2, 0, 1, 0, 0, 255, 255}},
	{"a 4-octet system that fits into two", "65001L:200", RD{0, 2, 0, 0, 0xfd, 0xe9, 0, 200}},
}

func TestDistinguishersTargetsAndOriginsReadWhatTheyWrite(t *testing.T) {
	for _, row := range distinguishers {
		t.Run(row.name, func(t *testing.T) {
			if rd, err := ParseRD(row.text); err != nil || rd != row.rd || rd.String() != row.text {
				t.Errorf("ParseRD(%q) = %x (%v), %v, want %x", row.text, rd[:], rd, err, row.rd[:])
			}
			want := RouteTarget(row.rd)
			want[0], want[1] = row.rd[1], 2
			for _, s := range []string{row.text, "target:" + row.text} {
				if rt, err := ParseRouteTarget(s); err != nil || rt != want || rt.String() != "target:"+row.text {
					t.Errorf("ParseRouteTarget(%q) = %x (%v), %v, want %x", s, rt[:], rt, err, want[:])
				}
				if m, err := ParseTargetMatch(s); err != nil || m != (TargetMatch{Target: want}) || m.String() != "target:"+row.text {
					t.Errorf("ParseTargetMatch(%q) = %+v, %v", s, m, err)
				}
			}
			origin := ExtendedCommunity(want)
			origin[1] = 3
			for _, s := range []string{row.text, "target:" + row.text, "origin:" + row.text} {
				if c, err := ParseSiteOfOrigin(s); err != nil || c != origin || c.String() != "origin:"+row.text {
					t.Errorf("ParseSiteOfOrigin(%q) = %x (%v), %v, want %x", s, c[:], c, err, origin[:])
				}
			}
		})
	}
}

func TestTextThatIsNoDistinguisherIsRefused(t *testing.T) {
	for _, s := range []string{"", ":", "1", "1:", ":1", "a:1", "1:a", "+1:1", "1:+1", "1:-1", "1.2.3:1", "1.2.3.4.5:1", "1:1:1", "1L", "L:1",
		"1.2.3.4L:1", "::1.2.3.4:1", "1.2.3.4:65536", "65536:65536", "4294967296:1", "1:4294967296", "1 :1", "target:1:1", "0:0"} {
		if rd, err := ParseRD(s); err == nil {
			t.Errorf("ParseRD(%q) = %v", s, rd)
		}
	}
	for _, s := range []string{"origin:1:1", "target:", "target:target:1:1", "*", "*:1", "target:*:1"} {
		if rt, err := ParseRouteTarget(s); err == nil {
			t.Errorf("ParseRouteTarget(%q) = %v", s, rt)
		}
	}
	for _, s := range []string{"*:", "*:4294967296", "*L:1", "**:1"} {
		if m, err := ParseTargetMatch(s); err == nil {
			t.Errorf("ParseTargetMatch(%q) = %v", s, m)
		}
	}
}

func TestUnknownTypesAreShownInHexadecimal(t *testing.T) {
	if got := (RD{0, 3, 1, 2, 3, 4, 5, 6}).String(); got != "0x0003010203040506" {
		t.Error(got)
	}
	if got := (ExtendedCommunity{3, 0x0c, 0, 0, 0, 0, 0, 8}).String(); got != "0x030c000000000008" {
		t.Error(got)
	}
	if _, ok := (RouteTarget{0, 3, 0, 1, 0, 0, 0, 1}).Number(); ok {
		t.Error("a Site-of-Origin has a target's number")
	}
}

func TestAutomaticImportMatchesTheNumberOfAnySystem(t *testing.T) {
	m, err := ParseTargetMatch("*:200")
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[string]bool{"65001:200": true, "65002:200": true, "192.0.2.1:200": true, "4200000000:200": true, "65001:201": false, "65001:268435656": false} {
		rt, err := ParseRouteTarget(s)
		if err != nil || m.Match(rt) != want {
			t.Errorf("*:200 matches %s: %v, want %v (%v)", s, !want, want, err)
		}
		if exact := (TargetMatch{Target: rt}); !exact.Match(rt) || exact.Match(NewRouteTarget(1, 1)) {
			t.Errorf("%s does not match itself alone", s)
		}
	}
}

func TestFirstRuleThatMatchesDecides(t *testing.T) {
	rules := []PrefixRule{
		{Prefix: netip.MustParsePrefix("10.1.0.0/16"), GE: 16, LE: 32},
		{Allow: true, Prefix: netip.MustParsePrefix("10.0.0.0/8"), GE: 8, LE: 24},
		{Allow: true, Prefix: netip.MustParsePrefix("0.0.0.0/0")},
		{Allow: true, Prefix: netip.MustParsePrefix("2001:db8::/32"), GE: 48},
	}
	for _, row := range []struct {
		prefix string
		want   bool
	}{
		{"10.0.0.0/8", true}, {"10.2.0.0/16", true}, {"10.2.3.0/24", true}, {"10.2.3.0/25", false},
		{"10.1.0.0/16", false}, {"10.1.2.0/24", false}, {"10.1.2.3/32", false},
		{"0.0.0.0/0", true}, {"11.0.0.0/8", false}, {"8.0.0.0/7", false},
		{"2001:db8::/32", false}, {"2001:db8:1::/48", true}, {"2001:db8::1/128", true}, {"::/0", false},
	} {
		if got := Permit(rules, netip.MustParsePrefix(row.prefix)); got != row.want {
			t.Errorf("%s passes: %v, want %v", row.prefix, got, row.want)
		}
	}
	if Permit(rules, netip.Prefix{}) || (PrefixRule{}).Match(netip.Prefix{}) {
		t.Error("no prefix at all passes")
	}
	if !Permit(nil, netip.MustParsePrefix("10.0.0.0/8")) {
		t.Error("no rules do not let everything pass")
	}
}

func TestRuleMatchesWhatLiesInsideAndHasTheLength(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, p := prefixRule.Draw(t, "rule"), prefix.Draw(t, "prefix")
		inside := r.Prefix.Overlaps(p) && p.Bits() >= r.Prefix.Bits()
		if want := inside && r.GE <= p.Bits() && p.Bits() <= r.LE; r.Match(p) != want {
			t.Fatalf("%+v matches %v: %v, want %v", r, p, !want, want)
		}
	})
}

func TestCommunitiesReadWhatTheyWrite(t *testing.T) {
	for s, want := range map[string]struct {
		community Community
		text      string
	}{
		"65000:100":   {0xfde80064, "65000:100"},
		"0:0":         {0, "0:0"},
		"65535:65535": {0xffffffff, "65535:65535"},
		"no-export":   {0xffffff01, "no-export"},
		"65535:65281": {0xffffff01, "no-export"},
		"llgr-stale":  {0xffff0006, "llgr-stale"},
		"blackhole":   {0xffff029a, "blackhole"},
	} {
		if c, err := ParseCommunity(s); err != nil || c != want.community || c.String() != want.text {
			t.Errorf("ParseCommunity(%q) = %#x (%v), %v, want %+v", s, uint32(c), c, err, want)
		}
	}
	for s, want := range map[string]LargeCommunity{"65000:1:2": {65000, 1, 2}, "4294967295:0:4294967295": {4294967295, 0, 4294967295}} {
		if c, err := ParseLargeCommunity(s); err != nil || c != want || c.String() != s {
			t.Errorf("ParseLargeCommunity(%q) = %v, %v, want %v", s, c, err, want)
		}
	}
	for _, s := range []string{"", ":", "1", "1:", ":1", "1:-1", "+1:1", "65536:1", "1:65536", "1:1:", "1:1:1", "No-Export", "no-export ", "0x1:1"} {
		if c, err := ParseCommunity(s); err == nil {
			t.Errorf("ParseCommunity(%q) = %v", s, c)
		}
	}
	for _, s := range []string{"", "::", "1", "1:1", "1:1:", "1:1:1:1", "1:1:4294967296", "no-export"} {
		if c, err := ParseLargeCommunity(s); err == nil {
			t.Errorf("ParseLargeCommunity(%q) = %v", s, c)
		}
	}
}

func TestDomainIdentifiersReadWhatTheyWrite(t *testing.T) {
	for s, want := range map[string]DomainID{
		"65001:1":          {0, 0, 0xfd, 0xe9, 0, 1},
		"4294967295:65535": {255, 255, 255, 255, 255, 255},
		"0:1":              {0, 0, 0, 0, 0, 1},
	} {
		if id, err := ParseDomainID(s); err != nil || id != want || id.String() != s {
			t.Errorf("ParseDomainID(%q) = %x (%v), %v, want %x", s, id[:], id, err, want[:])
		}
	}
	for _, s := range []string{"", "1", "1:", "0:0", "1:65536", "4294967296:1", "192.0.2.1:1", "1:1:1", "65001L:1"} {
		if id, err := ParseDomainID(s); err == nil {
			t.Errorf("ParseDomainID(%q) = %v", s, id)
		}
	}
}

func TestLabelRangesReadWhatTheyWrite(t *testing.T) {
	for s, want := range map[string]LabelRange{"16-16": {16, 16}, "100000-199999": {100000, 199999}, "16-1048575": {16, 1048575}} {
		if r, err := ParseLabelRange(s); err != nil || r != want || r.String() != s {
			t.Errorf("ParseLabelRange(%q) = %v, %v, want %v", s, r, err, want)
		}
	}
	for _, s := range []string{"", "-", "16", "16-", "-16", "16--17", "16-17-18", "17-16", "15-16", "16-1048576", "16-99999999999999999999", " 16-17", "+16-17"} {
		if r, err := ParseLabelRange(s); err == nil {
			t.Errorf("ParseLabelRange(%q) = %v", s, r)
		}
	}
}

func TestPacesReadWhatTheyWrite(t *testing.T) {
	for s, want := range map[string]struct {
		pace Pace
		text string
	}{
		"auto":           {Pace{}, "auto"},
		"off":            {Pace{Mode: PaceOff}, "off"},
		"400kB/s":        {Pace{PaceRate, 400_000}, "400kB/s"},
		"1000B/s":        {Pace{PaceRate, 1000}, "1kB/s"},
		"400001B/s":      {Pace{PaceRate, 400_001}, "400001B/s"},
		"1000kB/s":       {Pace{PaceRate, 1000_000}, "1MB/s"},
		"1000000000B/s":  {Pace{PaceRate, 1000_000_000}, "1000MB/s"},
		"00001000000B/s": {Pace{PaceRate, 1000_000}, "1MB/s"},
	} {
		p, err := ParsePace(s)
		if err != nil || p != want.pace || p.String() != want.text {
			t.Errorf("ParsePace(%q) = %+v (%v), %v, want %+v", s, p, p, err, want)
		}
	}
	for _, s := range []string{"", "fast", "1", "kB/s", "-1kB/s", "1.5MB/s", "1KB/s", "1GB/s", "0B/s", "999B/s", "1001MB/s", "1000001kB/s", "1000000001B/s", "18446744073709551616B/s", "18446744073709552kB/s"} {
		if p, err := ParsePace(s); err == nil {
			t.Errorf("ParsePace(%q) = %v", s, p)
		}
	}
}
