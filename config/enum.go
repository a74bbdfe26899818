package config

import (
	"fmt"
	"slices"
	"strings"
)

// Each enumeration is its list of names, index by index; String, the decoder
// and the text of errors all read the same list.

// Encapsulation is how packets of a VNI travel on the fabric side.
type Encapsulation uint8

// The encapsulations.
const (
	EncapVXLAN  Encapsulation = iota // through the gateway; EVPN type 5 with tunnel type 8 (RFC 9136 section 4.4.1)
	EncapIPinIP                      // straight to the next hop; EVPN type 5 with tunnel type 7 (RFC 9012)
	EncapSRv6                        // straight to the next hop, as a segment of SRv6 (RFC 9252)
	EncapMPLS                        // through the gateway; a label for each VNI
	EncapNone                        // through the gateway; plain packets
)

var encapsulationNames = []string{"vxlan", "ip-in-ip", "srv6", "mpls", "none"}

// String returns the name that the file uses.
func (e Encapsulation) String() string { return name(encapsulationNames, e) }

// AutoRT is how the route targets of a VNI are made.
type AutoRT uint8

// The forms. Imports match the number with any autonomous system.
const (
	AutoRTNone    AutoRT = iota // not at all
	AutoRTASVNI                 // (asn mod 65536):VNI, as FRR does by default
	AutoRTRFC8365               // asn:(0x10000000|VNI) (RFC 8365 section 5.1.2.1), 2-octet asn only
)

var autoRTNames = []string{"none", "as-vni", "rfc8365"}

// String returns the name that the file uses.
func (a AutoRT) String() string { return name(autoRTNames, a) }

// NextHops says how many standard next hops of a prefix a MetalBond client
// gets.
type NextHops uint8

// The choices.
const (
	NextHopsAll NextHops = iota // every one, for ECMP
	NextHopsOne                 // the best one, for clients that keep one a prefix
)

var nextHopsNames = []string{"all", "one"}

// String returns the name that the file uses.
func (n NextHops) String() string { return name(nextHopsNames, n) }

// Prefer says which control plane counts where both tell of a prefix.
type Prefer uint8

// The control planes.
const (
	PreferMetalBond Prefer = iota // what hypervisors announce comes first, what comes from BGP is for the rest
	PreferBGP                     // the other way round: of a VNI that has not moved from BGP to MetalBond yet
)

var preferNames = []string{"metalbond", "bgp"}

// String returns the name that the file uses.
func (p Prefer) String() string { return name(preferNames, p) }

// ParsePrefer reads a control plane as the file has it.
func ParsePrefer(s string) (Prefer, error) { return parseName[Prefer](preferNames, s) }

// HopType is a MetalBond next hop type, with the protocol's numbers.
type HopType uint8

// The types.
const (
	HopStandard           HopType = 0
	HopNAT                HopType = 1
	HopLoadBalancerTarget HopType = 2
)

var hopTypeNames = []string{"standard", "nat", "loadbalancer-target"}

// String returns the name that the file uses.
func (t HopType) String() string { return name(hopTypeNames, t) }

// Family is a BGP address family.
type Family uint8

// The families.
const (
	FamilyEVPN      Family = iota // AFI 25, SAFI 70
	FamilyVPNv4                   // AFI 1, SAFI 128
	FamilyVPNv6                   // AFI 2, SAFI 128
	FamilyIPv4                    // AFI 1, SAFI 1
	FamilyIPv6                    // AFI 2, SAFI 1
	FamilyRTC                     // AFI 1, SAFI 132: route target constraint (RFC 4684)
	FamilyFlowSpec4               // AFI 1, SAFI 133 (RFC 8955)
	FamilyFlowSpec6               // AFI 2, SAFI 133 (RFC 8956)
)

var familyNames = []string{"evpn", "vpnv4", "vpnv6", "ipv4", "ipv6", "rtc", "ipv4-flowspec", "ipv6-flowspec"}

