package gobgp

import (
	"errors"
	"fmt"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"mbbgp/bridge"
)

// The D-PATH attribute (RFC 10039), which GoBGP does not know: segments of a
// count of domains in one octet and so many domains of seven octets, the latest
// domain first. How a path is cut into segments means nothing.

const (
	attrDPath    = bgp.BGPAttrType(36)
	flagsDPath   = bgp.BGP_ATTR_FLAG_OPTIONAL | bgp.BGP_ATTR_FLAG_TRANSITIVE
	domainOctets = 7 // global administrator 4, local administrator 2, ISF_SAFI_TYPE 1
	maxSegment   = 255
)

// dPath returns the attribute of a path of at least one domain.
func dPath(path []bridge.Domain) *bgp.PathAttributeUnknown {
	return bgp.NewPathAttributeUnknown(flagsDPath, attrDPath, appendDPath(nil, path))
}

// appendDPath appends the value of the attribute.
func appendDPath(b []byte, path []bridge.Domain) []byte {
	for len(path) > 0 {
		n := min(len(path), maxSegment)
		b = append(b, byte(n))
		for _, d := range path[:n] {
			b = append(append(b, d.ID[:]...), d.SAFI)
		}
		path = path[n:]
	}
	return b
}

// parseDPath reads the value of the attribute.
func parseDPath(b []byte) ([]bridge.Domain, error) {
	if len(b) == 0 {
		return nil, errors.New("D-PATH without a domain")
	}
	var path []bridge.Domain
	for len(b) > 0 {
		n := int(b[0])
		b = b[1:]
		if n == 0 {
			return nil, errors.New("D-PATH segment without a domain")
		}
		if len(b) < n*domainOctets {
			return nil, fmt.Errorf("D-PATH segment of %d domains in %d octets: want %d", n, len(b), n*domainOctets)
		}
		for range n {
			path = append(path, bridge.Domain{ID: [6]byte(b[:6]), SAFI: b[6]})
			b = b[domainOctets:]
		}
	}
	return path, nil
}
