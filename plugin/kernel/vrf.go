package kernel

import (
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink"

	"mbbgp/config"
	"mbbgp/rib"
)

// newVRF returns the VRF device of a VNI's table.
func newVRF(sys *sockets, v *config.VNI) *device {
	want := &netlink.Vrf{LinkAttrs: newAttrs(v.VRF), Table: v.Table}
	return &device{
		sys: sys, vni: rib.VNI(v.VNI), want: want, kind: "vrf",
		hint: "modprobe vrf, or leave vrf away",
		check: func(have netlink.Link) error {
			vrf, ok := have.(*netlink.Vrf)
			switch {
			case !ok:
				return wrongKind(have, "vrf")
			case vrf.Table != want.Table:
				return fmt.Errorf("is the VRF of table %d, want %d", vrf.Table, want.Table)
			}
			return nil
		},
	}
}

// newAttrs returns the attributes of a device that is to be made.
func newAttrs(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name = name
	return a
}

// sysctl returns the value of a kernel parameter, such as net/vrf/strict_mode,
// "" if there is none.
func sysctl(path string) string {
	b, err := os.ReadFile("/proc/sys/" + path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
