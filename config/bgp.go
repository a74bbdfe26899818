package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (d *decoder) bgp(n *node, path string, c *Config) *BGP {
	b := &BGP{
		AttachHold:  90 * time.Second,
		LosslessASN: c.ASN,
		Settle:      10 * time.Second,
		Listen:      []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Unspecified(), DefaultBGPPort)},
		ClusterID:   c.RouterID,
	}
	if !d.mapping(n, path, "a mapping",
		field{"attach", into(&b.Attach, d.attach)},
		field{"attach-hold", into(&b.AttachHold, d.duration(0, day, false))},
		field{"next-hops", into(&b.NextHops, d.nextHops)},
		field{"lossless-asn", into(&b.LosslessASN, d.asn)},
		field{"settle", into(&b.Settle, d.duration(0, 10*time.Minute, false))},
		field{"listen", func(n *node, path string) { b.Listen = d.bgpListen(n, path) }},
		field{"api", into(&b.API, d.api)},
		field{"gobgp-config", into(&b.GoBGPConfig, d.file)},
		field{"cluster-id", into(&b.ClusterID, d.address4)},
		field{"neighbors", func(n *node, path string) {
			read := func(n *node, path string) Neighbor { return d.neighbor(n, path, c, b) }
			b.Neighbors = listOf(d, "a list of mappings", read)(n, path)
			unique(d, n, path, "address", func(i int) (netip.Addr, bool) {
				return b.Neighbors[i].Address, b.Neighbors[i].Address.IsValid()
			})
		}},
		field{"dynamic-neighbors", func(n *node, path string) {
			read := func(n *node, path string) DynamicNeighbor { return d.dynamicNeighbor(n, path, c) }
			b.DynamicNeighbors = listOf(d, "a list of mappings", read)(n, path)
			unique(d, n, path, "prefix", func(i int) (netip.Prefix, bool) {
				return b.DynamicNeighbors[i].Prefix, b.DynamicNeighbors[i].Prefix.IsValid()
			})
			if len(b.Listen) == 0 && len(b.DynamicNeighbors) > 0 {
				d.bad(n, path, "they need a listener, and listen is off")
			}
		}},
	) {
		return nil
	}
	d.losslessASN = b.LosslessASN
	switch {
	case n.entry("attach") != nil:
		d.excluded(n, path, " next to attach, whose gobgpd says it", "listen", "api", "gobgp-config", "cluster-id", "neighbors", "dynamic-neighbors")
		b.Listen, b.ClusterID = nil, netip.Addr{}
	case n.entry("gobgp-config") != nil:
		d.excluded(n, path, " next to gobgp-config, whose file says it", "listen", "cluster-id", "neighbors", "dynamic-neighbors")
		b.Listen, b.ClusterID = nil, netip.Addr{}
	}
	return b
}

// bgpListen reads the addresses of the listener. The speaker has one port.
func (d *decoder) bgpListen(n *node, path string) []netip.AddrPort {
	list := d.listens(DefaultBGPPort, 1)(n, path)
	for i, at := range list {
		if at.IsValid() && list[0].IsValid() && at.Port() != list[0].Port() {
			d.bad(n.items[i], fmt.Sprintf("%s[%d]", path, i), "port %d differs from port %d of the first address, want one port", at.Port(), list[0].Port())
		}
	}
	return list
}

// api reads the address of the gRPC listener.
func (d *decoder) api(n *node, path string) string {
	const want = "unix:///PATH, IP:PORT, or off"
	s, ok := d.text(n, path, want)
	if !ok || n.isOff() {
		return ""
	}
	if isSocket(s) {
		return s
	}
	if at, err := netip.ParseAddrPort(s); err == nil && !at.Addr().Is4In6() && !at.Addr().IsMulticast() {
		return at.String()
	}
	d.wrong(n, path, want)
	return ""
}

