package metalbond

import (
	"errors"
	"net/netip"

	"mbbgp/rib"
)

// ParseAnnouncement parses a route of the command line, in metalbond's form
// VNI#PREFIX#NEXTHOP[#STD|LB|NAT[#FROM#TO]] or rustbond's
// VNI#PREFIX@NEXTHOP[#std|lb|nat[#FROM#TO]].
func ParseAnnouncement(s string) (rib.VNI, netip.Prefix, rib.NextHop, error) {
	return 0, netip.Prefix{}, rib.NextHop{}, errors.New("not an announcement")
}
