package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// A bridge with little memory takes what it has room for and goes on with that.
// Who has gone makes room for what was refused.
func TestBridgeShortOfMemoryRefusesWhatIsNewAndRecovers(t *testing.T) {
	const most = 1_000_000 // routes; some 400,000 have room
	t.Parallel()
	l := lab.New(t)
	bridge := l.Node("server", "2001:db8::1/64").Bridge("memory-limit: 64MiB\nmetalbond: {listen: \"[::]:4711\"}\nvnis: [{vni: 200}]\n")
	first, flood := l.Node("a", "2001:db8::a/64").Hypervisor(), l.Node("b", "2001:db8::b/64").Hypervisor("-quiet")
	early := []string{"300#10.1.0.0/24#2001:db8::a", "300#10.2.0.0/24#2001:db8::a"}
	late := "300#10.3.0.0/24#2001:db8::a"
	announce(first, early)
	first.Connect(serverAt)
	flood.Connect(serverAt)
	state := func(full bool) func() error {
		return func() error {
			page, err := bridge.Page("/readyz")
			if said := err != nil && strings.Contains(err.Error()+page, "new routes are refused"); said != full {
				return fmt.Errorf("/readyz says %v %s, with %v prefixes", err, page, bridge.Metric("mbbgp_vni_prefixes"))
			}
			if got := bridge.Metric("mbbgp_memory_limit_reached") == 1; got != full {
				return fmt.Errorf("limit reached: %v", got)
			}
			return nil
		}
	}
	const step = 50_000 // of which the stock client says all before it falls behind with its KEEPALIVEs
	said := 0
	for bridge.Metric("mbbgp_memory_limit_reached") == 0 {
		if said == most {
			t.Fatalf("%d routes, and no limit", said)
		}
		flood.Do("fill %d %d 2001:db8::b", 1000+said/step, step)
		said += step
		lab.Eventually(t, time.Minute, "routes are taken or refused", func() error {
			if got := bridge.Metric("mbbgp_vni_prefixes") + refused(bridge, "2001:db8::b", "memory-limit"); int(got) < said+len(early) {
				return fmt.Errorf("%v of %d", got, said)
			}
			return nil
		})
	}
	lab.Eventually(t, time.Minute, "the limit is reached", state(true))
	first.Do("announce %s", late)
	flood.Do("fill 999 10 2001:db8::b")
	lab.Eventually(t, time.Minute, "refusals are counted", func() error {
		for _, peer := range []string{"2001:db8::a", "2001:db8::b"} {
			if refused(bridge, peer, "memory-limit") == 0 {
				return fmt.Errorf("none of %s", peer)
			}
		}
		return nil
	})
	if n := bridge.Metric("mbbgp_vni_prefixes", `vni="999"`); n != 0 {
		t.Errorf("%v new prefixes were taken", n)
	}
	if n := bridge.Metric("mbbgp_vni_prefixes", `vni="300"`); n != 2 {
		t.Errorf("%v early prefixes, want 2", n)
	}

	flood.Kill()
	lab.Eventually(t, 2*time.Minute, "there is room again", state(false))
	lab.Eventually(t, time.Minute, "what was refused", func() error {
		got, err := bridge.Routes()
		if err != nil {
			return err
		}
		return lab.Differ(got, append([]string{late}, early...))
	})
}
