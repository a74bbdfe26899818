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
	DomainID       DomainID          // domain-id: names this MetalBond domain in D-PATH (RFC 10039); default zero: no D-PATH is made or looked at
	StateDirectory string            // state-directory: keeps allocations of RDs and labels, and what VNIs prefer, over restarts; default "": none kept
	MemoryLimit    Bytes             // memory-limit: at which the process takes no new routes, 64MiB to 1024GiB; default 0 (off in the file): none
	VXLAN          VXLAN             // vxlan
	MPLS           MPLS              // mpls
	MetalBond      MetalBond         // metalbond
	BGP            *BGP              // bgp; nil: no BGP
	Kernel         *Kernel           // kernel; nil: the kernel's tables are left alone
	VNIs           []VNI             // vnis, in the order of the file
	Log            Log               // log
	HTTP           string            // http: IP:PORT of metrics and health; default 127.0.0.1:4712; "" (off in the file): none
	API            API               // api
}

// VXLAN says who this gateway is in the fabric's VXLAN.
type VXLAN struct {
	Local     netip.Addr // local: own VTEP address and BGP next hop, either family; default router-id
	RouterMAC MAC        // router-mac: Router's MAC of our type 5 routes (RFC 9135 section 8.1); default 02:00 and the router-id
}

// MPLS says where the labels of VNIs come from.
type MPLS struct {
	Labels LabelRange // labels: FIRST-LAST, 16 to 1048575; required by VNIs of encapsulation mpls without a label; default zero: none
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
	Clients    []MetalBondClient // clients: what clients get and may do, by source address or certificate; the closest entry decides; default none

	TLS       *MetalBondTLS       // tls: of clients; nil: none
	ServerTLS *MetalBondServerTLS // server-tls: toward servers; nil: none

	RefuseUnlisted       bool // unlisted-clients: accept, or refuse (true) those that no entry of clients is for; default refuse if an entry names a certificate or restricts what clients may do, else accept
	MaxSessions          int  // max-sessions: of clients at a time, 1 to 1048576; default 16384
	MaxSessionsPerSource int  // max-sessions-per-source: of one address at a time, 1 to 1048576; default 1024
}

// BGP configures the speaker: one in this process, or a gobgpd that runs
// already.
type BGP struct {
	Attach           string            // attach: gRPC address of a gobgpd (v3) that runs already, HOST:PORT or unix:///PATH, in place of listen, api, gobgp-config, cluster-id and all neighbours; default "": the embedded speaker
	AttachHold       time.Duration     // attach-hold: how long what a lost gobgpd said stays, and in gobgpd what an mbbgp that died had said, 0s to 24h; default 90s
	NextHops         []netip.Addr      // next-hops: own addresses, at most one of each family, that VPN and unicast routes through this gateway name as their next hop; default none: vxlan.local for VPN, each session's own address for unicast
	LosslessASN      uint32            // lossless-asn: global administrator of the large communities that carry MetalBond's fields, the same in all bridges that exchange them; default asn
	Settle           time.Duration     // settle: how long the MetalBond listener waits at the start for the routes of originate, 0s to 10m; default 10s
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
	AddPath              AddPath         // add-path: off, receive, send, both (RFC 7911), for all families but rtc; default off
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
	Mode      GracefulRestartMode // mode: off, helper, full; in the file a single word or time says it too
	Time      time.Duration       // time: GracefulRestartFull only: how long neighbours keep our routes when we are gone, 1s to 4095s; for half of it after a start we announce nothing
	LongLived time.Duration       // long-lived: how much longer stale routes are kept (RFC 9494), 1s to 16777215s: ours by neighbours, and theirs by us as long as they ask; default 0: not at all
}

