package metalbond

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"mbbgp/rib"
)

const announcementForms = "VNI#PREFIX#NEXTHOP[#STD|LB|NAT[#FROM#TO]] or VNI#PREFIX@NEXTHOP[#std|lb|nat[#FROM#TO]]"

// ParseAnnouncement parses a route of the command line, in metalbond's form
// VNI#PREFIX#NEXTHOP[#STD|LB|NAT[#FROM#TO]] or rustbond's
// VNI#PREFIX@NEXTHOP[#std|lb|nat[#FROM#TO]]. VNI is 0 to 4294967295, PREFIX has
// no host bits, NEXTHOP is an IPv6 address, the type is in any case and NAT
// needs its two ports.
func ParseAnnouncement(s string) (rib.VNI, netip.Prefix, rib.NextHop, error) {
	vni, p, nh, err := parseAnnouncement(s)
	if err != nil {
		return 0, netip.Prefix{}, rib.NextHop{}, fmt.Errorf("announcement %q: %w", s, err)
	}
	return vni, p, nh, nil
}

func parseAnnouncement(s string) (vni rib.VNI, p netip.Prefix, nh rib.NextHop, err error) {
	fields := strings.Split(s, "#")
	if len(fields) > 1 {
		// rustbond's form becomes metalbond's.
		if prefix, hop, ok := strings.Cut(fields[1], "@"); ok {
			fields = append([]string{fields[0], prefix, hop}, fields[2:]...)
		}
	}
	if len(fields) < 3 {
		return 0, p, nh, fmt.Errorf("the form is %s", announcementForms)
	}
	number, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil {
		return 0, p, nh, fmt.Errorf("vni: %q is not a number from 0 to 4294967295", fields[0])
	}
	if p, err = netip.ParsePrefix(fields[1]); err != nil || p.Addr().Is4In6() {
		return 0, p, nh, fmt.Errorf("prefix: %q is not an IPv4 or IPv6 prefix like 10.0.0.0/24", fields[1])
	}
	if p != p.Masked() {
		return 0, p, nh, fmt.Errorf("prefix: %s has bits set behind its length, %s is the prefix", p, p.Masked())
	}
	nh.Target, err = netip.ParseAddr(fields[2])
	if err != nil || !nh.Target.Is6() || nh.Target.Is4In6() || nh.Target.Zone() != "" || nh.Target.IsUnspecified() || nh.Target.IsMulticast() {
		return 0, p, nh, fmt.Errorf("next hop: %q is not an IPv6 unicast address", fields[2])
	}
	if nh, err = parseHopType(nh, fields[3:]); err != nil {
		return 0, p, nh, err
	}
	return rib.VNI(number), p, nh, nil
}

// parseHopType parses what stands behind the next hop's address.
func parseHopType(nh rib.NextHop, fields []string) (rib.NextHop, error) {
	if len(fields) == 0 {
		return nh, nil
	}
	switch strings.ToLower(fields[0]) {
	case "std":
		nh.Type = rib.Standard
	case "lb":
		nh.Type = rib.LoadBalancerTarget
	case "nat":
		return parseNAT(nh, fields[1:])
	default:
		return nh, fmt.Errorf("type: %q is none of std, lb and nat", fields[0])
	}
	if len(fields) > 1 {
		return nh, fmt.Errorf("type: %s has no ports, only nat has", fields[0])
	}
	return nh, nil
}

func parseNAT(nh rib.NextHop, fields []string) (rib.NextHop, error) {
	if len(fields) != 2 {
		return nh, fmt.Errorf("type: nat needs two ports, nat#FROM#TO")
	}
	var ports [2]uint16
	for i, field := range fields {
		port, err := strconv.ParseUint(field, 10, 16)
		if err != nil {
			return nh, fmt.Errorf("port: %q is not a number from 0 to 65535", field)
		}
		ports[i] = uint16(port)
	}
	if ports[0] > ports[1] {
		return nh, fmt.Errorf("ports: %d to %d is no range, the first must not be above the second", ports[0], ports[1])
	}
	nh.Type, nh.NATFrom, nh.NATTo = rib.NAT, ports[0], ports[1]
	return nh, nil
}
