package kernel

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/internal/netns"
	"mbbgp/plugin/kernel/rtnl"
)

// pings returns what ping says that is sent once from a peer's namespace.
func pings(name, addr string) string {
	out, _ := exec.Command("ip", "netns", "exec", name, "ping", "-c", "1", "-w", "3", addr).CombinedOutput()
	return string(out)
}

func TestPacketsWithoutARouteDoNotGetIntoTheMainTable(t *testing.T) {
	const answered, refused = "1 received", "nreachable"
	for _, row := range []struct {
		name       string
		vrf        string
		isolated   bool
		tunnel     config.Tunnel
		ip4s, ip6s string // what pings from the tenant to the underlay say
	}{
		{"in a VRF", "red", true, config.TunnelIP6TNL, refused, refused},
		{"without a VRF", "", true, config.TunnelIP6TNL, refused, refused},
		{"in a VRF, with segments", "red", true, config.TunnelSeg6, refused, answered},
		{"in a VRF that is not isolated", "red", false, config.TunnelIP6TNL, answered, answered},
		{"not isolated, without a VRF", "", false, config.TunnelIP6TNL, answered, answered},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := deviceConfig(config.VNI{VNI: 7, Table: 1007, VRF: row.vrf, Isolated: row.isolated, Decapsulation: config.DecapOff})
			cfg.Kernel.Tunnel = row.tunnel
			d := newTestDevices(t, cfg)
			reconciled(t, d)
			newTenant(t, row.vrf, "1007")
			newPeer(t, "core")
			ip(t, "addr add 192.0.2.1/24 dev core", "addr add 2001:db8::1/64 dev core", "route replace 10.1.0.0/24 dev host", "route add fd01::/64 dev host")
			there(t, "core", "addr add 192.0.2.2/24 dev u", "addr add 2001:db8::2/64 dev u", "route add default via 192.0.2.1", "route add default via 2001:db8::1")
			for addr, want := range map[string]string{"192.0.2.2": row.ip4s, "2001:db8::2": row.ip6s} {
				if out := pings("host", addr); !strings.Contains(out, want) {
					t.Errorf("%s: want %q:\n%s", addr, want, out)
				}
			}
		})
	}
}

func TestIsolationComesBackAndGoes(t *testing.T) {
	cfg := deviceConfig(config.VNI{VNI: 7, Table: 1007, Isolated: true, Decapsulation: config.DecapOff})
	d := newTestDevices(t, cfg)
	reconciled(t, d)
	routes := func() string {
		return says(t, "ip route show table 1007") + "; " + says(t, "ip -6 route show table 1007")
	}
	const both = "unreachable default proto 254 metric 4278198272; unreachable default dev lo proto 254 metric 4278198272 pref medium"
	want := func(text string) {
		t.Helper()
		if got := routes(); got != text {
			t.Errorf("the table has %s\nwant %s", got, text)
		}
	}
	want(both)
	if n := reconciled(t, d); n != 0 {
		t.Errorf("restored %d", n)
	}
	removed := func(metric uint32) *rtnl.Event {
		r := newIsolation(nil, cfg.Kernel, &cfg.VNIs[0], netip.IPv6Unspecified()).route
		r.Metric = metric
		return &rtnl.Event{Kind: rtnl.RouteEvent, Removed: true, Route: r}
	}
	if !d.event(removed(config.IsolationMetric)) || d.event(removed(1)) {
		t.Error("does not tell its own route from others")
	}
	for _, family := range []string{"-4", "-6"} {
		netns.Run(t, "ip", family, "route", "del", "unreachable", "default", "table", "1007", "metric", "4278198272")
		if n := reconciled(t, d); n != 1 {
			t.Errorf("restored %d, want 1", n)
		}
		want(both)
	}

	// Somebody else's does the same, and stays.
	netns.Run(t, "ip", "route", "append", "unreachable", "default", "table", "1007", "metric", "4278198272", "proto", "static")
	netns.Run(t, "ip", "route", "add", "unreachable", "default", "table", "1008", "metric", "4278198272", "proto", "254")
	reconciled(t, d)
	if err := d.sweep(); err != nil {
		t.Fatal(err)
	}
	if out, _ := exec.Command("ip", "route", "show", "table", "1008").Output(); len(out) > 0 {
		t.Errorf("the sweep leaves %s", out)
	}
	if err := d.remove(); err != nil {
		t.Fatal(err)
	}
	want("unreachable default proto static metric 4278198272; ")
	var left int
	err := d.conn.Routes(rtnl.RouteFilter{Type: unix.RTN_UNREACHABLE}, func() {}, func(r *rtnl.Route) error {
		if isIsolation(r) {
			left++
		}
		return nil
	})
	if err != nil || left != 1 {
		t.Errorf("%d routes, %v, want somebody else's", left, err)
	}
}
