package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The decoder reads a value of one type from one node. A method that reports
// an error returns the zero value and decoding goes on, so that one run finds
// everything that is wrong. Every error names the value and says what is
// allowed, in the one form that wrong and bad give it.

type decoder struct {
	tree
	hasBGP      bool
	losslessASN uint32                           // that of bgp
	keys        func(path string, keys []string) // if set, told the keys of each mapping
}

// field is a key of a mapping and what reads its value.
type field struct {
	key  string
	read func(n *node, path string)
}

// into reads a value with read and stores it.
func into[T any](to *T, read func(n *node, path string) T) func(*node, string) {
	return func(n *node, path string) { *to = read(n, path) }
}

// bad reports that a value does not do; what says why and what would.
func (d *decoder) bad(n *node, path, format string, args ...any) {
	d.fail(n.line, n.column, path, format, args...)
}

// wrong reports that a value is not what is wanted.
func (d *decoder) wrong(n *node, path, want string) {
	switch {
	case n.kind == scalarNode && n.quoted && strings.HasPrefix(want, "a number"):
		d.bad(n, path, "the text %q is not %s", n.text, want)
	case n.kind == scalarNode:
		d.bad(n, path, "%s is not %s", show(n.text), want)
	default:
		d.bad(n, path, "%s, want %s", n.describe(), want)
	}
}

// mapping reads the values of all keys, and reports unknown ones. It reports
// false if n is no mapping.
func (d *decoder) mapping(n *node, path, want string, fields ...field) bool {
	if n.kind != mappingNode {
		d.wrong(n, path, want)
		return false
	}
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
		if e := n.entry(f.key); e != nil && e.value.kind != brokenNode {
			f.read(e.value, join(path, f.key))
		}
	}
	if d.keys != nil {
		d.keys(path, keys)
	}
	for _, e := range n.entries {
		if !slices.Contains(keys, e.key) {
			d.fail(e.line, e.column, join(path, show(e.key)), "unknown key (%s)", strings.Join(keys, ", "))
		}
	}
	return true
}

// required reports the keys that are missing.
func (d *decoder) required(n *node, path, why string, keys ...string) {
	if n.kind != mappingNode {
		return
	}
	for _, key := range keys {
		if n.entry(key) == nil {
			d.bad(n, join(path, key), "missing, required%s", why)
		}
	}
}

// excluded reports the keys that are there and must not be.
func (d *decoder) excluded(n *node, path, why string, keys ...string) {
	for _, key := range keys {
		if e := n.entry(key); e != nil {
			d.fail(e.line, e.column, join(path, key), "not allowed%s", why)
		}
	}
}

// listOf reads a list.
func listOf[T any](d *decoder, want string, read func(n *node, path string) T) func(*node, string) []T {
	return func(n *node, path string) []T {
		if n.kind != listNode {
			d.wrong(n, path, want)
			return nil
		}
		var list []T
		for i, item := range n.items {
			var v T
			if item.kind != brokenNode {
				v = read(item, fmt.Sprintf("%s[%d]", path, i))
			}
			list = append(list, v)
		}
		return list
	}
}

// setOf reads a list in which nothing may stand twice.
func setOf[T comparable](d *decoder, want string, read func(n *node, path string) T) func(*node, string) []T {
	return func(n *node, path string) []T {
		seen := map[T]*node{}
		return listOf(d, want, func(n *node, path string) T {
			errs := len(d.errs)
			v := read(n, path)
			if len(d.errs) > errs {
				return v
			}
			if first := seen[v]; first != nil {
				d.bad(n, path, "%s is there already (line %d)", n.describe(), first.line)
			}
			seen[v] = n
			return v
		})(n, path)
	}
}

// nonEmpty reads a list in which something stands, and nothing twice.
func nonEmpty[T comparable](d *decoder, what string, read func(n *node, path string) T) func(*node, string) []T {
	return func(n *node, path string) []T {
		list := setOf(d, "a list of "+what, read)(n, path)
		if n.kind == listNode && len(list) == 0 {
			d.bad(n, path, "an empty list, want some %s", what)
		}
		return list
	}
}

