// Package config turns the configuration file into typed and checked values,
// and back. It opens no socket, reads no other file and knows no defaults of
// other packages: what it returns says everything.
package config

import (
	"net/netip"
	"time"
)

// Config is one configuration file with all defaults filled in. Empty lists
// are nil, so that two configurations that mean the same compare equal.
type Config struct {
	RouterID       netip.Addr        // router-id: IPv4, BGP identifier; required with bgp
	ASN            uint32            // asn: own autonomous system; required with bgp
	Domain         ExtendedCommunity // domain: Site-of-Origin of this MetalBond domain; required with bgp and vnis
	StateDirectory string            // state-directory: keeps RD allocations over restarts; default "": none kept
	VXLAN          VXLAN             // vxlan
	MetalBond      MetalBond         // metalbond
	BGP            *BGP              // bgp; nil: no BGP
	VNIs           []VNI             // vnis, in the order of the file
	Log            Log               // log
	HTTP           string            // http: IP:PORT of metrics and health; default 127.0.0.1:4712; "" (off in the file): none
}

// VXLAN says who this gateway is in the fabric's VXLAN.
type VXLAN struct {
	Local     netip.Addr // local: own VTEP address and BGP next hop, either family; default router-id
	RouterMAC MAC        // router-mac: Router's MAC of our type 5 routes (RFC 9135 section 8.1); default 02:00 and the router-id
}

// MetalBond configures the MetalBond server and the client.
type MetalBond struct {
	Listen     []netip.AddrPort  // listen: where hypervisors are served; port 4711 if none is written, 0: any free one; default [::]:4711, or off if there are servers
	Servers    []string          // servers: host:port of existing servers, names allowed; port 4711 if none is written; default none
	Keepalive  time.Duration     // keepalive: whole seconds, 1s to 65535s; default 5s; both ends use the lower one
	Hold       time.Duration     // hold: how long the routes of a lost server stay, 0s to 24h; default 0s
	Gateways   []netip.Prefix    // gateways: IPv6 prefixes of gateways' next hops, never exported to BGP; default none
	NextHops   NextHops          // nexthops: what clients get of each prefix, for VNIs that do not say; default all
	Pace       Pace              // pace: toward clients; default auto
	ServerPace Pace              // server-pace: toward servers; default auto
	Clients    []MetalBondClient // clients: settings by source address, longest prefix decides; default none
}

// MetalBondClient is what clients of one source prefix get.
type MetalBondClient struct {
	Source netip.Prefix // source: where they connect from; required
	Pace   Pace         // pace: default metalbond.pace
}

// PaceFor returns the pace of a client that connects from addr: that of the
// longest source prefix that holds it, or else the common one.
func (m *MetalBond) PaceFor(addr netip.Addr) Pace {
	addr = addr.Unmap().WithZone("")
	pace, bits := m.Pace, -1
	for _, c := range m.Clients {
		if c.Source.Contains(addr) && c.Source.Bits() > bits {
			pace, bits = c.Pace, c.Source.Bits()
		}
	}
	return pace
}

// BGP configures the embedded speaker.
type BGP struct {
	Listen           []netip.AddrPort  // listen: all with the same port; 179 if none is written; default [::]:179; nil (off in the file): no listener
	API              string            // api: gRPC for the gobgp command, unix:///PATH or IP:PORT; default "" (off in the file): none
	GoBGPConfig      string            // gobgp-config: a gobgpd file that takes the place of listen, cluster-id and all neighbours; its global section has our asn and router-id, or none
	ClusterID        netip.Addr        // cluster-id: IPv4, of this route reflector (RFC 4456 section 7); default router-id
	Neighbors        []Neighbor        // neighbors; default none
	DynamicNeighbors []DynamicNeighbor // dynamic-neighbors; default none
}

// Neighbor is one BGP neighbour.
type Neighbor struct {
	Address netip.Addr // address: either family, link-local ones with their zone; required
	Port    uint16     // port: where we connect to, 1 to 65535; default 179
	Passive bool       // passive: wait for the neighbour to connect; default false
	Peering
}

// DynamicNeighbor accepts every neighbour that connects from a prefix.
type DynamicNeighbor struct {
	Prefix netip.Prefix // prefix: required
	Peering
}

