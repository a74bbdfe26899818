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

// vtepGateway returns the gateway of the routes that go to a VTEP: a link-local
// address made of the Router's MAC (RFC 4291 appendix A), whose neighbour entry
// says just that MAC address.
//
// The VTEP's own address would not do. The kernel refuses a gateway that it has
// another way to: without a VRF every IPv6 VTEP, in a VRF those that a prefix of
// the tenant covers. And a VTEP whose MAC address changes has two for a while.
func vtepGateway(h hop) netip.Addr {
	m := h.mac
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
}

// vteps are the hops in use of each MAC address, in the order in which they came.
// There are several if two VTEPs say that they have the same one, or if one has
// several VNIs: the last one counts. No list is empty.
type vteps map[[6]byte][]hop

// addVTEP makes the entries of a VTEP; it is called for the first use of a hop.
// After an error there are none.
func (d *devices) addVTEP(h hop) error {
	x := d.vxlans[h.vni]
	switch {
	case x == nil:
		return fmt.Errorf("VNI %d has no VXLAN device for VTEP %v", h.vni, h.target)
	case x.index == 0:
		return fmt.Errorf("VTEP %v: the VXLAN device %s does not serve", h.target, x.name())
	case h.target.Is4() != x.local.Is4():
		return fmt.Errorf("VTEP %v is of another address family than vxlan.local (%v)", h.target, x.local)
	}
	x.vteps[h.mac] = append(x.vteps[h.mac], h)
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
	list := x.vteps[h.mac]
	i := slices.Index(list, h)
	if i < 0 {
		return nil
	}
	list = slices.Delete(list, i, i+1)
	if len(list) > 0 {
		x.vteps[h.mac] = list
	} else {
		delete(x.vteps, h.mac)
	}
	switch {
	case x.index == 0:
		return nil
	case len(list) > 0:
		return x.sys.set(x.forwarding(list[len(list)-1]))
	}
	return errors.Join(x.sys.unset(x.neighbor(h)), x.sys.unset(x.forwarding(h)))
}

// conflict says which VTEPs contradict each other, "" if none do.
func (x *vxlan) conflict() string {
	for _, mac := range slices.SortedFunc(maps.Keys(x.vteps), func(a, b [6]byte) int { return slices.Compare(a[:], b[:]) }) {
		list := x.vteps[mac]
		if used := list[len(list)-1]; len(list) > 1 {
			return fmt.Sprintf("routes give the MAC address %v to several VTEPs, or to several VNIs of one: VTEP %v with VNI %d is used",
				net.HardwareAddr(mac[:]), used.target, cmp.Or(used.label, uint32(x.vni)))
		}
	}
	return ""
}

// neighbor returns the neighbour entry of a hop.
func (x *vxlan) neighbor(h hop) neighbor {
	return neighbor{family: unix.AF_INET6, device: x.index, mac: h.mac, addr: vtepGateway(h), protocol: x.protocol}
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
	entries := make(map[neighborKey]neighbor, 2*len(x.vteps))
	for _, list := range x.vteps {
		used := list[len(list)-1]
		for _, n := range []neighbor{x.forwarding(used), x.neighbor(used)} {
			entries[n.key()] = n
		}
	}
	return entries
}

// reconcileVTEPs puts entries back that are not there any more or have changed,
// and returns how many.
func (x *vxlan) reconcileVTEPs() (restored int, err error) {
	if x.index == 0 || len(x.vteps) == 0 {
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
		ours := x.ours || n.protocol == x.protocol || n.family == unix.AF_BRIDGE && marked[n.mac]
		if _, ok := wanted[n.key()]; !ok && n.permanent && ours {
			errs = append(errs, x.sys.unset(n))
		}
	}
	return errors.Join(errs...)
}
