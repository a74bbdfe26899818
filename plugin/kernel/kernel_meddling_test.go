package kernel

import (
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mbbgp/config"
	"mbbgp/plugin/kernel/internal/netns"
)

// crowd announces routes of both families, to one and to two hypervisors, and
// returns what the table is to be.
func (h *host) crowd() (pairs []string) {
	h.announce("10.0.0.1/32", "fd00:1::1")
	h.announce("10.0.0.2/32", "fd00:1::1", "fd00:2::1")
	h.announce("10.0.0.3/32", "fd00:f::100")
	h.offer("10.0.0.3/32", "fd00:1::99")
	h.announce("2001:db8::1/128", "fd00:1::1")
	h.announce("2001:db8::2/128", "fd00:1::1", "fd00:2::1")
	h.offer("203.0.113.0/24", "discard")
	return []string{
		"10.0.0.1", "seg6 fd00:1::1", "10.0.0.2", "seg6 fd00:1::1 + seg6 fd00:2::1", "10.0.0.3", "fd00:a::2 dev u1",
		"2001:db8::1", "seg6 fd00:1::1", "2001:db8::2", "seg6 fd00:1::1 + seg6 fd00:2::1", "203.0.113.0/24", "blackhole",
	}
}

var objectID = regexp.MustCompile(`(?m)^id (\d+) `)

// objects returns the next hop objects of the kernel: groups, or single hops.
func (h *host) objects(groups bool) (ids []string) {
	h.t.Helper()
	for line := range strings.Lines(netns.Run(h.t, "ip", "nexthop")) {
		if m := objectID.FindStringSubmatch(line); m != nil && strings.Contains(line, " group ") == groups {
			ids = append(ids, m[1])
		}
	}
	return ids
}

func TestMeddlingIsPutRight(t *testing.T) {
	h := newHost(t, nil)
	want := h.crowd()
	h.ready()
	h.expect(want...)
	h.until("swept", func(i Info) bool { return i.Swept && i.Synced })
	for _, meddle := range []struct {
		name string
		do   func()
	}{
		{"an IPv4 route is removed", func() { batch(t, "route del 10.0.0.1 table 1100") }},
		{"an IPv6 route is removed", func() { batch(t, "route del 2001:db8::2 table 1100") }},
		{"the discard is removed", func() { batch(t, "route del 203.0.113.0/24 table 1100") }},
		{"a route is changed", func() { batch(t, "route change blackhole 10.0.0.2 table 1100 proto 254 metric 4711") }},
		{"all routes are removed", func() {
			var lines []string
			for i := 0; i < len(want); i += 2 {
				lines = append(lines, "route del "+want[i]+" table 1100")
			}
			batch(t, strings.Join(lines, "\n"))
		}},
		{"routes that nobody wants come", func() {
			batch(t, "route add blackhole 10.9.0.1 table 1100 proto 254 metric 4711")
			batch(t, "route add blackhole 2001:db8:9::1 table 1100 proto 254 metric 4711")
		}},
		{"a next hop is removed", func() { netns.Run(t, "ip", "nexthop", "del", "id", h.objects(false)[0]) }},
		{"a group is removed", func() { netns.Run(t, "ip", "nexthop", "del", "id", h.objects(true)[0]) }},
		{"a group loses a member", func() {
			netns.Run(t, "ip", "nexthop", "replace", "id", h.objects(true)[0], "group", h.objects(false)[0])
		}},
		{"a next hop is changed", func() {
			netns.Run(t, "ip", "-6", "nexthop", "replace", "id", h.objects(false)[0], "dev", "u2")
		}},
		{"all next hops are flushed", func() { netns.Run(t, "ip", "nexthop", "flush") }},
		{"a next hop becomes a group", func() {
			h.kernel.mu.Lock() // it would be put right in between
			defer h.kernel.mu.Unlock()
			ids := h.objects(false)
			batch(t, "nexthop del id "+ids[0]+"\nnexthop add id "+ids[0]+" group "+ids[1]+" proto 254")
		}},
		{"the uplink goes down and up", func() {
			batch(t, "link set u1 down\nlink set u1 up\naddr replace fd00:a::1/64 dev u1 nodad\nroute replace fd00:1::/64 via fd00:a::2")
		}},
		{"the device of the tunnel goes down and up", func() { batch(t, "link set seg down\nlink set seg up") }},
		{"the device of the tunnel gets another index", func() {
			batch(t, "link del seg\nlink add seg type veth peer name gap\nlink set gap up\nlink set seg up")
		}},
	} {
		h.kernel.mu.Lock()
		h.kernel.fib.resyncs.last = time.Time{} // it is not a fight: each would be alone
		h.kernel.mu.Unlock()
		if meddle.do(); !eventually(func() bool { return h.is(want) }) {
			t.Fatalf("%s: the routes are\n%v\nwant\n%v\nnext hops:\n%s", meddle.name, h.routes(1100), want, netns.Run(t, "ip", "nexthop"))
		}
		h.synced()
	}
	if i := h.kernel.Info(); i.Counters.Restored == 0 {
		t.Errorf("nothing was restored: %+v", i.Counters)
	}
}

// is reports whether table 1100 is as pairs say.
func (h *host) is(pairs []string) bool {
	have := h.routes(1100)
	for i := 0; i < len(pairs); i += 2 {
		if have[pairs[i]] != pairs[i+1] {
			return false
		}
	}
	return len(have) == len(pairs)/2
}

