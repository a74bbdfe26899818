package config

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// MAC is an Ethernet address.
type MAC [6]byte

// ParseMAC reads "02:00:c0:00:02:01".
func ParseMAC(s string) (MAC, error) {
	var m MAC
	parts := strings.Split(s, ":")
	for i, p := range parts {
		b, err := strconv.ParseUint(p, 16, 8)
		if err != nil || len(p) != 2 || len(parts) != len(m) {
			return MAC{}, fmt.Errorf("%s is not a MAC address, such as 02:00:c0:00:02:01", show(s))
		}
		m[i] = byte(b)
	}
	return m, nil
}

// String returns the text that ParseMAC reads.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// DomainID names a domain in D-PATH (RFC 10039): a 4-octet global and a 2-octet
// local administrator. The zero one is none.
type DomainID [6]byte

// ParseDomainID reads "65001:1". The zero one is refused.
func ParseDomainID(s string) (DomainID, error) {
	v, err := parseNumbers(s, 32, 16)
	if err != nil {
		return DomainID{}, notParsed(s, "a domain identifier, such as 65001:1", err)
	}
	var id DomainID
	binary.BigEndian.PutUint32(id[:], v[0])
	binary.BigEndian.PutUint16(id[4:], uint16(v[1]))
	if id == (DomainID{}) {
		return DomainID{}, errors.New("0:0 is reserved, want another domain identifier")
	}
	return id, nil
}

// String returns the text that ParseDomainID reads.
func (id DomainID) String() string {
	return fmt.Sprintf("%d:%d", binary.BigEndian.Uint32(id[:]), binary.BigEndian.Uint16(id[4:]))
}

// LabelRange is a range of MPLS labels, both ends included.
type LabelRange struct{ First, Last uint32 }

// The labels that are nobody's yet (RFC 7274 section 2, RFC 3032 section 2.1).
const (
	minLabel = 16
	maxLabel = 1<<20 - 1
)

// ParseLabelRange reads "100000-199999".
func ParseLabelRange(s string) (LabelRange, error) {
	first, last, err := parseRange(s, "labels", "label", "100000-199999", minLabel, maxLabel)
	return LabelRange{first, last}, err
}