// Kernel says how the routes of VNIs that have a table get into the kernel.
type Kernel struct {
	Tunnel            Tunnel        // tunnel: toward hypervisors and segments: ip6tnl, seg6; default ip6tnl
	Device            string        // device: that tunnel routes leave by; ip6tnl: one in external mode; seg6: any that stays up; default overlay
	MakeDevice        bool          // make-device: device is made if it is not there, and removed by cleanup; default false
	Source            netip.Addr    // source: IPv6, outer source address; ip6tnl only; default invalid: the kernel chooses
	HopLimit          uint8         // hop-limit: outer one, 1 to 255; ip6tnl only; default 64
	Decapsulation     Decapsulation // decapsulation: for VNIs that do not say; default ip6tnl for tunnel ip6tnl, dt46 for seg6
	Protocol          uint8         // protocol: of all that is ours (rtnetlink's RTPROT), 5 to 255; default 254
	Metric            uint32        // metric: of our routes, 1 to 4278198271; a route of somebody else that has it is left alone; default 4711; 0, which no file says: the kernel's own default, 0 for IPv4 and 1024 for IPv6
	NextHopObjects    bool          // nexthop-objects: auto (true) or off; default auto: if the kernel has them
	NextHopIDs        NumberRange   // nexthop-ids: FIRST-LAST, of our next hop objects, 1 to 4294967295, at least 1000; default 471000000-471999999
	ResolveViaDefault bool          // resolve-via-default: a default route of the underlay makes a next hop reachable; default true
	RulePriority      uint32        // rule-priority: the first of 300 priorities of our rules, 1 to 32000; default 500
	MarkShift         uint8         // mark-shift: lowest of the 12 bits of the packet mark that NAT steering and source validation use, 0 to 20; default 20
	SteeringTables    NumberRange   // steering-tables: FIRST-LAST, of NAT steering, 4096 of them; default 472000000-472004095
	MTU               uint16        // mtu: of the devices that are made, 1280 to 65535; default 0: the kernel chooses
	MSS               MSS           // mss: clamping of TCP's maximum segment size: off, auto (not with tunnel seg6), or 500 to 65535; default off
	SourceValidation  bool          // source-validation: packets out of tunnels whose inner source no MetalBond route has are dropped; for VNIs that do not say; default false
	Settle            time.Duration // settle: how long after the start routes of an earlier run stay that nobody has announced again, 0s to 1h; default 60s
	Scan              time.Duration // scan: how often the kernel is compared with the tables, 1s to 24h; default 60s
	Drain             time.Duration // drain: how long packets are forwarded after everything was withdrawn, when draining, 0s to 1h; default 10s
	Cleanup           bool          // cleanup: all that is ours is removed from the kernel at the end; default false
	IPv4Only          bool          // no key, of the client command only: IPv6 routes are left out
	RoutesOnly        bool          // no key, of the client command only: device is somebody else's, and nothing but routes and next hop objects is made
}

// IsolationMetric is that of the default routes that isolate a table, which the
// kernel's documentation of VRF devices recommends. Every other route comes first.
const IsolationMetric = 4278198272

// MetricFor returns the metric of our routes to a prefix as the kernel has it.
func (k *Kernel) MetricFor(p netip.Prefix) uint32 {
	const ip6Default = 1024
	if k.Metric == 0 && p.Addr().Is6() {
		return ip6Default
	}
	return k.Metric
}

// VNI is one virtual network that is bridged.
type VNI struct {
	VNI           uint32        // vni: 1 to 16777215; without bgp to 4294967295; required
	Name          string        // name: for people; default ""
	Family        VNIFamily     // family: of the routes in BGP; default evpn for vxlan and ip-in-ip, vpn for srv6 and mpls, unicast for none
	Encapsulation Encapsulation // encapsulation: of the fabric side; default none if family is unicast, vxlan otherwise
	SRv6          SRv6          // srv6: of encapsulation srv6
	Label         uint32        // label: of encapsulation mpls, 16 to 1048575, of one VNI only; default 0: one of mpls.labels
	RD            RD            // rd: route distinguisher (RFC 4364 section 4.2) of the first next hop of each prefix; default zero (auto in the file): router-id and an index
	AutoRT        AutoRT        // auto-rt: targets of the directions that name none; default as-vni, none if both directions name theirs
	Import        Import        // import: BGP to MetalBond
	Export        Export        // export: MetalBond to BGP
	ImportFrom    []uint32      // import-from: VNIs whose routes are in this one too; default none
	Originate     []Originate   // originate: prefixes that hypervisors get while the fabric has them; default none
	Aggregates    []Aggregate   // aggregates: prefixes that BGP gets while the VNI holds a part of them; default none
	Gateway       netip.Addr    // gateway: IPv6 address where hypervisors send this VNI's fabric traffic; several bridges may share it; required with bgp for vxlan, mpls and none, of one VNI only because it tells the VNI of a packet
	NextHops      NextHops      // nexthops: what clients get of each prefix; default metalbond.nexthops
	Prefer        Prefer        // prefer: whose next hops count of a prefix that both sides tell of: metalbond, or bgp, which not with lossless exports; default metalbond; "mbbgp migrate" overrides it

	Table            uint32        // table: of the kernel, that the routes go to, 1 to 4294967295; of one VNI only; needs kernel; default 0: none
	VRF              string        // vrf: device of the table, made if it is not there; default "": none, rules lead packets to the table
	Isolated         bool          // isolated: an unreachable default route, behind all others, keeps packets from going on to other tables; of IPv4 only with tunnel seg6; default true, of table 254 false
	Decapsulation    Decapsulation // decapsulation: of packets to gateway; dt46 and dt4 need a vrf; default kernel.decapsulation, off without gateway
	DecapDevice      string        // decap-device: name of the ip6tnl device of decapsulation ip6tnl; default mb and the VNI
	VXLANDevice      string        // vxlan-device: name of the VXLAN device of encapsulation vxlan; default vx and the VNI
	NATFrom          []uint32      // nat-from: VNIs whose NAT port ranges steer packets of this one, too; default none
	SourceValidation bool          // source-validation: not with decapsulation dt6; default kernel.source-validation

	MaxPrefixes int // max-prefixes: that MetalBond may fill the VNI up to, 1 to 2147483647; default 0: no limit
}