func TestRestartChangesNothing(t *testing.T) {
	h := newHost(t, nil)
	want := h.crowd()
	h.announce("10.0.0.9/32", "fd00:2::9")
	h.announce("2001:db8::9/128", "fd00:2::9")
	h.ready()
	h.synced()
	h.stop()
	h.announce("10.0.0.9/32")
	h.announce("2001:db8::9/128")
	left := append(slices.Clone(want), "10.0.0.9", "seg6 fd00:2::9", "2001:db8::9", "seg6 fd00:2::9")
	h.expect(left...)

	count := h.hear()
	h.cfg.Kernel.Settle = time.Hour
	h.ready()
	h.synced()
	if i := h.kernel.Info(); i.Swept || i.Tables[0].Unclaimed != 2 || i.Tables[0].Routes != 8 {
		t.Errorf("after the first pass: %+v", i)
	}
	h.stop()
	if routes, objects := count(); routes+objects > 0 {
		t.Errorf("%d messages about routes, %d about next hop objects", routes, objects)
	}
	h.expect(left...)

	count = h.hear()
	h.cfg.Kernel.Settle = 0
	h.ready()
	h.expect(want...)
	h.until("swept", func(i Info) bool { return i.Swept && i.Counters.Swept == 2 })
	if routes, objects := count(); routes != 2 || objects != 1 {
		t.Errorf("%d messages about routes, %d about next hop objects, want the removal of 2 and 1", routes, objects)
	}
}

func TestRestartPutsRightWhatChangedMeanwhile(t *testing.T) {
	h := newHost(t, nil)
	h.crowd()
	h.ready()
	h.synced()
	h.stop()
	h.announce("10.0.0.1/32", "fd00:2::1")
	h.announce("2001:db8::1/128", "fd00:2::7")
	h.announce("10.0.0.2/32")
	netns.Run(t, "ip", "-6", "route", "del", "2001:db8::2", "table", "1100")
	batch(t, "route change blackhole 10.0.0.3 table 1100 proto 254 metric 4711")
	h.ready()
	h.expect("10.0.0.1", "seg6 fd00:2::1", "10.0.0.3", "fd00:a::2 dev u1",
		"2001:db8::1", "seg6 fd00:2::7", "2001:db8::2", "seg6 fd00:1::1 + seg6 fd00:2::1", "203.0.113.0/24", "blackhole")
}

func TestRunThatIsCutOffIsTakenUpByTheNext(t *testing.T) {
	h := newHost(t, nil)
	const routes = 20_000
	fill := func(target string) {
		for i := range routes {
			h.announceAt(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32), target)
		}
	}
	fill("fd00:1::1")
	h.start()
	h.until("some routes", func(i Info) bool { return len(i.Tables) > 0 && i.Tables[0].Routes > 0 })
	h.stop()
	fill("fd00:2::1")
	h.ready()
	h.synced()
	have := h.routes(1100)
	if len(have) != routes {
		t.Errorf("%d routes, want %d", len(have), routes)
	}
	for p, target := range have {
		if target != "seg6 fd00:2::1" {
			t.Fatalf("%s goes to %s", p, target)
		}
	}
}

func TestEventsThatOverrunAreMadeUpFor(t *testing.T) {
	h := newHost(t, nil)
	want := h.crowd()
	h.ready()
	h.synced()
	// The loop is held up while somebody removes our routes among more changes
	// than the socket holds.
	h.kernel.mu.Lock()
	batch(t, "route del 10.0.0.1 table 1100\nroute del 2001:db8::2 table 1100")
	lines := make([]string, 0, 20_000)
	for i := range cap(lines) {
		lines = append(lines, "route add blackhole "+hostPrefix(false, 1<<20+i).Addr().String()+" table 77")
	}
	batch(t, strings.Join(lines, "\n"))
	netns.Run(t, "ip", "route", "flush", "table", "77")
	batch(t, "route del 10.0.0.2 table 1100")
	h.kernel.mu.Unlock()
	h.expect(want...)
	h.until("an overrun is counted", func(i Info) bool { return i.Counters.Resyncs["overrun"] > 0 })
}

func TestFailuresAreTriedAgain(t *testing.T) {
	h := newHost(t, func(c *config.Config) { c.Kernel.Device = "late" })
	h.announce("10.0.0.1/32", "fd00:1::1")
	h.offer("203.0.113.0/24", "discard")
	h.ready()
	h.expect("203.0.113.0/24", "blackhole")
	if i := h.kernel.Info(); i.Synced || i.Tables[0].Pending != 1 || !strings.Contains(i.Tables[0].LastError, "late") {
		t.Errorf("without the device: %+v", i)
	}
	batch(t, "link add late type veth peer name later\nlink set later up\nlink set late up")
	h.expect("203.0.113.0/24", "blackhole", "10.0.0.1", "seg6 fd00:1::1")
	h.until("all is well", func(i Info) bool { return i.Synced && i.Tables[0].Pending == 0 && i.Tables[0].LastError == "" })
}

func TestCleanRemovesWhatIsOursAlone(t *testing.T) {
	h := newHost(t, func(c *config.Config) { c.Kernel.RulePriority = 700 })
	h.crowd()
	batch(t, "route add unreachable 10.0.0.7 table 1100 metric 4711\nnexthop add id 7 dev u1\nroute add 10.7.0.0/16 nhid 7 table 1100")
	h.ready()
	h.synced()
	h.stop()
	if err := Cleanup(h.cfg, quiet()); err != nil {
		t.Fatal(err)
	}
	h.expect("10.0.0.7", "unreachable", "10.7.0.0/16", "dev u1 metric 0")
	if ids := h.objects(false); !slices.Equal(ids, []string{"7"}) {
		t.Errorf("next hop objects %v are there, want 7 alone", ids)
	}
	if out, _ := exec.Command("ip", "rule", "show", "table", "1100").CombinedOutput(); len(out) > 0 {
		t.Errorf("a rule is left: %s", out)
	}
}
