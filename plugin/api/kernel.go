package api

import (
	"net/http"
	"net/netip"
	"time"

	"mbbgp/rib"
)

// KernelPath is where the kernel's side is shown: of all VNIs, or with ?vni=N
// of one and of what all have in common.
const KernelPath = "/kernel.json"

// Kernel is what the VNIs have in the kernel.
type Kernel struct {
	Synced         bool            `json:"synced"`         // all that the tables say is in the kernel
	Since          time.Time       `json:"since,omitzero"` // of that; absent while it is not
	Swept          bool            `json:"swept"`          // what an earlier run left and nobody claimed is gone
	NextHopObjects bool            `json:"nextHopObjects"` // in use
	Tables         []KernelTable   `json:"tables"`
	NextHops       []KernelNextHop `json:"nextHops"`
	Devices        []KernelDevice  `json:"devices"`
	Counters       KernelCounters  `json:"counters"`
}

// KernelTable is the routing table of a VNI.
type KernelTable struct {
	VNI       rib.VNI `json:"vni"`
	Table     uint32  `json:"table"`
	VRF       string  `json:"vrf,omitempty"`
	Routes    int     `json:"routes"`        // of ours
	Unclaimed int     `json:"unclaimed"`     // of these, left by an earlier run and not announced yet
	Pending   int     `json:"pending"`       // prefixes whose change failed and is tried again
	Conflicts int     `json:"conflicts"`     // prefixes where a route of somebody else has our metric
	Steered   int     `json:"steeredRanges"` // NAT port ranges
	Contested int     `json:"contested"`     // NAT addresses of which several hypervisors claim the same ports
	Dropped   uint64  `json:"sourceDropped"` // packets, by source validation
	LastError string  `json:"lastError,omitempty"`
}

// KernelNextHop is a next hop as the kernel has it.
type KernelNextHop struct {
	Kind      string     `json:"kind"` // overlay, vtep, label, plain, discard
	Target    netip.Addr `json:"target,omitzero"`
	VNI       rib.VNI    `json:"vni,omitempty"`       // of a VTEP: whose VXLAN device is used
	RouterMAC string     `json:"routerMAC,omitempty"` // of a VTEP
	Label     uint32     `json:"label,omitempty"`
	ID        uint32     `json:"id,omitempty"` // of the next hop object
	Routes    int        `json:"routes"`       // prefixes that use it, alone or with others
	Reachable bool       `json:"reachable"`
	Device    string     `json:"device,omitempty"` // that the underlay route leaves by
	Gateway   netip.Addr `json:"gateway,omitzero"` // of the underlay route; absent: on link
}

// KernelDevice is a network interface, an address, a rule, a segment or a label
// that VNIs need.
type KernelDevice struct {
	Name    string  `json:"name"`
	Kind    string  `json:"kind"`          // vrf, vxlan, ip6tnl, address, rule, segment, label, nftables
	VNI     rib.VNI `json:"vni,omitempty"` // absent: of all
	Ours    bool    `json:"ours"`          // made, not found
	OK      bool    `json:"ok"`
	Problem string  `json:"problem,omitempty"`
}

// KernelCounters count since the start.
type KernelCounters struct {
	Installed  uint64            `json:"installed"` // routes added or replaced
	Removed    uint64            `json:"removed"`
	NextHops   uint64            `json:"nextHops"` // next hop objects added, replaced or removed
	Restored   uint64            `json:"restored"` // what somebody else had changed and was put right
	Swept      uint64            `json:"swept"`    // routes of an earlier run that nobody claimed
	Failed     map[string]uint64 `json:"failed"`   // requests that the kernel refused, by error
	Resyncs    map[string]uint64 `json:"resyncs"`  // comparisons with the whole kernel, by reason
	ScanLasted float64           `json:"scanSeconds"`
}

// KernelRoute is a prefix in the routing table of a VNI.
type KernelRoute struct {
	Table     uint32          `json:"table"`
	Installed bool            `json:"installed"`
	Problem   string          `json:"problem,omitempty"` // why it is not, or not as it should be
	NextHops  []KernelNextHop `json:"nextHops"`          // those that cannot be reached are not used while another one can
}

// of returns what belongs to a VNI or to all.
func (k Kernel) of(vni rib.VNI) Kernel {
	tables, hops, devices := k.Tables, k.NextHops, k.Devices
	k.Tables, k.NextHops, k.Devices = []KernelTable{}, []KernelNextHop{}, []KernelDevice{}
	for _, t := range tables {
		if t.VNI == vni {
			k.Tables = append(k.Tables, t)
		}
	}
	for _, h := range hops {
		if h.VNI == vni || h.VNI == 0 {
			k.NextHops = append(k.NextHops, h)
		}
	}
	for _, d := range devices {
		if d.VNI == vni || d.VNI == 0 {
			k.Devices = append(k.Devices, d)
		}
	}
	return k
}

// kernel answers GET /kernel.json.
func (s *Server) kernel(w http.ResponseWriter, r *http.Request) {
	q, err := query(r.URL.RawQuery, "vni")
	if err != nil {
		answer(w, http.StatusBadRequest, problem{err.Error()})
		return
	}
	if s.state.Kernel == nil {
		answer(w, http.StatusNotFound, problem{"the configuration has no kernel section"})
		return
	}
	k := s.state.Kernel()
	if text, one := q["vni"]; one {
		vni, err := ParseVNI(text)
		if err != nil {
			answer(w, http.StatusBadRequest, problem{"vni: " + err.Error()})
			return
		}
		k = k.of(vni)
	}
	answer(w, http.StatusOK, k)
}
