package kernel

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// CheckExternal checks that a device is there and an ip6tnl one in external
// mode, by which routes with encapsulation can leave. The error says how to make
// one.
func CheckExternal(device string) error {
	link, err := netlink.LinkByName(device)
	switch {
	case errors.As(err, new(netlink.LinkNotFoundError)):
		return fmt.Errorf("there is no device %s; make it with: ip link add %[1]s up type ip6tnl external", device)
	case err != nil:
		return fmt.Errorf("device %s: %w", device, err)
	}
	if err := checkExternal(link); err != nil {
		return fmt.Errorf("device %s %w; make one with: ip link add NAME up type ip6tnl external", device, err)
	}
	return nil
}