// String returns the text that ParseLabelRange reads.
func (r LabelRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// NumberRange is a range of numbers, both ends included, 1 to 4294967295.
type NumberRange struct{ First, Last uint32 }

// ParseNumberRange reads "1000-1999".
func ParseNumberRange(s string) (NumberRange, error) {
	first, last, err := parseRange(s, "numbers", "number", "1000-1999", 1, math.MaxUint32)
	return NumberRange{first, last}, err
}

// String returns the text that ParseNumberRange reads.
func (r NumberRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// size returns how many numbers there are, 0 of the zero range.
func (r NumberRange) size() uint64 {
	if r == (NumberRange{}) {
		return 0
	}
	return uint64(r.Last) - uint64(r.First) + 1
}

func (r NumberRange) contains(n uint32) bool { return n >= r.First && n <= r.Last }

// parseRange reads a range of numbers between low and high; kind and one are
// the words for several and for one of them.
func parseRange(s, kind, one, example string, low, high uint64) (first, last uint32, err error) {
	from, to, found := strings.Cut(s, "-")
	if !found || !isDigits(from) || !isDigits(to) {
		return 0, 0, fmt.Errorf("%s is not a range of %s, such as %s", show(s), kind, example)
	}
	var ends [2]uint32
	for i, text := range []string{from, to} {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n < low || n > high {
			return 0, 0, fmt.Errorf("%s: %s %s is out of range (%d to %d)", show(s), one, show(text), low, high)
		}
		ends[i] = uint32(n)
	}
	if ends[0] > ends[1] {
		return 0, 0, fmt.Errorf("%s has no %s in it, want %d-%d", show(s), one, ends[1], ends[0])
	}
	return ends[0], ends[1], nil
}

// MSS is what becomes of the maximum segment size in TCP's SYN packets of
// tunnels: nothing (zero), or no more than the MTU of the route allows (MSSAuto)
// or a number of bytes.
type MSS uint16

// MSSAuto is what the MTU of the route allows.
const MSSAuto MSS = 1

// ParseMSS reads "off", "auto", or a number of bytes.
func ParseMSS(s string) (MSS, error) {
	const low, high = 500, math.MaxUint16
	switch s {
	case "off":
		return 0, nil
	case "auto":
		return MSSAuto, nil
	}
	if !isDigits(s) {
		return 0, fmt.Errorf("%s is not off, auto, or a number (%d to %d)", show(s), low, high)
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n < low {
		return 0, fmt.Errorf("%s is out of range (%d to %d)", show(s), low, high)
	}
	return MSS(n), nil
}

// String returns the text that ParseMSS reads.
func (m MSS) String() string {
	switch m {
	case 0:
		return "off"
	case MSSAuto:
		return "auto"
	}
	return strconv.Itoa(int(m))
}

// PaceMode is how the rate toward a MetalBond peer is found.
type PaceMode uint8

// The modes.
const (
	PaceAuto PaceMode = iota // as fast as the peer proves to take
	PaceOff                  // as fast as possible
	PaceRate                 // at most Rate
)

// Pace limits what is sent to a MetalBond peer in one burst.
type Pace struct {
	Mode PaceMode
	Rate int // PaceRate only: bytes per second, 1000 to 1000000000
}

const (
	minRate = 1000
	maxRate = 1000_000_000
)

// ParsePace reads "auto", "off", or a rate: "800000B/s", "400kB/s", "1MB/s". k
// and M are 1000 and 1000000.
func ParsePace(s string) (Pace, error) {
	switch s {
	case "auto":
		return Pace{}, nil
	case "off":
		return Pace{Mode: PaceOff}, nil
	}
	digits, unit := s, uint64(0)
	for _, u := range rateUnits {
		if d, found := strings.CutSuffix(s, u.name); found {
			digits, unit = d, u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	switch {
	case unit == 0, err != nil && !errors.Is(err, strconv.ErrRange):
		return Pace{}, fmt.Errorf("%s is not a pace (auto, off, or a rate such as 400kB/s)", show(s))
	case err != nil, n > maxRate/unit, n*unit < minRate:
		return Pace{}, fmt.Errorf("%s is out of range (1kB/s to 1000MB/s)", show(s))
	}
	return Pace{Mode: PaceRate, Rate: int(n * unit)}, nil
}

var rateUnits = []struct {
	name  string
	bytes uint64
}{{"MB/s", 1000_000}, {"kB/s", 1000}, {"B/s", 1}}

// String returns the text that ParsePace reads.
func (p Pace) String() string {
	switch p.Mode {
	case PaceAuto:
		return "auto"
	case PaceOff:
		return "off"
	}
	for _, u := range rateUnits {
		if rate := uint64(p.Rate); rate%u.bytes == 0 {
			return strconv.FormatUint(rate/u.bytes, 10) + u.name
		}
	}
	return ""
}

// PrefixRule allows or denies prefixes. It matches those that lie inside Prefix
// and are GE to LE bits long. Parse fills GE and LE in; in values made by hand,
// 0 and 0 match Prefix alone, and LE 0 with a GE means as long as the family
// has.
type PrefixRule struct {
	Allow  bool
	Prefix netip.Prefix // masked
	GE, LE int          // bits, both included
}

// Match reports whether the rule is about p.
func (r PrefixRule) Match(p netip.Prefix) bool {
	ge, le := r.bounds()
	return p.IsValid() && p.Bits() >= ge && p.Bits() <= le && r.Prefix.Contains(p.Addr())
}

// bounds returns the lengths that match.
func (r PrefixRule) bounds() (ge, le int) {
	ge, le = max(r.GE, r.Prefix.Bits()), r.LE
	if le == 0 {
		le = r.Prefix.Bits()
		if r.GE != 0 {
			le = r.Prefix.Addr().BitLen()
		}
	}
	return ge, le
}

// Permit reports whether the rules let p pass: the first that matches decides.
// No rules permit everything; if there are some and none matches, p is refused.
func Permit(rules []PrefixRule, p netip.Prefix) bool {
	for _, r := range rules {
		if r.Match(p) {
			return r.Allow
		}
	}
	return len(rules) == 0
}
