package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// vteps are the VTEPs that the routes of a VNI use. Their hops may contradict
// each other for a while, when a VTEP's MAC address changes, or for good, if two
// VTEPs say that they have the same one: the last one counts.
type vteps struct {
	byAddr map[netip.Addr][]hop // in the order in which they came; none is empty
	byMAC  map[[6]byte][]hop
}

func newVTEPs() vteps {
	return vteps{byAddr: map[netip.Addr][]hop{}, byMAC: map[[6]byte][]hop{}}
}

// addVTEP makes the entries of a VTEP; it is called for the first use of a hop.
// After an error there are none.
func (d *devices) addVTEP(h hop) error {
	x := d.vxlans[h.vni]
	if x == nil {
		return fmt.Errorf("VNI %d has no VXLAN device for VTEP %v", h.vni, h.target)
	}
	if x.index == 0 {
		return fmt.Errorf("VTEP %v: the VXLAN device %s does not serve", h.target, x.name())
	}
	if h.target.Is4() != x.local.Is4() {
		return fmt.Errorf("VTEP %v is of another address family than vxlan.local (%v)", h.target, x.local)
	}
	v := &x.vteps
	v.byAddr[h.target] = append(v.byAddr[h.target], h)
	v.byMAC[h.mac] = append(v.byMAC[h.mac], h)
	// Packets are sent to a new MAC address once it is known where that is.
	err := x.sys.set(x.forwarding(h))
	if err == nil {
		err = x.sys.set(x.neighbor(h))
	}
	if err != nil {
		return errors.Join(err, d.removeVTEP(h))
	}
	return nil
}

// removeVTEP removes the entries of a VTEP, or puts those back that another hop
// needs; it is called for the last use of a hop.
func (d *devices) removeVTEP(h hop) error {
	x := d.vxlans[h.vni]
	if x == nil {
		return nil
	}
	v := &x.vteps
	addrs := drop(v.byAddr, h.target, h)
	macs := drop(v.byMAC, h.mac, h)
	if x.index == 0 {
		return nil
	}
	var errs []error
	if heir, ok := last(addrs); ok {
		errs = append(errs, x.sys.set(x.forwarding(heir)), x.sys.set(x.neighbor(heir)))
	} else {
		errs = append(errs, x.sys.unset(x.neighbor(h)))
	}
	if heir, ok := last(macs); ok {
		errs = append(errs, x.sys.set(x.forwarding(heir)))
	} else {
		errs = append(errs, x.sys.unset(x.forwarding(h)))
	}
	return errors.Join(errs...)
}

// drop takes h out of a list and returns what is left of it.
func drop[K comparable](lists map[K][]hop, key K, h hop) []hop {
	list := lists[key]
	if i := slices.Index(list, h); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if lists[key] = list; len(list) == 0 {
		delete(lists, key)
	}
	return list
}

func last(list []hop) (hop, bool) {
	if len(list) == 0 {
		return hop{}, false
	}
	return list[len(list)-1], true
}

// conflict says which VTEPs contradict each other, "" if none do.
func (x *vxlan) conflict() string {
	for _, addr := range slices.SortedFunc(maps.Keys(x.vteps.byAddr), netip.Addr.Compare) {
		if list := x.vteps.byAddr[addr]; len(list) > 1 && list[0].mac != list[1].mac {
			h, _ := last(list)
			return fmt.Sprintf("routes give VTEP %v several MAC addresses, %v is used", addr, net.HardwareAddr(h.mac[:]))
		}
	}
	byMAC := func(a, b [6]byte) int { return slices.Compare(a[:], b[:]) }
	for _, mac := range slices.SortedFunc(maps.Keys(x.vteps.byMAC), byMAC) {
		list := x.vteps.byMAC[mac]
		h, _ := last(list)
		for _, other := range list[:len(list)-1] {
			if other.target != h.target || other.label != h.label {
				return fmt.Sprintf("routes give the MAC address %v to several VTEPs, %v (VNI %d) is used",
					net.HardwareAddr(mac[:]), h.target, cmp.Or(h.label, uint32(x.vni)))
			}
		}
	}
	return ""
}

// neighbor returns the neighbour entry of a hop. Routes of both families have
// IPv6 gateways, so that an IPv4 VTEP is written as an IPv6 address.
func (x *vxlan) neighbor(h hop) neighbor {
	return neighbor{family: unix.AF_INET6, device: x.index, mac: h.mac, addr: netip.AddrFrom16(h.target.As16()), protocol: x.protocol}
}

// forwarding returns the entry of the forwarding database of a hop.
func (x *vxlan) forwarding(h hop) neighbor {
	n := neighbor{family: unix.AF_BRIDGE, device: x.index, mac: h.mac, addr: h.target}
	if h.label != uint32(x.vni) {
		n.vni = h.label
	}
	return n
}

// entries returns all entries that there should be.
func (x *vxlan) entries() map[neighborKey]neighbor {
	entries := make(map[neighborKey]neighbor, len(x.vteps.byAddr)+len(x.vteps.byMAC))
	for _, list := range x.vteps.byMAC {
		h, _ := last(list)
		n := x.forwarding(h)
		entries[n.key()] = n
	}
	for _, list := range x.vteps.byAddr {
		h, _ := last(list)
		n := x.neighbor(h)
		entries[n.key()] = n
	}
	return entries
}

// reconcileVTEPs puts entries back that are not there any more or have changed,
// and returns how many.
func (x *vxlan) reconcileVTEPs() (restored int, err error) {
	if x.index == 0 || len(x.vteps.byAddr) == 0 {
		return 0, nil
	}
	missing := x.entries()
	have, err := x.sys.neighbors(x.index)
	if err != nil {
		return 0, err
	}
	for _, n := range have {
		if want, ok := missing[n.key()]; ok && n.serves(want) {
			delete(missing, n.key())
		}
	}
	for _, n := range missing {
		if err := x.sys.set(n); err != nil {
			return restored, err
		}
		restored++
	}
	return restored, nil
}

// sweep removes the entries that nothing needs. On a device that is ours these
// are all; on somebody else's those that carry our mark, and where the forwarding
// database has their MAC addresses.
func (x *vxlan) sweep() error {
	if x.index == 0 {
		return nil
	}
	have, err := x.sys.neighbors(x.index)
	if err != nil {
		return err
	}
	wanted, marked := x.entries(), map[[6]byte]bool{}
	for _, n := range have {
		if n.protocol == x.protocol {
			marked[n.mac] = true
		}
	}
	var errs []error
	for _, n := range have {
		if _, ok := wanted[n.key()]; !ok && n.permanent && (x.ours || marked[n.mac]) {
			errs = append(errs, x.sys.unset(n))
		}
	}
	return errors.Join(errs...)
}