// Peering is what configured and dynamic neighbours have in common.
type Peering struct {
	ASN                  uint32          // asn: the neighbour's; required; our own one: iBGP
	LocalASN             uint32          // local-asn: what we call ourselves to it; default asn of the file
	LocalAddress         netip.Addr      // local-address: our end of the session, same family; default invalid: the kernel chooses
	Description          string          // description: for people; default ""
	Multihop             uint8           // multihop: TTL of an eBGP session over several hops, 2 to 255; default 0: directly connected
	PasswordFile         string          // password-file: file with the TCP MD5 password (RFC 2385); default "": none
	Families             []Family        // families: default evpn
	RouteReflectorClient bool            // route-reflector-client: iBGP only; default false
	Timers               Timers          // timers
	GracefulRestart      GracefulRestart // graceful-restart: off, helper, or a restart time; default helper
	MaxPrefixes          int             // max-prefixes: that are imported from it, 1 to 2147483647; default 0: no limit
}

// Timers are those of a BGP session, in whole seconds.
type Timers struct {
	Hold         time.Duration // hold: 3s to 65535s; default 90s
	Keepalive    time.Duration // keepalive: 1s to a third of hold; default a third of hold
	ConnectRetry time.Duration // connect-retry: 1s to 65535s; default 10s
}

// GracefulRestart (RFC 4724) says what happens to routes over a restart.
type GracefulRestart struct {
	Mode GracefulRestartMode
	Time time.Duration // GracefulRestartFull only: how long neighbours keep our routes, 1s to 4095s
}

// GracefulRestartMode is the part that we take in graceful restart.
type GracefulRestartMode uint8

// The modes.
const (
	GracefulRestartHelper GracefulRestartMode = iota // keep a restarting neighbour's routes, ask for nothing
	GracefulRestartOff                               // no capability at all
	GracefulRestartFull                              // and ask neighbours to keep ours for Time
)

// VNI is one virtual network that is bridged.
type VNI struct {
	VNI           uint32        // vni: 1 to 16777215; without bgp to 4294967295; required
	Name          string        // name: for people; default ""
	Encapsulation Encapsulation // encapsulation: of the fabric side; default vxlan
	RD            RD            // rd: route distinguisher (RFC 4364 section 4.2) of the first next hop of each prefix; default zero (auto in the file): router-id and an index
	AutoRT        AutoRT        // auto-rt: targets of the directions that name none; default as-vni, none if both directions name theirs
	Import        Import        // import: BGP to MetalBond
	Export        Export        // export: MetalBond to BGP
	Gateway       netip.Addr    // gateway: IPv6 address where hypervisors send this VNI's fabric traffic; required for vxlan with bgp, of one VNI only because it tells the VNI of a packet
	NextHops      NextHops      // nexthops: what clients get of each prefix; default metalbond.nexthops
	MaxPrefixes   int           // max-prefixes: that MetalBond may fill the VNI up to, 1 to 2147483647; default 0: no limit
}

// Import says what comes from BGP to MetalBond. In the file it is a list of
// targets, or a mapping.
type Import struct {
	Targets     []TargetMatch // targets: a route with any of them is imported; default by auto-rt; none: nothing is imported
	Prefixes    []PrefixRule  // prefixes: default none: all
	MaxPrefixes int           // max-prefixes: 1 to 2147483647; default 0: no limit
}

// Export says what goes from MetalBond to BGP. In the file it is a list of
// targets, or a mapping.
type Export struct {
	Targets     []RouteTarget // targets: every route carries all of them; default by auto-rt; none: nothing is exported
	Types       []HopType     // types: next hop types that leave MetalBond; default standard
	Prefixes    []PrefixRule  // prefixes: default none: all
	MaxPrefixes int           // max-prefixes: 1 to 2147483647; default 0: no limit
}

// Log configures the log.
type Log struct {
	Level  LogLevel  // level: default info
	Format LogFormat // format: default auto
}

// DefaultHTTP is where metrics and health are served if the file does not say.
const DefaultHTTP = "127.0.0.1:4712"

// The ports that addresses without one get.
const (
	DefaultMetalBondPort = 4711
	DefaultBGPPort       = 179
)
