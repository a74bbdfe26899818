package kernel

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mbbgp/test/lab"
)

// The client command installs what the stock one does, and IPv6, which that one
// does not. Three hypervisors: the stock client, ours, and one set up by hand.
func TestClientInstallsRoutesAsTheStockOne(t *testing.T) {
	l := lab.New(t)
	l.Node("server", "2001:db8::1/64").MetalBondServer("--keepalive", "1")
	address := func(name string) (v4, v6, target string) {
		return fmt.Sprintf("10.1.0.%d", name[0]), "fd00:1::" + name, "2001:db8:0:" + name + "::7"
	}
	hosts, vms := make(map[string]*lab.Node), make(map[string]*lab.Node)
	names := []string{"a", "b", "c"}
	for _, name := range names {
		v4, v6, target := address(name)
		h := l.Node("host-"+name, "2001:db8::"+name+"/64")
		h.Overlay(target + "/128")
		hosts[name], vms[name] = h, h.VM("vm-"+name, v4, v6)
		for _, other := range names {
			if other != name {
				h.Run("ip", "route", "add", "2001:db8:0:"+other+"::/64", "via", "2001:db8::"+other)
			}
		}
		// What comes from VMs is routed by the main table, too.
		h.Run("sh", "-ec", "ip rule add pref 101 lookup 254; ip -6 rule add pref 101 lookup 254")
	}
	args := func(name string) []string {
		v4, v6, target := address(name)
		return []string{
			"--server", server, "--keepalive", "1", "--subscribe", "100", "--install-routes", "100#254", "--tun", "overlay-tun",
			"--announce", "100#" + v4 + "/32#" + target, "--announce", "100#" + v6 + "/128#" + target,
		}
	}
	hosts["a"].MetalBondClient(args("a")...)
	hosts["b"].Client(args("b")...)
	third := hosts["c"].Hypervisor("-keepalive", "1")
	third.Do("subscribe 100")
	third.Connect(server)
	for _, route := range []string{
		"10.1.0.99/32#2001:db8:0:c::7", "fd00:1::c/128#2001:db8:0:c::7", "::/0#2001:db8:0:c::7",
		"0.0.0.0/0#2001:db8:0:c::7", "0.0.0.0/0#2001:db8:0:c::8", // two next hops
	} {
		third.Do("announce 100#%s", route)
	}
	for _, name := range []string{"a", "b"} {
		v4, v6, target := address(name)
		hosts["c"].Install(v4, target)
		hosts["c"].Install(v6, target)
	}

	t.Log("the routes are those of the stock client, but for metric, hop limit and next hop objects")
	for _, row := range []struct {
		node   *lab.Node
		family string
		want   []string
	}{
		{hosts["a"], "-4", []string{"10.1.0.98 2001:db8:0:b::7", "10.1.0.99 2001:db8:0:c::7", "default 2001:db8:0:c::7 2001:db8:0:c::8"}},
		{hosts["b"], "-4", []string{"10.1.0.97 2001:db8:0:a::7", "10.1.0.99 2001:db8:0:c::7", "default 2001:db8:0:c::7 2001:db8:0:c::8"}},
		{hosts["b"], "-6", []string{"fd00:1::a 2001:db8:0:a::7", "fd00:1::c 2001:db8:0:c::7", "default 2001:db8:0:c::7"}},
	} {
		lab.Eventually(t, slow, row.node.Name, func() error {
			out, err := row.node.Try("ip", "-o", row.family, "route", "show", "table", "254", "proto", "254")
			if err != nil {
				return err
			}
			return lab.Differ(encapsulated(out), row.want)
		})
	}
	reach(t, vms["a"], "10.1.0.98", "10.1.0.99")
	reach(t, vms["b"], "10.1.0.97", "10.1.0.99", "fd00:1::c")
	reach(t, vms["c"], "10.1.0.97", "10.1.0.98", "fd00:1::b")
}

// encapsulated reads the lines of `ip -o route`: prefix and tunnel endpoints.
func encapsulated(out string) []string {
	var list []string
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		var targets []string
		for i, w := range words[:len(words)-1] {
			if w == "dst" {
				targets = append(targets, words[i+1])
			}
		}
		slices.Sort(targets)
		if words[0] == "default" || strings.Contains(words[0], ".") || strings.Contains(words[0], ":") {
			list = append(list, strings.Join(append(words[:1:1], targets...), " "))
		}
	}
	return list
}
