package kernel

import (
	"slices"
	"strings"
	"testing"

	"mbbgp/config"
)

func TestDevicesThatDoNotServeAreProblems(t *testing.T) {
	for _, row := range []struct {
		name    string
		before  []string
		edit    func(*config.Config)
		problem string
	}{
		{"no overlay device", nil, func(c *config.Config) { c.Kernel.MakeDevice = false },
			"ip6tnl overlay: is not there: ip link add overlay type ip6tnl external, or set kernel.make-device"},
		{"overlay with an end", []string{"link add overlay type ip6tnl local 2001:db8::1 remote 2001:db8::2"}, nil,
			"ip6tnl overlay: is an ip6tnl device with an end of its own, want one in external mode"},
		{"overlay down", []string{"link add overlay type ip6tnl external"}, nil,
			"ip6tnl overlay: is down: ip link set overlay up"},
		{"another external device", []string{"link add other type ip6tnl external"}, nil,
			"ip6tnl overlay: cannot be made because other does the same: remove it, or name it in the configuration"},
		{"VRF of another table", []string{"link add red type vrf table 9"}, nil,
			"vrf red: is the VRF of table 9, want 1007"},
		{"VRF is a bridge", []string{"link add red type bridge"}, nil,
			"vrf red: is of type bridge, want vrf"},
		{"VXLAN device of another VNI", []string{"link add vx7 type vxlan id 8 local 192.0.2.1 dstport 4789"}, nil,
			"vxlan vx7: is the VXLAN device of VNI 8, want 7"},
		{"VXLAN device of another address", []string{"link add vx7 type vxlan id 7 local 192.0.2.9 dstport 4789"}, nil,
			"vxlan vx7: sends from 192.0.2.9, want vxlan.local (192.0.2.1)"},
		{"VXLAN device of another port", []string{"link add vx7 type vxlan id 7 local 192.0.2.1 dstport 8472"}, nil,
			"vxlan vx7: uses UDP port 8472, want 4789"},
		{"VXLAN device as of FRR", []string{"link add br7 type bridge", "link add vx7 type vxlan id 7 local 192.0.2.1 dstport 4789", "link set vx7 master br7"}, nil,
			"vxlan vx7: is a port of bridge br7, want a device that packets are routed to: ip link set vx7 nomaster"},
		{"VXLAN device with another name", []string{"link add other type vxlan id 7 local 192.0.2.1 dstport 4789"}, nil,
			"vxlan vx7: cannot be made because other does the same: remove it, or name it in the configuration"},
		{"tunnel with another end", []string{"link add mb7 type ip6tnl mode any local 2001:db8::9 remote ::"}, nil,
			"ip6tnl mb7: is another tunnel, want mode any remote :: local 2001:db8:ff::7"},
		{"tunnel outside the VRF", []string{"link add mb7 type ip6tnl mode any local 2001:db8:ff::7 remote ::"}, nil,
			"ip6tnl mb7: is not in VRF red: ip link set mb7 master red"},
		{"address in a VRF", []string{"link add blue up type vrf table 5", "addr add 2001:db8:ff::7/128 dev blue"}, nil,
			"address 2001:db8:ff::7: belongs to VRF blue, where the tunnel is not looked for: ip addr del 2001:db8:ff::7/128 dev blue"},
		{"segment on an address", []string{"addr add 2001:db8:ff::7/64 dev lo"}, func(c *config.Config) {
			c.VNIs[0].Decapsulation, c.VNIs[0].DecapDevice = config.DecapDT46, ""
		}, "segment 2001:db8:ff::7: is an address of device lo, whose packets never get to a segment: ip addr del 2001:db8:ff::7/64 dev lo"},
		{"segment without strict mode", nil, func(c *config.Config) {
			c.VNIs[0].Decapsulation, c.VNIs[0].DecapDevice = config.DecapDT46, ""
		}, "segment 2001:db8:ff::7: needs VRFs that have their tables for themselves: sysctl -w net.vrf.strict_mode=1"},
		{"seg6 by lo without next hop objects", nil, func(c *config.Config) {
			c.Kernel.Tunnel, c.Kernel.Device, c.Kernel.NextHopObjects = config.TunnelSeg6, "lo", false
		}, "dummy lo: drops IPv6 packets without next hop objects: name another device in kernel.device that stays up"},
		{"seg6 by a device that is not there", nil, func(c *config.Config) {
			c.Kernel.Tunnel, c.Kernel.MakeDevice = config.TunnelSeg6, false
		}, "dummy overlay: is not there: name another one in kernel.device that stays up, or set kernel.make-device"},
		{"label without input", nil, func(c *config.Config) { c.VNIs[0].Label = 100 },
			"label 100: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := deviceConfig(fullVNI())
			if row.edit != nil {
				row.edit(cfg)
			}
			d := newTestDevices(t, cfg, row.before...)
			before := says(t, "ip -d link")
			_, err := d.reconcile()
			if err == nil || !strings.Contains(err.Error(), row.problem) {
				t.Errorf("got %v, want %s", err, row.problem)
			}
			shown := slices.ContainsFunc(d.info(), func(i DeviceInfo) bool {
				return !i.OK && strings.HasPrefix(i.Kind+" "+i.Name+": "+i.Problem, row.problem)
			})
			if !shown {
				t.Errorf("not shown in %+v", d.info())
			}
			if err := d.remove(); err != nil {
				t.Fatal(err)
			}
			if after := says(t, "ip -d link"); after != before {
				t.Errorf("something is left, or gone:\n%s\n%s", before, after)
			}
		})
	}
}
