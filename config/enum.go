package config

import "fmt"

// Each enumeration is its list of names, index by index; String, the decoder
// and the text of errors all read the same list.

// Encapsulation is how packets of a VNI travel on the fabric side.
type Encapsulation uint8

// The encapsulations.
const (
	EncapVXLAN  Encapsulation = iota // through the gateway; EVPN type 5 with tunnel type 8 (RFC 9136 section 4.4.1)
	EncapIPinIP                      // straight to the next hop; EVPN type 5 with tunnel type 7 (RFC 9012)
)

var encapsulationNames = []string{"vxlan", "ip-in-ip"}

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
	FamilyEVPN  Family = iota // AFI 25, SAFI 70
	FamilyVPNv4               // AFI 1, SAFI 128
	FamilyVPNv6               // AFI 2, SAFI 128
	FamilyIPv4                // AFI 1, SAFI 1
	FamilyIPv6                // AFI 2, SAFI 1
)

var familyNames = []string{"evpn", "vpnv4", "vpnv6", "ipv4", "ipv6"}

// String returns the name that the file uses.
func (f Family) String() string { return name(familyNames, f) }

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

func name[T ~uint8](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("unknown-%d", uint8(v))
}