// String returns the name that the file uses.
func (f Family) String() string { return name(familyNames, f) }

// MarshalText returns the name that the file uses.
func (f Family) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// VNIFamily is the kind of BGP routes that a VNI's routes become.
type VNIFamily uint8

// The kinds.
const (
	VNIFamilyEVPN    VNIFamily = iota // EVPN type 5 (RFC 9136)
	VNIFamilyVPN                      // VPNv4 and VPNv6 (RFC 4364, RFC 4659)
	VNIFamilyUnicast                  // IPv4 and IPv6 unicast
)

var vniFamilyNames = []string{"evpn", "vpn", "unicast"}

// String returns the name that the file uses.
func (f VNIFamily) String() string { return name(vniFamilyNames, f) }

// Families returns the address families of the kind.
func (f VNIFamily) Families() []Family {
	switch f {
	case VNIFamilyVPN:
		return []Family{FamilyVPNv4, FamilyVPNv6}
	case VNIFamilyUnicast:
		return []Family{FamilyIPv4, FamilyIPv6}
	}
	return []Family{FamilyEVPN}
}

// vniEncapsulations are those that routes of a family can describe.
var vniEncapsulations = [][]Encapsulation{
	VNIFamilyEVPN:    {EncapVXLAN, EncapIPinIP, EncapSRv6},
	VNIFamilyVPN:     {EncapSRv6, EncapMPLS},
	VNIFamilyUnicast: {EncapNone},
}

// family returns the family of VNIs that do not say theirs.
func (e Encapsulation) family() VNIFamily {
	switch e {
	case EncapSRv6, EncapMPLS:
		return VNIFamilyVPN
	case EncapNone:
		return VNIFamilyUnicast
	}
	return VNIFamilyEVPN
}

// SIDBehavior is the endpoint behaviour that is said of next hops (RFC 8986).
type SIDBehavior uint8

// The behaviours.
const (
	SIDBehaviorDT46 SIDBehavior = iota // End.DT46
	SIDBehaviorDX                      // End.DX4 for IPv4 prefixes, End.DX6 for IPv6
)

var sidBehaviorNames = []string{"dt46", "dx"}

// String returns the name that the file uses.
func (b SIDBehavior) String() string { return name(sidBehaviorNames, b) }

// SIDNextHop is what SRv6 routes name as their BGP next hop.
type SIDNextHop uint8

// The choices.
const (
	SIDNextHopTarget SIDNextHop = iota // the MetalBond next hop, which is the SID as well
	SIDNextHopSelf                     // this bridge
)

var sidNextHopNames = []string{"target", "self"}

// String returns the name that the file uses.
func (n SIDNextHop) String() string { return name(sidNextHopNames, n) }

// GracefulRestartMode is the part that we take in graceful restart.
type GracefulRestartMode uint8

// The modes.
const (
	GracefulRestartHelper GracefulRestartMode = iota // keep a restarting neighbour's routes, ask for nothing
	GracefulRestartOff                               // no capability at all
	GracefulRestartFull                              // and ask neighbours to keep ours for a time
)

var gracefulRestartNames = []string{"helper", "off", "full"}

// String returns the name that the file uses.
func (m GracefulRestartMode) String() string { return name(gracefulRestartNames, m) }

// AddPath says in which directions several paths of one prefix may go
// (RFC 7911).
type AddPath uint8

// The directions.
const (
	AddPathOff AddPath = iota
	AddPathReceive
	AddPathSend
	AddPathBoth
)

var addPathNames = []string{"off", "receive", "send", "both"}

// String returns the name that the file uses.
func (a AddPath) String() string { return name(addPathNames, a) }

// Receives reports whether a neighbour may send several paths.
func (a AddPath) Receives() bool { return a == AddPathReceive || a == AddPathBoth }

// Sends reports whether a neighbour is sent several paths.
func (a AddPath) Sends() bool { return a == AddPathSend || a == AddPathBoth }

// FlowSpec is how flow specifications name the hypervisor of a port range.
type FlowSpec uint8