// isSocket reports whether s is unix:///PATH.
func isSocket(s string) bool {
	socket, found := strings.CutPrefix(s, "unix://")
	if !found || s != strings.TrimSpace(s) {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.Path == socket && filepath.IsAbs(socket)
}

// attach reads the address of a gobgpd's gRPC listener.
func (d *decoder) attach(n *node, path string) string {
	const want = "HOST:PORT, IP:PORT, or unix:///PATH"
	s, ok := d.text(n, path, want)
	if !ok || isSocket(s) {
		return s
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		d.wrong(n, path, want)
		return ""
	}
	return d.hostPort(n, path, want, host, port)
}

// nextHops reads own addresses, one of a family.
func (d *decoder) nextHops(n *node, path string) []netip.Addr {
	list := setOf(d, "a list of IP addresses", d.nextHop)(n, path)
	for i, a := range list {
		first := slices.IndexFunc(list, func(b netip.Addr) bool { return b.IsValid() && b.Is4() == a.Is4() })
		if a.IsValid() && first < i && list[first] != a {
			d.bad(n.items[i], fmt.Sprintf("%s[%d]", path, i), "%s is of the family of %s, want one address of each family", a, list[first])
		}
	}
	return list
}

// nextHop reads an address that others reach us at.
func (d *decoder) nextHop(n *node, path string) netip.Addr {
	a := d.address(n, path)
	if a.IsLinkLocalUnicast() || a.Zone() != "" {
		d.bad(n, path, "%s is of one link only, want an address that is reachable over several", a)
		return netip.Addr{}
	}
	return a
}

func (d *decoder) neighbor(n *node, path string, c *Config, b *BGP) Neighbor {
	r := Neighbor{Port: DefaultBGPPort, Peering: peeringDefaults(c)}
	fields := append([]field{
		{"address", func(n *node, path string) {
			r.Address = d.address(n, path)
			zone := r.Address.Zone() != ""
			switch linkLocal := r.Address.IsLinkLocalUnicast() && r.Address.Is6(); {
			case linkLocal && !zone:
				d.bad(n, path, "%s is link-local and has no zone, want one such as %s%%eth0", r.Address, r.Address)
			case zone && !linkLocal:
				d.bad(n, path, "%s has a zone and is not link-local, want %s", r.Address, r.Address.WithZone(""))
			}
		}},
		{"port", into(&r.Port, number[uint16](d, 1, 65535))},
		{"passive", func(n *node, path string) {
			if r.Passive = d.boolean(n, path); r.Passive && len(b.Listen) == 0 {
				d.bad(n, path, "true needs a listener, and listen is off")
			}
		}},
	}, d.peering(&r.Peering)...)
	if d.mapping(n, path, "a mapping", fields...) {
		d.required(n, path, "", "address", "asn")
		d.checkPeering(n, path, &r.Peering, r.Address)
	}
	return r
}

func (d *decoder) dynamicNeighbor(n *node, path string, c *Config) DynamicNeighbor {
	r := DynamicNeighbor{Peering: peeringDefaults(c)}
	fields := append([]field{{"prefix", into(&r.Prefix, d.prefix)}}, d.peering(&r.Peering)...)
	if d.mapping(n, path, "a mapping", fields...) {
		d.required(n, path, "", "prefix", "asn")
		d.checkPeering(n, path, &r.Peering, r.Prefix.Addr())
	}
	return r
}

func peeringDefaults(c *Config) Peering {
	return Peering{LocalASN: c.ASN, Families: []Family{FamilyEVPN}, Timers: timersDefaults()}
}

func (d *decoder) peering(p *Peering) []field {
	return []field{
		{"asn", into(&p.ASN, d.asn)},
		{"local-asn", into(&p.LocalASN, d.asn)},
		{"local-address", into(&p.LocalAddress, d.address)},
		{"description", into(&p.Description, d.name)},
		{"multihop", into(&p.Multihop, number[uint8](d, 2, 255))},
		{"password-file", into(&p.PasswordFile, d.file)},
		{"families", into(&p.Families, nonEmpty(d, "families ("+strings.Join(familyNames, ", ")+")", oneOf[Family](d, familyNames)))},
		{"route-reflector-client", into(&p.RouteReflectorClient, d.boolean)},
		{"timers", into(&p.Timers, d.timers)},
		{"graceful-restart", into(&p.GracefulRestart, d.gracefulRestart)},
		{"add-path", into(&p.AddPath, oneOf[AddPath](d, addPathNames))},
		{"max-prefixes", into(&p.MaxPrefixes, d.maxPrefixes)},
	}
}

// checkPeering checks what depends on the neighbour being internal or external
// and on its address family.
func (d *decoder) checkPeering(n *node, path string, p *Peering, remote netip.Addr) {
	known := p.ASN != 0 && p.LocalASN != 0
	if e := n.entry("route-reflector-client"); e != nil && p.RouteReflectorClient && known && p.ASN != p.LocalASN {
		d.bad(e.value, join(path, e.key), "true is for iBGP, and asn %d is not our %d", p.ASN, p.LocalASN)
	}
	if e := n.entry("multihop"); e != nil && p.Multihop != 0 && known && p.ASN == p.LocalASN {
		d.bad(e.value, join(path, e.key), "%d is for eBGP, and asn %d is our own", p.Multihop, p.ASN)
	}
	if e := n.entry("local-address"); e != nil && p.LocalAddress.IsValid() && remote.IsValid() && p.LocalAddress.Is4() != remote.Is4() {
		d.bad(e.value, join(path, e.key), "%s is not of the family of %s", p.LocalAddress, remote)
	}
}

func timersDefaults() Timers {
	return Timers{Hold: 90 * time.Second, Keepalive: 30 * time.Second, ConnectRetry: 10 * time.Second}
}

func (d *decoder) timers(n *node, path string) Timers {
	t := timersDefaults()
	if !d.mapping(n, path, "a mapping",
		field{"hold", func(n *node, path string) {
			if hold := d.duration(3*time.Second, longest, true)(n, path); hold > 0 {
				t.Hold, t.Keepalive = hold, (hold / 3).Truncate(time.Second)
			}
		}},
		field{"keepalive", func(n *node, path string) {
			t.Keepalive = d.duration(time.Second, t.Keepalive, true)(n, path)
		}},
		field{"connect-retry", into(&t.ConnectRetry, d.duration(time.Second, longest, true))},
	) {
		return Timers{}
	}
	return t
}

func (d *decoder) gracefulRestart(n *node, path string) (g GracefulRestart) {
	const want = "off, helper, a restart time such as 120s, or a mapping"
	if n.kind == mappingNode {
		return d.gracefulRestartMapping(n, path)
	}
	s, ok := d.text(n, path, want)
	switch {
	case !ok || s == "helper":
	case s == "off":
		g.Mode = GracefulRestartOff
	case s == "" || !isDigits(s[:1]):
		d.wrong(n, path, want)
	default:
		g = GracefulRestart{Mode: GracefulRestartFull, Time: d.restartTime(n, path)}
	}
	return g
}

func (d *decoder) gracefulRestartMapping(n *node, path string) (g GracefulRestart) {
	const longest = (1<<24 - 1) * time.Second // RFC 9494 section 3
	if n.entry("time") != nil {
		g.Mode = GracefulRestartFull
	}
	d.mapping(n, path, "a mapping",
		field{"mode", into(&g.Mode, oneOf[GracefulRestartMode](d, gracefulRestartNames))},
		field{"time", into(&g.Time, d.restartTime)},
		field{"long-lived", into(&g.LongLived, d.duration(time.Second, longest, true))},
	)
	with := " with mode " + g.Mode.String()
	switch g.Mode {
	case GracefulRestartFull:
		d.required(n, path, with, "time")
	case GracefulRestartHelper:
		d.excluded(n, path, with, "time")
	case GracefulRestartOff:
		d.excluded(n, path, with, "time", "long-lived")
	}
	return g
}

// restartTime reads what the capability has 12 bits for (RFC 4724 section 3).
func (d *decoder) restartTime(n *node, path string) time.Duration {
	return d.duration(time.Second, 4095*time.Second, true)(n, path)
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9.])?$`)

// server reads the host and port of a MetalBond server.
func (d *decoder) server(n *node, path string) string {
	const want = "a server such as [2001:db8::a]:4711 or name:4711"
	s, ok := d.text(n, path, want)
	if !ok {
		return ""
	}
	host, port := s, strconv.Itoa(DefaultMetalBondPort)
	if a, err := netip.ParseAddr(s); err != nil || a.Is4() {
		if h, p, err := net.SplitHostPort(s); err == nil {
			host, port = h, p
		}
	}
	return d.hostPort(n, path, want, host, port)
}

// hostPort checks the parts of HOST:PORT and returns their text.
func (d *decoder) hostPort(n *node, path, want, host, port string) string {
	a, err := netip.ParseAddr(host)
	if err == nil {
		host = a.String()
	}
	number, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil && !hostName.MatchString(host), err == nil && (a.IsMulticast() || a.Is4In6()), portErr != nil && !isDigits(port):
		d.wrong(n, path, want)
	case portErr != nil || number == 0:
		d.bad(n, path, "port %s is out of range (1 to 65535)", show(port))
	default:
		return net.JoinHostPort(host, strconv.FormatUint(number, 10))
	}
	return ""
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// unique reports the items of a list whose value under a key, or that are the
// value themselves, an earlier item has already. value returns it, and false if
// there is none.
func unique[T comparable](d *decoder, n *node, path, key string, value func(i int) (T, bool)) {
	if n.kind != listNode {
		return
	}
	seen := map[T]int{}
	for i, item := range n.items {
		v, ok := value(i)
		if !ok {
			continue
		}
		first, twice := seen[v]
		if !twice {
			seen[v] = i
			continue
		}
		where := fmt.Sprintf("%s[%d]", path, i)
		if item.kind == mappingNode {
			where = join(where, key)
		}
		d.bad(place(item, key), where, "%s is that of %s[%d] already (line %d)", show(fmt.Sprint(v)), path, first, place(n.items[first], key).line)
	}
}

// place returns the value of a key, or what should have it.
func place(item *node, key string) *node {
	if e := item.entry(key); e != nil {
		return e.value
	}
	return item
}
