package kernel

import (
	"net/netip"
	"time"

	"mbbgp/rib"
)

// Info is the state of the kernel side at one moment.
type Info struct {
	Synced   bool      // all that the tables said when it was looked at last is in the kernel, but for conflicts
	Swept    bool      // what an earlier run left and nobody claimed is gone
	Since    time.Time // of Synced
	Objects  bool      // next hop objects are in use
	Tables   []TableInfo
	NextHops []NextHopInfo
	Devices  []DeviceInfo
	Counters Counters
}

// TableInfo is one VNI's table.
type TableInfo struct {
	VNI       rib.VNI
	Table     uint32
	VRF       string // "": none
	Routes    int    // of ours in the kernel
	Unclaimed int    // of these, left by an earlier run and not announced yet
	Pending   int    // prefixes whose change failed and is tried again
	Conflicts int    // prefixes where somebody else's route has our metric: theirs stays
	Steered   int    // NAT port ranges
	Contested int    // NAT addresses of which several hypervisors claim the same ports
	Dropped   uint64 // packets that source validation has dropped
	LastError string // of a change that failed; "" if none is pending
}

// NextHopInfo is a next hop in use.
type NextHopInfo struct {
	Kind      string     // "overlay", "vtep", "label", "plain", "discard"
	Target    netip.Addr // invalid: discard
	VNI       rib.VNI    // of a VTEP: whose VXLAN device
	MAC       string     // of a VTEP
	Label     uint32
	ID        uint32 // of the next hop object; 0: none
	Routes    int    // prefixes that use it, alone or with others
	Reachable bool   // the underlay has a route to it that can be used
	Device    string // that the underlay route leaves by; "" if not reachable
	Gateway   netip.Addr
}

// DeviceInfo is a network interface, an address, a rule or a route that VNIs
// need beside those of their tables.
type DeviceInfo struct {
	Name    string
	Kind    string  // "vrf", "vxlan", "ip6tnl", "address", "rule", "segment", "label", "unreachable", "nftables"
	VNI     rib.VNI // 0: of all
	Ours    bool    // made by us, not found
	OK      bool
	Problem string // "" if it is OK
}

// Counters count since the start.
type Counters struct {
	Installed  uint64            // routes added or replaced
	Removed    uint64            // routes removed
	NextHops   uint64            // next hop objects added, replaced or removed
	Restored   uint64            // routes, next hops and devices put right that somebody else had changed
	Swept      uint64            // routes of an earlier run that nobody claimed
	Failed     map[string]uint64 // requests that the kernel refused, by error name
	Resyncs    map[string]uint64 // comparisons with the whole kernel, by reason: start, scan, overrun, link, next-hops, ...
	ScanLasted time.Duration     // the last one
}

// RouteInfo is what there is of one prefix in a VNI's table.
type RouteInfo struct {
	Table     uint32
	Installed bool
	NextHops  []NextHopInfo // wanted; those that are not reachable are not used while another one is
	Problem   string        // why it is not installed; "" if it is
}
