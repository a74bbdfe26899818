package config

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Route distinguishers, route targets and Sites-of-Origin share one notation:
// ADMINISTRATOR:NUMBER, where the administrator is a 2-octet autonomous system
// (type 0, 32-bit number), an IPv4 address (type 1, 16-bit number) or a 4-octet
// autonomous system (type 2, 16-bit number). A 4-octet one that would fit into
// two octets is written with an L behind it, so that every value has exactly
// one text.

// ExtendedCommunity is a BGP extended community as it is on the wire
// (RFC 4360).
type ExtendedCommunity [8]byte

// RouteTarget is a route target (RFC 4360 section 4) as it is on the wire.
type RouteTarget [8]byte

// RD is a route distinguisher (RFC 4364 section 4.2) as it is on the wire. The
// zero RD is none.
type RD [8]byte

// The sub-types of RFC 4360 sections 4 and 5, and their names.
const (
	subTypeTarget = 0x02
	subTypeOrigin = 0x03
	targetName    = "target:"
	originName    = "origin:"
)

// NewRouteTarget returns the target with a 2-octet autonomous system.
func NewRouteTarget(as uint16, number uint32) RouteTarget {
	t := RouteTarget{1: subTypeTarget}
	binary.BigEndian.PutUint16(t[2:], as)
	binary.BigEndian.PutUint32(t[4:], number)
	return t
}

// NewRD returns the type 1 route distinguisher of a router's index. It panics
// if router is not an IPv4 address.
func NewRD(router netip.Addr, index uint16) RD {
	rd := RD{1: 1}
	a := router.As4()
	copy(rd[2:], a[:])
	binary.BigEndian.PutUint16(rd[6:], index)
	return rd
}

// ParseRouteTarget reads "target:65001:200" or "65001:200"; the administrator
// may be an IPv4 address or a 4-octet autonomous system. The error says what s
// is and what is allowed.
func ParseRouteTarget(s string) (RouteTarget, error) {
	v, err := parseAdministrated(strings.TrimPrefix(s, targetName))
	if err != nil {
		return RouteTarget{}, notParsed(s, "a route target, such as 65001:200 or target:192.0.2.1:200", err)
	}
	return RouteTarget(v.community(subTypeTarget)), nil
}

// ParseSiteOfOrigin reads "65001:1" with or without "target:" or "origin:"
// before it, and returns it as a route origin community (RFC 4360 section 5).
func ParseSiteOfOrigin(s string) (ExtendedCommunity, error) {
	number, found := strings.CutPrefix(s, originName)
	if !found {
		number = strings.TrimPrefix(s, targetName)
	}
	v, err := parseAdministrated(number)
	if err != nil {
		return ExtendedCommunity{}, notParsed(s, "a Site-of-Origin, such as 65001:1 or origin:192.0.2.1:1", err)
	}
	return v.community(subTypeOrigin), nil
}

// ParseRD reads "192.0.2.1:200", "65001:200" or "4200000000:200". The zero RD
// is refused.
func ParseRD(s string) (RD, error) {
	v, err := parseAdministrated(s)
	if err != nil {
		return RD{}, notParsed(s, "a route distinguisher, such as 65001:200 or 192.0.2.1:200", err)
	}
	rd := RD{1: v.kind}
	copy(rd[2:], v.value[:])
	if rd == (RD{}) {
		return RD{}, errors.New("0:0 is reserved, want another route distinguisher")
	}
	return rd, nil
}

// String returns "target:65001:200".
func (t RouteTarget) String() string { return ExtendedCommunity(t).String() }

// Number returns the local administrator, the part behind the last colon; ok
// is false if t is of a type that has none.
func (t RouteTarget) Number() (number uint32, ok bool) {
	if t[1] != subTypeTarget {
		return 0, false
	}
	switch t[0] {
	case 0:
		return binary.BigEndian.Uint32(t[4:]), true
	case 1, 2:
		return uint32(binary.BigEndian.Uint16(t[6:])), true
	}
	return 0, false
}

// String returns "target:65001:200" or "origin:65001:1", and hexadecimal
// digits for what is neither.
func (c ExtendedCommunity) String() string {
	if c[0] <= 2 {
		text := administrated{kind: c[0], value: [6]byte(c[2:])}.String()
		switch c[1] {
		case subTypeTarget:
			return targetName + text
		case subTypeOrigin:
			return originName + text
		}
	}
	return "0x" + hex.EncodeToString(c[:])
}

// String returns the text that ParseRD reads, and hexadecimal digits for an
// unknown type.
func (rd RD) String() string {
	if rd[0] == 0 && rd[1] <= 2 {
		return administrated{kind: rd[1], value: [6]byte(rd[2:])}.String()
	}
	return "0x" + hex.EncodeToString(rd[:])
}