// text returns a scalar as it is written; it reports false if n is none.
func (d *decoder) text(n *node, path, want string) (string, bool) {
	switch {
	case n.kind == mappingNode && len(n.entries) == 1 && n.entries[0].value.kind == scalarNode:
		// Inside {} the YAML library takes 65000:200 for a mapping.
		e := n.entries[0]
		d.bad(n, path, `%s: %s is a mapping, want %s (in quotes: "%s:%s")`, e.key, e.value.text, want, e.key, e.value.text)
		return "", false
	case n.kind != scalarNode:
		d.wrong(n, path, want)
		return "", false
	}
	return n.text, true
}

// parsed reads a scalar with a function whose error says it all.
func parsed[T any](d *decoder, want string, parse func(string) (T, error)) func(*node, string) T {
	return func(n *node, path string) (v T) {
		s, ok := d.text(n, path, want)
		if !ok {
			return v
		}
		v, err := parse(s)
		if err != nil {
			d.bad(n, path, "%s", err)
		}
		return v
	}
}

// oneOf reads a name of an enumeration.
func oneOf[T ~uint8](d *decoder, names []string) func(*node, string) T {
	return func(n *node, path string) T {
		want := "one of " + strings.Join(names, ", ")
		s, ok := d.text(n, path, want)
		if !ok {
			return 0
		}
		i := slices.Index(names, s)
		if i < 0 {
			d.wrong(n, path, want)
			return 0
		}
		return T(i)
	}
}

// number reads a decimal number.
func number[T ~int | ~uint8 | ~uint16 | ~uint32](d *decoder, low, high uint64) func(*node, string) T {
	return func(n *node, path string) T {
		want := fmt.Sprintf("a number (%d to %d)", low, high)
		if n.kind != scalarNode || n.quoted {
			d.wrong(n, path, want)
			return 0
		}
		v, err := strconv.ParseUint(strings.TrimPrefix(n.text, "-"), 10, 64)
		switch {
		case err != nil && !errors.Is(err, strconv.ErrRange):
			d.wrong(n, path, want)
			return 0
		case err != nil, n.text[0] == '-', v < low, v > high:
			d.bad(n, path, "%s is out of range (%d to %d)", show(n.text), low, high)
			return 0
		}
		return T(v)
	}
}

func (d *decoder) maxPrefixes(n *node, path string) int {
	return number[int](d, 1, math.MaxInt32)(n, path)
}

func (d *decoder) asn(n *node, path string) uint32 {
	return number[uint32](d, 1, math.MaxUint32-1)(n, path)
}

func (d *decoder) boolean(n *node, path string) bool {
	if n.kind != scalarNode || n.quoted || n.text != "true" && n.text != "false" {
		d.wrong(n, path, "true or false")
		return false
	}
	return n.text == "true"
}

// duration reads a duration between low and high; whole asks for full seconds.
func (d *decoder) duration(low, high time.Duration, whole bool) func(*node, string) time.Duration {
	return func(n *node, path string) time.Duration {
		s, ok := d.text(n, path, "a duration such as 5s or 1m30s")
		if !ok {
			return 0
		}
		v, err := time.ParseDuration(s)
		switch {
		case err != nil:
			d.wrong(n, path, "a duration such as 5s or 1m30s")
		case v < low || v > high:
			d.bad(n, path, "%s is out of range (%s to %s)", show(s), duration(low), duration(high))
		case whole && v%time.Second != 0:
			d.bad(n, path, "%s has a fraction, want whole seconds", show(s))
		default:
			return v
		}
		return 0
	}
}

// name reads a short printable text for people.
func (d *decoder) name(n *node, path string) string {
	const most = 128
	s, ok := d.text(n, path, "a text")
	switch {
	case !ok:
		return ""
	case s == "" || len(s) > most:
		d.bad(n, path, "%d bytes are out of range (1 to %d)", len(s), most)
		return ""
	case strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }):
		d.bad(n, path, "%q is not printable", s)
		return ""
	}
	return s
}

// file reads the absolute path of a file: a daemon's working directory is not
// that of whoever checks its configuration.
func (d *decoder) file(n *node, path string) string {
	return d.absolute(n, path, "the absolute path of a file")
}

