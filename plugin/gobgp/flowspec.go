package gobgp

import (
	"fmt"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
)

// Operators of numeric components (RFC 8955 section 4.2.1.1). The end of the
// list is GoBGP's to mark. Ports always have two octets, so that equal ranges
// are equal in bytes.
const (
	opEqual   = 0x01
	opAtLeast = 0x03
	opAndUpTo = 0x45
	twoOctets = 0x10
)

// Sub-types of address-specific communities that say where a flow goes.
const (
	redirectIP = 0x0c // to the address (draft-ietf-idr-flowspec-redirect-ip)
	redirectRT = 0x0d // to the VRF that imports the route target; IPv6 (RFC 8956 section 6.1)
)

// flowSpec returns the NLRI of RFC 8955 section 4 or RFC 8956 section 3 of a
// range of destination ports: destination prefix, protocol, ports.
func flowSpec(n bridge.NLRI) (bgp.NLRI, error) {
	if n.Flow.First > n.Flow.Last {
		return nil, fmt.Errorf("ports %d to %d are no range", n.Flow.First, n.Flow.Last)
	}
	prefix := &bgp.IPAddrPrefix{IPAddrPrefixDefault: bgp.IPAddrPrefixDefault{Prefix: n.Prefix}}
	var destination bgp.FlowSpecComponentInterface = bgp.NewFlowSpecDestinationPrefix(prefix)
	if n.Prefix.Addr().Is6() {
		destination = bgp.NewFlowSpecDestinationPrefix6(prefix, 0)
	}
	ports := []*bgp.FlowSpecComponentItem{port(opEqual, n.Flow.First)}
	if n.Flow.First != n.Flow.Last {
		ports = []*bgp.FlowSpecComponentItem{port(opAtLeast, n.Flow.First), port(opAndUpTo, n.Flow.Last)}
	}
	return bgp.NewFlowSpecUnicast(families[familyOfNLRI(n)], []bgp.FlowSpecComponentInterface{
		destination,
		bgp.NewFlowSpecComponent(bgp.FLOW_SPEC_TYPE_IP_PROTO, []*bgp.FlowSpecComponentItem{
			bgp.NewFlowSpecComponentItem(opEqual, uint64(n.Flow.Protocol)),
		}),
		bgp.NewFlowSpecComponent(bgp.FLOW_SPEC_TYPE_DST_PORT, ports),
	})
}

func port(op uint8, n uint16) *bgp.FlowSpecComponentItem {
	return bgp.NewFlowSpecComponentItem(op|twoOctets, uint64(n))
}

// redirectToNextHop is the community of draft-simpson-idr-flowspec-redirect:
// the address to redirect to is the next hop.
var redirectToNextHop = bridge.ExtendedCommunity{0x08, 0x00}

// redirect returns the communities that say where a flow goes: those of 8
// octets and those of 20. GoBGP sends flow specifications without next hop, so
// what is to go to the next hop is redirected to its address.
func redirect(a *bridge.Attributes) (short, long []bgp.ExtendedCommunityInterface, err error) {
	var c bgp.ExtendedCommunityInterface
	switch {
	case a.Redirect == redirectToNextHop && a.NextHop.Is4():
		if c, err = bgp.NewIPv4AddressSpecificExtended(redirectIP, a.NextHop, 0, true); err != nil {
			return nil, nil, err
		}
		short = append(short, c)
	case a.Redirect == redirectToNextHop:
		if c, err = bgp.NewIPv6AddressSpecificExtended(redirectIP, a.NextHop, 0, true); err != nil {
			return nil, nil, fmt.Errorf("redirect to %v: %w", a.NextHop, err)
		}
		long = append(long, c)
	case a.Redirect != (bridge.ExtendedCommunity{}):
		if c, err = bgp.ParseExtended(a.Redirect[:]); err != nil {
			return nil, nil, fmt.Errorf("redirect %x: %w", a.Redirect, err)
		}
		short = append(short, c)
	}
	if a.RedirectIPv6 {
		if c, err = bgp.NewIPv6AddressSpecificExtended(redirectRT, a.RedirectTo, a.RedirectLocal, true); err != nil {
			return nil, nil, fmt.Errorf("redirect to %v: %w", a.RedirectTo, err)
		}
		long = append(long, c)
	}
	return short, long, nil
}
