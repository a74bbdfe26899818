package kernel

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"mbbgp/rib"
)

// aliasOf returns the alias (IFLA_IFALIAS) of the devices that a process with a
// protocol number has made. Those of a VNI have the VNI behind it.
func aliasOf(protocol uint8) string { return fmt.Sprintf("mbbgp %d", protocol) }

const aliasVNI = " vni "

// addrGenModeNone is IN6_ADDR_GEN_MODE_NONE: no link-local address.
const addrGenModeNone = 1

// device is a network interface that has to be there.
type device struct {
	sys      *sockets
	want     netlink.Link                  // as it is made: name, kind and what belongs to it
	vni      rib.VNI                       // 0: of all
	master   *device                       // VRF that it is in; nil: none
	manual   string                        // not "": it is not made, and this is how somebody else does it
	check    func(have netlink.Link) error // whether one that is there can serve, up to what can be changed
	hint     string                        // what to do if the kernel cannot make it
	protocol uint8
	others   bool // it is somebody else's, whatever its alias says

	index int    // interface index; 0: not there, or it does not serve
	kind  string // of what is there
	ours  bool
}

func (d *device) name() string { return d.want.Attrs().Name }

func (d *device) alias() string {
	if d.vni == 0 {
		return aliasOf(d.protocol)
	}
	return fmt.Sprint(aliasOf(d.protocol), aliasVNI, d.vni)
}

func (d *device) info() DeviceInfo {
	return DeviceInfo{Name: d.name(), Kind: d.kind, VNI: d.vni, Ours: d.ours}
}

// reconcile makes the device, or puts right what is wrong with it if it is ours.
func (d *device) reconcile(f *found) (changed bool, err error) {
	d.index = 0
	have := f.links[d.name()]
	d.ours = !d.others && have != nil && have.Attrs().Alias == d.alias()
	if have != nil {
		if err := d.check(have); err != nil {
			if !d.ours {
				return false, err
			}
			// The configuration has changed, and these values cannot be.
			if err := d.sys.LinkDel(have); err != nil {
				return false, fmt.Errorf("removing it to make it anew: %w", err)
			}
			f.remove(have)
			have = nil
		}
	}
	if have == nil {
		if have, err = d.make(f); err != nil {
			return false, err
		}
		changed = true
	}
	d.kind = have.Type()
	mended, err := d.mend(f, have)
	if err == nil && mended {
		if have, err = d.sys.LinkByName(d.name()); err == nil {
			f.add(have)
		}
	}
	if err != nil {
		return changed || mended, err
	}
	d.index = have.Attrs().Index
	return changed || mended, nil
}

// ready says whether a VRF can be used. None can always.
func (d *device) ready() error {
	if d != nil && d.index == 0 {
		return fmt.Errorf("needs VRF %s, which does not serve", d.name())
	}
	return nil
}

// make makes the device. It is down, so that its master comes before what is
// done to it when it goes up, and before routes: changing a master loses them.
func (d *device) make(f *found) (netlink.Link, error) {
	if d.manual != "" {
		return nil, errors.New("is not there: " + d.manual)
	}
	if err := d.master.ready(); err != nil {
		return nil, err
	}
	if err := d.sys.LinkAdd(d.want); err != nil {
		return nil, d.refused(f, err)
	}
	have, err := d.sys.LinkByName(d.name())
	if err != nil {
		return nil, err
	}
	// Not before it is there: the kernel ignores an alias in the request that makes it.
	if err := d.sys.LinkSetAlias(have, d.alias()); err != nil {
		return nil, errors.Join(fmt.Errorf("setting its alias: %w", err), d.sys.LinkDel(have))
	}
	if have.Type() != "vrf" {
		// Nobody is reached by link-local addresses, and the kernel does without.
		if err := d.sys.LinkSetIP6AddrGenMode(have, addrGenModeNone); err != nil {
			return nil, errors.Join(fmt.Errorf("switching off its link-local address: %w", err), d.sys.LinkDel(have))
		}
	}
	f.add(have)
	d.ours = true
	return have, nil
}

// refused says why the kernel does not make the device.
func (d *device) refused(f *found, err error) error {
	kind := d.want.Type()
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("the kernel has no %s devices: %s", kind, d.hint)
	case errors.Is(err, unix.EEXIST):
		for name, other := range f.links {
			if other.Type() == kind && d.check(other) == nil {
				return fmt.Errorf("cannot be made because %s does the same: remove it, or name it in the configuration", name)
			}
		}
	}
	return fmt.Errorf("making a device of type %s: %w", kind, err)
}

// mend puts right what can be changed of a device that is ours, and says what is
// wrong with somebody else's.
func (d *device) mend(f *found, have netlink.Link) (changed bool, err error) {
	if err := d.master.ready(); err != nil {
		return false, err
	}
	a, want, master := have.Attrs(), d.want.Attrs(), 0
	if d.master != nil {
		master = d.master.index
	}
	// Whatever the tunnel device of somebody else is in, it serves.
	if a.MasterIndex != master && (d.ours || d.vni != 0) {
		if !d.ours {
			return changed, d.wrongMaster(f, a.MasterIndex)
		}
		if err := d.sys.LinkSetMasterByIndex(have, master); err != nil {
			return changed, fmt.Errorf("setting its VRF: %w", err)
		}
		changed = true
	}
	if len(want.HardwareAddr) > 0 && !bytes.Equal(a.HardwareAddr, want.HardwareAddr) {
		if !d.ours {
			return changed, fmt.Errorf("has the MAC address %v: ip link set %s address %v", a.HardwareAddr, a.Name, want.HardwareAddr)
		}
		if err := d.sys.LinkSetHardwareAddr(have, want.HardwareAddr); err != nil {
			return changed, fmt.Errorf("setting its MAC address: %w", err)
		}
		changed = true
	}
	if want.MTU != 0 && a.MTU != want.MTU && d.ours {
		if err := d.sys.LinkSetMTU(have, want.MTU); err != nil {
			return changed, fmt.Errorf("setting its MTU to %d: %w", want.MTU, err)
		}
		changed = true
	}
	if a.RawFlags&unix.IFF_UP == 0 {
		if !d.ours {
			return changed, fmt.Errorf("is down: ip link set %s up", a.Name)
		}
		if err := d.sys.LinkSetUp(have); err != nil {
			return changed, fmt.Errorf("setting it up: %w", err)
		}
		changed = true
	}
	return changed, nil
}

// wrongMaster says what is wrong with the master of somebody else's device.
func (d *device) wrongMaster(f *found, index int) error {
	master := f.name(index)
	switch {
	case index != 0 && f.links[master] != nil && f.links[master].Type() == "bridge":
		return fmt.Errorf("is a port of bridge %s, want a device that packets are routed to: ip link set %s nomaster", master, d.name())
	case d.master == nil:
		return fmt.Errorf("belongs to device %s: ip link set %s nomaster", master, d.name())
	}
	return fmt.Errorf("is not in VRF %s: ip link set %s master %[1]s", d.master.name(), d.name())
}

// wrongKind is the error for a device that is of another kind.
func wrongKind(have netlink.Link, want string) error {
	kind := have.Type()
	if kind == "device" { // what the library calls hardware and lo
		kind = "none"
	}
	return fmt.Errorf("is of type %s, want %s", kind, want)
}
