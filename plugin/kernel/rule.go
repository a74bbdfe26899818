package kernel

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/rib"
)

// deviceRuleOffset is added to kernel.rule-priority: the rules of NAT steering
// come before those that lead a device's packets to a table.
const deviceRuleOffset = 274

// rule leads what comes in by a device to the table of its VNI, which has no VRF
// to do so. What the table has no route for goes on to the rules behind it.
type rule struct {
	sys  *sockets
	vni  rib.VNI
	want ruleKey
	ours bool
}

// ruleKey is what a rule says.
type ruleKey struct {
	family   int
	priority int
	device   string
	table    int
	protocol uint8
}

// keyOf returns what a rule says, of those that say no more than ours.
func keyOf(r *netlink.Rule) (k ruleKey, ok bool) {
	ok = r.Src == nil && r.Dst == nil && r.Mark == 0 && r.Mask == nil && r.Tos == 0 && r.OifName == "" && !r.Invert &&
		r.Dport == nil && r.Sport == nil && r.IPProto == 0 && r.TunID == 0 && r.UIDRange == nil && r.Goto < 0
	return ruleKey{r.Family, r.Priority, r.IifName, r.Table, r.Protocol}, ok
}

func (k ruleKey) rule() *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.IifName, r.Table, r.Protocol = k.family, k.priority, k.device, k.table, k.protocol
	return r
}

// addRules adds the rules of a device, unless its VRF makes them unnecessary, or
// the table is the one that all packets end up in.
func (d *devices) addRules(v *config.VNI, device string) {
	if v.VRF != "" || v.Table == mainTable {
		return
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		d.add(&rule{sys: d.sys, vni: rib.VNI(v.VNI), want: ruleKey{
			family, int(d.cfg.RulePriority) + deviceRuleOffset, device, int(v.Table), d.cfg.Protocol,
		}})
	}
}

func (r *rule) info() DeviceInfo {
	family := "ip"
	if r.want.family == unix.AF_INET6 {
		family = "ip -6"
	}
	return DeviceInfo{Name: fmt.Sprintf("%s iif %s lookup %d", family, r.want.device, r.want.table), Kind: "rule", VNI: r.vni, Ours: r.ours}
}

func (r *rule) reconcile(f *found) (changed bool, err error) {
	r.ours = false
	var outdated []ruleKey
	there := false
	for i := range f.rules {
		have, ok := keyOf(&f.rules[i])
		if !ok || have.family != r.want.family || have.device != r.want.device {
			continue
		}
		same := have
		same.protocol = r.want.protocol
		switch {
		case have == r.want:
			there, r.ours = true, true
		case same == r.want:
			there = true // somebody else's
		case have.protocol == r.want.protocol && have.priority == r.want.priority:
			outdated = append(outdated, have) // ours, and it comes first
		}
	}
	if !there {
		if err := r.sys.RuleAdd(r.want.rule()); err != nil {
			return false, fmt.Errorf("adding it: %w", err)
		}
		r.ours = true
	}
	for _, k := range outdated {
		if err := r.sys.RuleDel(k.rule()); err != nil {
			return true, fmt.Errorf("removing the one for table %d: %w", k.table, err)
		}
	}
	return !there || len(outdated) > 0, nil
}
