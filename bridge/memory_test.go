package bridge

import (
	"errors"
	"slices"
	"testing"

	"mbbgp/rib"
)

func TestWithoutMemoryOnlyNewRoutesOfPeersAreRefused(t *testing.T) {
	b := newBridge(t, testConfig(t))
	client, static := b.Open(rib.Client, "client"), b.Open(rib.Static, "static")
	say := func(c *Channel, text string) error { return c.Announce(200, prefix(text), hop("2001:db8::1")) }
	if err := say(client, "10.0.0.1/32"); err != nil {
		t.Fatal(err)
	}
	b.RefuseNew(true)
	var refusal *Refusal
	if err := say(client, "10.0.0.2/32"); !errors.As(err, &refusal) || refusal.Reason != MemoryLimit {
		t.Errorf("a new route: %v", err)
	}
	if client.Room(200) {
		t.Error("there is room")
	}
	for what, err := range map[string]error{
		"a route that is there": say(client, "10.0.0.1/32"),
		"a static route":        say(static, "10.0.0.3/32"),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !client.Withdraw(200, prefix("10.0.0.1/32"), hop("2001:db8::1")) {
		t.Error("it cannot be withdrawn")
	}
	b.RefuseNew(false)
	if err := say(client, "10.0.0.2/32"); err != nil || !client.Room(200) {
		t.Errorf("and after it: %v", err)
	}
}

func TestWithoutMemoryBGPBringsNothingNewAndIsAskedAgainLater(t *testing.T) {
	b := newBridge(t, testConfig(t))
	g := b.BGP()
	refreshed := 0
	g.Refresh = func() { refreshed++ }
	route := func(p, hop string) Update { return say(type5(1, p), ipipPath(hop, rt(65000, 300))) }
	g.Import([]Update{route("10.1.1.0/24", "2001:db8:9::1"), route("10.1.2.0/24", "2001:db8:9::1")})
	b.RefuseNew(true)
	fresh := route("10.1.3.0/24", "2001:db8:9::1")
	g.Import([]Update{route("10.1.1.0/24", "2001:db8:9::2"), unsay(route("10.1.2.0/24", "2001:db8:9::1").NLRI), fresh})
	if v := g.ExplainImport(fresh); len(v) != 1 || v[0].Reason != MemoryLimit {
		t.Errorf("explained as %+v", v)
	}
	if got := targets(b, 300, prefix("10.1.1.0/24")); !slices.Equal(got, []string{"2001:db8:9::2"}) {
		t.Errorf("what is in may change: %v", got)
	}
	if n := b.Table().Stats(300).Prefixes; n != 1 || refreshed != 0 {
		t.Errorf("%d prefixes, %d refreshes", n, refreshed)
	}
	b.RefuseNew(true)
	b.RefuseNew(false)
	b.RefuseNew(false)
	g.Import([]Update{fresh})
	if n := b.Table().Stats(300).Prefixes; n != 2 || refreshed != 1 {
		t.Errorf("%d prefixes, %d refreshes", n, refreshed)
	}
}