// isOff reports whether n says that something is not wanted.
func (n *node) isOff() bool { return n.kind == scalarNode && n.text == "off" }

// directory reads an absolute path, or off.
func (d *decoder) directory(n *node, path string) string {
	if n.isOff() {
		return ""
	}
	return d.absolute(n, path, "an absolute path, or off")
}

func (d *decoder) absolute(n *node, path, want string) string {
	s, ok := d.text(n, path, want)
	if ok && (!filepath.IsAbs(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) })) {
		d.wrong(n, path, want)
		return ""
	}
	return s
}

// address reads an IP address that can be one of a host.
func (d *decoder) address(n *node, path string) netip.Addr {
	s, ok := d.text(n, path, "an IP address")
	if !ok {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		d.wrong(n, path, "an IP address")
	case a.Is4In6():
		d.bad(n, path, "%s is IPv4-mapped, want %s", show(s), a.Unmap())
	case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		d.bad(n, path, "%s is no address of a host", show(s))
	default:
		return a
	}
	return netip.Addr{}
}

// address4 reads an identifier that has the form of an IPv4 address.
func (d *decoder) address4(n *node, path string) netip.Addr {
	const want = "an IPv4 address other than 0.0.0.0"
	s, ok := d.text(n, path, want)
	if !ok {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() || a.IsUnspecified() {
		d.wrong(n, path, want)
		return netip.Addr{}
	}
	return a
}

// address6 reads an underlay address: IPv6, of a host, reachable over more than
// one link.
func (d *decoder) address6(n *node, path string) netip.Addr {
	const want = "an IPv6 address of a host (not link-local, not ::1)"
	s, ok := d.text(n, path, want)
	if !ok {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" || !a.IsGlobalUnicast() {
		d.wrong(n, path, want)
		return netip.Addr{}
	}
	return a
}

// prefix reads a prefix without host bits.
func (d *decoder) prefix(n *node, path string) netip.Prefix {
	const want = "a prefix such as 10.0.0.0/8 or 2001:db8::/32"
	s, ok := d.text(n, path, want)
	if !ok {
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		d.wrong(n, path, want)
	case p != p.Masked():
		d.bad(n, path, "%s has host bits, want %s", show(s), p.Masked())
	default:
		return p
	}
	return netip.Prefix{}
}

// prefix6 reads an IPv6 prefix without host bits.
func (d *decoder) prefix6(n *node, path string) netip.Prefix {
	p := d.prefix(n, path)
	if p.IsValid() && !p.Addr().Is6() {
		d.wrong(n, path, "an IPv6 prefix such as 2001:db8::/32")
		return netip.Prefix{}
	}
	return p
}

// listen reads one address with a port, or without: then port is taken. lowest
// is the lowest port allowed.
func (d *decoder) listen(port, lowest uint16) func(*node, string) netip.AddrPort {
	return func(n *node, path string) netip.AddrPort {
		want := fmt.Sprintf("an address to listen on such as [::]:%d", port)
		s, ok := d.text(n, path, want)
		if !ok {
			return netip.AddrPort{}
		}
		if strings.HasPrefix(s, ":") && strings.LastIndex(s, ":") == 0 {
			s = "[::]" + s
		}
		at, err := netip.ParseAddrPort(s)
		if err != nil {
			var a netip.Addr
			a, err = netip.ParseAddr(s)
			at = netip.AddrPortFrom(a, port)
		}
		switch {
		case err != nil || at.Addr().Is4In6() || at.Addr().IsMulticast():
			d.wrong(n, path, want)
			return netip.AddrPort{}
		case at.Port() < lowest:
			d.bad(n, path, "port %d is out of range (%d to 65535)", at.Port(), lowest)
			return netip.AddrPort{}
		}
		return at
	}
}

// listens reads one address, a list of them, or off.
func (d *decoder) listens(port, lowest uint16) func(*node, string) []netip.AddrPort {
	one := d.listen(port, lowest)
	return func(n *node, path string) []netip.AddrPort {
		switch {
		case n.isOff():
			return nil
		case n.kind == listNode:
			return setOf(d, "", one)(n, path)
		}
		return []netip.AddrPort{one(n, path)}
	}
}
