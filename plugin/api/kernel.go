package api

import (
	"net/netip"
	"slices"
	"time"

	"mbbgp/rib"
)

// Kernel is what the VNIs have in the kernel.
type Kernel struct {
	Synced         bool      // all that the tables say is in the kernel
	Since          time.Time // of that; absent while it is not
	Swept          bool      // what an earlier run left and nobody claimed is gone
	NextHopObjects bool      // in use
	Tables         []KernelTable
	NextHops       []KernelNextHop
	Devices        []KernelDevice
	Counters       KernelCounters
}

// KernelTable is the routing table of a VNI.
type KernelTable struct {
	VNI       rib.VNI
	Table     uint32
	VRF       string
	Routes    int    // of ours
	Unclaimed int    // of these, left by an earlier run and not announced yet
	Pending   int    // prefixes whose change failed and is tried again
	Conflicts int    // prefixes where a route of somebody else has our metric
	Steered   int    // NAT port ranges
	Contested int    // NAT addresses of which several hypervisors claim the same ports
	Dropped   uint64 // packets, by source validation
	LastError string
}

// KernelNextHop is a next hop as the kernel has it.
type KernelNextHop struct {
	Kind      string // overlay, vtep, label, plain, discard
	Target    netip.Addr
	VNI       rib.VNI // of a VTEP: whose VXLAN device is used
	RouterMAC string  // of a VTEP
	Label     uint32
	ID        uint32 // of the next hop object
	Routes    int    // prefixes that use it, alone or with others
	Reachable bool
	Device    string     // that the underlay route leaves by
	Gateway   netip.Addr // of the underlay route; absent: on link
}

// KernelDevice is a network interface, an address, a rule, a segment or a label
// that VNIs need.
type KernelDevice struct {
	Name    string
	Kind    string  // vrf, vxlan, ip6tnl, address, rule, segment, label, nftables
	VNI     rib.VNI // absent: of all
	Ours    bool    // made, not found
	OK      bool
	Problem string
}

// KernelCounters count since the start.
type KernelCounters struct {
	Installed  uint64 // routes added or replaced
	Removed    uint64
	NextHops   uint64            // next hop objects added, replaced or removed
	Restored   uint64            // what somebody else had changed and was put right
	Swept      uint64            // routes of an earlier run that nobody claimed
	Failed     map[string]uint64 // requests that the kernel refused, by error
	Resyncs    map[string]uint64 // comparisons with the whole kernel, by reason
	ScanLasted float64
}

// KernelRoute is a prefix in the routing table of a VNI.
type KernelRoute struct {
	Table     uint32
	Installed bool
	Problem   string          // why it is not, or not as it should be
	NextHops  []KernelNextHop // those that cannot be reached are not used while another one can
}

// of returns what belongs to some VNIs or to all.
func (k Kernel) of(vnis []rib.VNI) Kernel {
	tables, hops, devices := k.Tables, k.NextHops, k.Devices
	k.Tables, k.NextHops, k.Devices = []KernelTable{}, []KernelNextHop{}, []KernelDevice{}
	for _, t := range tables {
		if slices.Contains(vnis, t.VNI) {
			k.Tables = append(k.Tables, t)
		}
	}
	for _, h := range hops {
		if h.VNI == 0 || slices.Contains(vnis, h.VNI) {
			k.NextHops = append(k.NextHops, h)
		}
	}
	for _, d := range devices {
		if d.VNI == 0 || slices.Contains(vnis, d.VNI) {
			k.Devices = append(k.Devices, d)
		}
	}
	return k
}