// TargetMatch is a route target that is looked for: one exactly, or any
// autonomous system with a number, as automatic imports do.
type TargetMatch struct {
	Any    bool        // match every administrator
	Number uint32      // of Any: the local administrator
	Target RouteTarget // otherwise: this one
}

// ParseTargetMatch reads what ParseRouteTarget reads, or "*:200".
func ParseTargetMatch(s string) (TargetMatch, error) {
	const want = "a route target, such as 65001:200, target:192.0.2.1:200 or *:200"
	text := strings.TrimPrefix(s, targetName)
	if number, found := strings.CutPrefix(text, "*:"); found {
		n, err := parseNumber(number, 32)
		if err != nil {
			return TargetMatch{}, notParsed(s, want, err)
		}
		return TargetMatch{Any: true, Number: n}, nil
	}
	v, err := parseAdministrated(text)
	if err != nil {
		return TargetMatch{}, notParsed(s, want, err)
	}
	return TargetMatch{Target: RouteTarget(v.community(subTypeTarget))}, nil
}

// Match reports whether t is looked for.
func (m TargetMatch) Match(t RouteTarget) bool {
	if !m.Any {
		return t == m.Target
	}
	number, ok := t.Number()
	return ok && number == m.Number
}

// String returns the text that ParseTargetMatch reads.
func (m TargetMatch) String() string {
	if m.Any {
		return fmt.Sprintf("target:*:%d", m.Number)
	}
	return m.Target.String()
}

// administrated is the part that the three have in common: type and value.
type administrated struct {
	kind  byte
	value [6]byte
}

func (a administrated) community(sub byte) ExtendedCommunity {
	c := ExtendedCommunity{a.kind, sub}
	copy(c[2:], a.value[:])
	return c
}

func (a administrated) String() string {
	v := a.value[:]
	switch a.kind {
	case 0:
		return fmt.Sprintf("%d:%d", binary.BigEndian.Uint16(v), binary.BigEndian.Uint32(v[2:]))
	case 1:
		return fmt.Sprintf("%s:%d", netip.AddrFrom4([4]byte(v)), binary.BigEndian.Uint16(v[4:]))
	}
	as := binary.BigEndian.Uint32(v)
	if as <= 0xffff {
		return fmt.Sprintf("%dL:%d", as, binary.BigEndian.Uint16(v[4:]))
	}
	return fmt.Sprintf("%d:%d", as, binary.BigEndian.Uint16(v[4:]))
}

// errForm is the error of what does not have the form at all.
var errForm = errors.New("not of that form")

func notParsed(s, want string, err error) error {
	if errors.Is(err, errForm) {
		return fmt.Errorf("%s is not %s", show(s), want)
	}
	return fmt.Errorf("%s: %w", show(s), err)
}

func parseAdministrated(s string) (a administrated, err error) {
	admin, number, found := strings.Cut(s, ":")
	if !found {
		return a, errForm
	}
	bits := 16
	if strings.Contains(admin, ".") {
		addr, err := netip.ParseAddr(admin)
		if err != nil {
			return a, errForm
		}
		v := addr.As4()
		a.kind = 1
		copy(a.value[:], v[:])
	} else {
		digits, long := strings.CutSuffix(admin, "L")
		as, err := parseNumber(digits, 32)
		switch {
		case errors.Is(err, errForm):
			return a, err
		case err != nil:
			return a, fmt.Errorf("autonomous system %w", err)
		case long || as > 0xffff:
			a.kind = 2
			binary.BigEndian.PutUint32(a.value[:], as)
		default:
			bits = 32
			binary.BigEndian.PutUint16(a.value[:], uint16(as))
		}
	}
	n, err := parseNumber(number, bits)
	switch {
	case errors.Is(err, errForm):
		return a, err
	case err != nil:
		return a, fmt.Errorf("number %w", err)
	case bits == 32:
		binary.BigEndian.PutUint32(a.value[2:], n)
	default:
		binary.BigEndian.PutUint16(a.value[4:], uint16(n))
	}
	return a, nil
}

// parseNumber reads decimal digits.
func parseNumber(s string, bits int) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, bits)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%s is out of range (0 to %d)", show(s), uint64(1)<<bits-1)
	case err != nil:
		return 0, errForm
	}
	return uint32(n), nil
}

// parseNumbers reads numbers with colons between them, of so many bits each.
func parseNumbers(s string, bits ...int) ([]uint32, error) {
	parts := strings.Split(s, ":")
	if len(parts) != len(bits) {
		return nil, errForm
	}
	numbers := make([]uint32, len(parts))
	for i, part := range parts {
		n, err := parseNumber(part, bits[i])
		switch {
		case errors.Is(err, errForm):
			return nil, err
		case err != nil:
			return nil, fmt.Errorf("number %w", err)
		}
		numbers[i] = n
	}
	return numbers, nil
}