// Import says what comes from BGP to MetalBond. In the file it is a list of
// targets, or a mapping.
type Import struct {
	Targets     []TargetMatch // targets: a route with any of them is imported; default by auto-rt; none: nothing is imported
	Types       []HopType     // types: next hop types that lossless routes may bring; default those of export
	Prefixes    []PrefixRule  // prefixes: default none: all, but of unicast nothing
	Rules       []Rule        // rules: behind prefixes; default none: all is accepted
	MaxPrefixes int           // max-prefixes: 1 to 2147483647; default 0: no limit
}

// Export says what goes from MetalBond to BGP. In the file it is a list of
// targets, or a mapping.
type Export struct {
	Targets     []RouteTarget // targets: every route carries all of them; default by auto-rt; none: nothing is exported
	Types       []HopType     // types: next hop types that leave MetalBond; default standard; with others, srv6 and ip-in-ip routes carry type, port range and target VNI (lossless)
	Prefixes    []PrefixRule  // prefixes: default none: all
	Rules       []Rule        // rules: behind prefixes; default none: all is accepted
	FlowSpec    FlowSpec      // flowspec: how NAT port ranges are told as flow specifications (RFC 8955); default off
	MaxPrefixes int           // max-prefixes: 1 to 2147483647; default 0: no limit
}

// SRv6 says how the next hops of a VNI become SRv6 segments (RFC 9252).
type SRv6 struct {
	Behavior SIDBehavior // behavior: dt46, dx; default dt46
	NextHop  SIDNextHop  // next-hop: target, self; default target
	Block    uint8       // block: bits of the locator block of an underlay address, 1 to 127; default 48
	Node     uint8       // node: bits of the locator node behind it; block + node at most 127; default 16
}

// Originate is a prefix that hypervisors are told of while the fabric offers
// exactly this prefix. In the file it is a prefix, or a mapping.
type Originate struct {
	Prefix   netip.Prefix  // prefix: masked; required
	HoldDown time.Duration // hold-down: how long it stays when the fabric has lost it, 0s to 1h; default 10s
}

// Aggregate is a prefix that BGP is told of while the VNI has at least one
// exported route inside it. In the file it is a prefix, or a mapping.
type Aggregate struct {
	Prefix      netip.Prefix // prefix: masked; required
	SummaryOnly bool         // summary-only: the routes inside it are not exported themselves; default false
}

// Log configures the log.
type Log struct {
	Level      LogLevel                  // level: default info
	Components map[LogComponent]LogLevel // components: default level, nil if none is named
	Format     LogFormat                 // format: default auto
}

// DefaultHTTP is where metrics and health are served if the file does not say.
const DefaultHTTP = "127.0.0.1:4712"

// The ports that addresses without one get.
const (
	DefaultMetalBondPort    = 4711
	DefaultMetalBondTLSPort = 4714
	DefaultBGPPort          = 179
)
