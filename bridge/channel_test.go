package bridge

import (
	"fmt"
	"net/netip"
	"reflect"
	"sync"
	"testing"

	logtest "github.com/sirupsen/logrus/hooks/test"

	"mbbgp/rib"
)

func TestAnnouncementsAreJudged(t *testing.T) {
	for _, c := range []struct {
		name   string
		source rib.Source
		prefix netip.Prefix
		hop    rib.NextHop
		reason Reason
		want   rib.NextHop
		pref   rib.Preference
	}{
		{"a hypervisor's route is native", rib.Client, prefix("10.0.0.1/32"), hop("2001:db8:1::1"), Accepted, hop("2001:db8:1::1"), rib.Native},
		{"a gateway's route is relayed", rib.Server, prefix("10.0.0.1/32"), hop("2001:db8:f::9"), Accepted, hop("2001:db8:f::9"), rib.Relayed},
		{"a target VNI that is the VNI is none", rib.Client, prefix("10.0.0.1/32"), rib.NextHop{Target: addr("2001:db8:1::1"), TargetVNI: 200}, Accepted, hop("2001:db8:1::1"), rib.Native},
		{"host bits are masked", rib.Client, netip.MustParsePrefix("10.0.0.1/24"), hop("2001:db8:1::1"), Accepted, hop("2001:db8:1::1"), rib.Native},
		{"our gateway from a server is an echo", rib.Server, prefix("10.0.0.1/32"), hop("2001:db8:f::200"), OwnGateway, rib.NextHop{}, 0},
		{"our gateway of another VNI too", rib.Server, prefix("10.0.0.1/32"), hop("2001:db8:e::300"), OwnGateway, rib.NextHop{}, 0},
		{"our gateway from a client is relayed", rib.Client, prefix("10.0.0.1/32"), hop("2001:db8:e::300"), Accepted, hop("2001:db8:e::300"), rib.Relayed},
		{"no prefix", rib.Client, netip.Prefix{}, hop("2001:db8:1::1"), PrefixInvalid, rib.NextHop{}, 0},
		{"an IPv4 next hop", rib.Client, prefix("10.0.0.1/32"), hop("192.0.2.1"), NextHopInvalid, rib.NextHop{}, 0},
		{"no next hop", rib.Client, prefix("10.0.0.1/32"), rib.NextHop{}, NextHopInvalid, rib.NextHop{}, 0},
		{"a multicast next hop", rib.Client, prefix("10.0.0.1/32"), hop("ff02::1"), NextHopInvalid, rib.NextHop{}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBridge(t, testConfig(t))
			ch := b.Open(c.source, "x")
			defer ch.Close()
			if got := reasonOf(ch.Announce(200, c.prefix, c.hop)); got != c.reason {
				t.Fatalf("reason %q, want %q", got, c.reason)
			}
			if c.reason != Accepted {
				if got := ch.Stats().Refused[c.reason]; got != 1 || ch.Count() != 0 {
					t.Fatalf("refused %d, %d routes", got, ch.Count())
				}
				return
			}
			info := b.Table().Lookup(200, c.prefix.Masked())
			if len(info) != 1 || info[0].NextHop != c.want || info[0].Claims[0].Preference != c.pref {
				t.Fatalf("in the table: %+v", info)
			}
			if err := ch.Announce(200, c.prefix, c.hop); err != nil || ch.Count() != 1 {
				t.Fatalf("said twice: %v, %d routes", err, ch.Count())
			}
			if !ch.Withdraw(200, c.prefix, c.hop) || ch.Withdraw(200, c.prefix, c.hop) {
				t.Fatal("not withdrawn once")
			}
		})
	}
}

func TestServersWordOnOurOwnRouteDoesNotCount(t *testing.T) {
	p, nh := prefix("10.0.0.1/32"), hop("2001:db8:1::1")
	for _, first := range []string{"ours", "the server's"} {
		t.Run(first+" comes first", func(t *testing.T) {
			b := newBridge(t, testConfig(t))
			server, client := b.Open(rib.Server, "s"), b.Open(rib.Client, "c")
			say := func(c *Channel) {
				if err := c.Announce(200, p, nh); err != nil {
					t.Fatal(err)
				}
			}
			if first == "ours" {
				say(client)
				say(server)
				if server.Stats().Refused[OwnRoute] != 1 {
					t.Error("ignored, but not counted")
				}
			} else {
				say(server)
				say(client)
			}
			if server.Count() != 0 || client.Count() != 1 {
				t.Fatalf("server has %d, client %d", server.Count(), client.Count())
			}
			client.Close()
			if got := targets(b, 200, p); got != nil {
				t.Fatalf("left behind: %v", got)
			}
			say(server)
			if server.Count() != 1 {
				t.Fatal("its own word does not count any more")
			}
		})
	}
}