// The forms.
const (
	FlowSpecOff        FlowSpec = iota // none are made
	FlowSpecRedirectIP                 // redirect to IP: community 0x0800, the hypervisor as next hop
	FlowSpecRedirectRT                 // redirect to a route target made of the hypervisor's address and the VNI (RFC 8956 section 6.1)
)

var flowSpecNames = []string{"off", "redirect-ip", "redirect-rt"}

// String returns the name that the file uses.
func (f FlowSpec) String() string { return name(flowSpecNames, f) }

// Tunnel is how packets are sent to hypervisors and segments. Both put one IPv6
// header in front of a packet.
type Tunnel uint8

// The tunnels.
const (
	TunnelIP6TNL Tunnel = iota // routes with encap ip6, through an ip6tnl device in external mode
	TunnelSeg6                 // routes with encap seg6 mode encap.red
)

var tunnelNames = []string{"ip6tnl", "seg6"}

// String returns the name that the file uses.
func (t Tunnel) String() string { return name(tunnelNames, t) }

// Decapsulation is what takes packets out of the tunnel that hypervisors send
// to a gateway address.
type Decapsulation uint8

// The ways. Those of segment routing are behaviours of RFC 8986.
const (
	DecapIP6TNL Decapsulation = iota // an ip6tnl device for each VNI
	DecapDT46                        // End.DT46: both families
	DecapDT4                         // End.DT4: IPv4 only
	DecapDT6                         // End.DT6: IPv6 only
	DecapOff                         // none here
)

var decapsulationNames = []string{"ip6tnl", "dt46", "dt4", "dt6", "off"}

// String returns the name that the file uses.
func (d Decapsulation) String() string { return name(decapsulationNames, d) }

// LogLevel is the least severe level that is logged.
type LogLevel uint8

// The levels; their names are those of logrus.
const (
	LogInfo LogLevel = iota
	LogError
	LogWarning
	LogDebug
	LogTrace
)

var logLevelNames = []string{"info", "error", "warning", "debug", "trace"}

// String returns the name that the file and logrus use.
func (l LogLevel) String() string { return name(logLevelNames, l) }

// ParseLogLevel reads a level as the file has it.
func ParseLogLevel(s string) (LogLevel, error) { return parseName[LogLevel](logLevelNames, s) }

// LogComponent is a part of the process that has a log level of its own.
type LogComponent uint8

// The components.
const (
	LogMetalBond LogComponent = iota // sessions with hypervisors and servers
	LogBGP                           // sessions with neighbours, and the speaker
	LogKernel                        // routes, devices and steering in Linux
	LogBridge                        // what goes from one side to the other
	LogAPI                           // gRPC and HTTP
)

var logComponentNames = []string{"metalbond", "bgp", "kernel", "bridge", "api"}

// LogComponents returns all components.
func LogComponents() []LogComponent {
	return []LogComponent{LogMetalBond, LogBGP, LogKernel, LogBridge, LogAPI}
}

// String returns the name that the file, the command line and log lines use.
func (c LogComponent) String() string { return name(logComponentNames, c) }

// ParseLogComponent reads a component as the file has it.
func ParseLogComponent(s string) (LogComponent, error) {
	return parseName[LogComponent](logComponentNames, s)
}

// LogFormat is the form of log lines.
type LogFormat uint8

// The formats.
const (
	LogAuto LogFormat = iota // text on a terminal, JSON otherwise
	LogText
	LogJSON
)

var logFormatNames = []string{"auto", "text", "json"}

// String returns the name that the file uses.
func (f LogFormat) String() string { return name(logFormatNames, f) }

// parseName returns the value that has a name.
func parseName[T ~uint8](names []string, s string) (T, error) {
	i := slices.Index(names, s)
	if i < 0 {
		return 0, fmt.Errorf("%s is not one of %s", s, strings.Join(names, ", "))
	}
	return T(i), nil
}

func name[T ~uint8](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("unknown-%d", uint8(v))
}