func TestSecondServerSaysTheSame(t *testing.T) {
	b := newBridge(t, testConfig(t))
	p, nh := prefix("10.0.0.1/32"), hop("2001:db8:1::1")
	one, two := b.Open(rib.Server, "1"), b.Open(rib.Server, "2")
	for _, c := range []*Channel{one, two} {
		if err := c.Announce(200, p, nh); err != nil {
			t.Fatal(err)
		}
	}
	one.Close()
	if got := targets(b, 200, p); len(got) != 1 {
		t.Fatalf("with the second server: %v", got)
	}
	two.Withdraw(200, p, nh)
	if got := targets(b, 200, p); got != nil {
		t.Fatalf("with none: %v", got)
	}
}

func TestClosedChannelAnnouncesNothing(t *testing.T) {
	b := newBridge(t, testConfig(t))
	c := b.Open(rib.Client, "x")
	for i := range 3 {
		if err := c.Announce(200, prefix(fmt.Sprintf("10.0.0.%d/32", i)), hop("2001:db8:1::1")); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.Close(); got != 3 {
		t.Errorf("closed %d routes", got)
	}
	if got := reasonOf(c.Announce(200, prefix("10.0.0.1/32"), hop("2001:db8:1::1"))); got != ChannelClosed {
		t.Errorf("reason %q", got)
	}
	if got := c.Close(); got != 0 {
		t.Errorf("closed %d routes again", got)
	}
	if got := b.Table().Stats(200).Prefixes; got != 0 {
		t.Errorf("%d prefixes left", got)
	}
}

func TestFullVNITakesNoNewPrefix(t *testing.T) {
	log, hook := logtest.NewNullLogger()
	cfg := testConfig(t)
	cfg.VNIs[0].MaxPrefixes = 2
	b := newLoggedBridge(t, cfg, log)
	c := b.Open(rib.Client, "x")
	say := func(i int, target string) Reason {
		return reasonOf(c.Announce(200, prefix(fmt.Sprintf("10.0.0.%d/32", i)), hop(target)))
	}
	steps := []struct {
		do   func() Reason
		want Reason
	}{
		{func() Reason { return say(1, "2001:db8:1::1") }, Accepted},
		{func() Reason { return say(2, "2001:db8:1::1") }, Accepted},
		{func() Reason { return say(3, "2001:db8:1::1") }, VNILimit},
		{func() Reason { return say(4, "2001:db8:1::1") }, VNILimit},
		{func() Reason { return say(2, "2001:db8:1::2") }, Accepted}, // a next hop more is no prefix more
		{func() Reason {
			c.Withdraw(200, prefix("10.0.0.1/32"), hop("2001:db8:1::1"))
			return say(3, "2001:db8:1::1")
		}, Accepted},
		{func() Reason { return say(1, "2001:db8:1::1") }, VNILimit},
	}
	for i, s := range steps {
		if got := s.do(); got != s.want {
			t.Fatalf("step %d: %q, want %q", i, got, s.want)
		}
	}
	if got, want := b.BGP().Stats().VNIs[0].Table, (LimitStats{Max: 2, Used: 2, Refused: 1, Over: true}); got != want {
		t.Errorf("state %+v, want %+v", got, want)
	}
	if got := warnings(hook); got != 2 { // it was clear in between
		t.Errorf("%d warnings, want one for each crossing", got)
	}
	if got := c.Stats().Refused; !reflect.DeepEqual(got, map[Reason]uint64{VNILimit: 3}) {
		t.Errorf("refused %v", got)
	}
}

func TestAnnouncementMayHaveAPreferenceOfItsOwn(t *testing.T) {
	b := newBridge(t, testConfig(t))
	c := b.Open(rib.Static, "s")
	for _, step := range []struct{ give, want rib.Preference }{{0, rib.Native}, {60, 60}, {250, 250}, {0, rib.Native}} {
		edit := []Edit{{VNI: 200, Prefix: prefix("10.0.0.1/32"), NextHop: hop("2001:db8:1::1"), Preference: step.give}}
		c.Apply(edit)
		got := b.Table().Lookup(200, prefix("10.0.0.1/32"))
		if edit[0].Refused != nil || len(got) != 1 || len(got[0].Claims) != 1 || got[0].Claims[0].Preference != step.want {
			t.Errorf("%d: refused %v, table %+v, want %d", step.give, edit[0].Refused, got, step.want)
		}
	}
}

func TestOwnAndServersClaimsRace(t *testing.T) {
	b := newBridge(t, testConfig(t))
	server, client := b.Open(rib.Server, "s"), b.Open(rib.Client, "c")
	p, nh := prefix("10.0.0.1/32"), hop("2001:db8:1::1")
	for range 200 {
		var both sync.WaitGroup
		for _, c := range []*Channel{server, client} {
			both.Go(func() { _ = c.Announce(200, p, nh) })
		}
		both.Wait()
		client.Withdraw(200, p, nh)
		if got := targets(b, 200, p); got != nil {
			t.Fatalf("left behind: %v", got)
		}
	}
}
