package bridge

// MetalBond routes have no attributes, so all that keeps a route from going
// round is decided here from what it is: by its next hop (a gateway's address
// means that the route was learnt from another protocol), by who says it
// (origins and their sources, which the table keeps), and in BGP by the
// domain's Site-of-Origin.
//
//	MetalBond session -- Channel --> table -- Export --> BGP speaker
//	MetalBond session <-- reader --- table <-- Import -- BGP speaker
//
// Three rules cut every circle:
//   - what came from BGP is not exported to BGP: the readers of Export do not
//     show it, and a sibling gateway's copy of it, heard from a MetalBond
//     server, is known by its next hop;
//   - what this MetalBond domain gave to BGP, through whichever gateway, is
//     not imported again: it carries the domain's Site-of-Origin;
//   - a server's word on what this bridge itself says to servers does not
//     count (own.go).

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sirupsen/logrus"

	"mbbgp/config"
	"mbbgp/rib"
)

// Bridge is the policy between MetalBond, the table and BGP; one per process.
// All methods may be called at the same time from any goroutine.
type Bridge struct {
	table    *rib.Table
	fabric   *rib.Table // nil without a kernel section
	log      logrus.FieldLogger
	view     atomic.Pointer[view] // what is configured
	applying sync.Mutex           // held by Apply
	bgp      *BGP
	servers  servers
	leaks    leaks
	prefers  preferring  // guarded by applying
	short    atomic.Bool // of memory (memory.go)
}

// view is what is configured. It never changes: another configuration is
// another view, with the same networks as far as they are the same.
type view struct {
	networks map[rib.VNI]*network
	sorted   []*network          // the same by VNI
	own      map[netip.Addr]bool // gateway addresses of this bridge
	pools    []netip.Prefix      // next hops of all gateways

	deferred, overridden map[rib.VNI]bool // VNIs that prefer BGP, and those that do not prefer what is configured
}

// network is one configured VNI: its policy, which never changes, and the state
// of both directions, which a network of the same VNI in the next view takes
// over.
type network struct {
	config        config.VNI
	vni           rib.VNI
	family        config.VNIFamily
	encapsulation config.Encapsulation
	gateway       netip.Addr // invalid if there is none
	self          bool       // exports say this gateway as next hop, not the hypervisor
	lossless      bool       // exports carry all fields of a next hop
	forwards      bool       // its routes through this gateway are in the fabric table
	srv6          config.SRv6
	label         uint32 // of exports, as Update has it
	imports       config.Import
	exports       config.Export
	importTypes   hopTypes
	exportTypes   hopTypes
	importPolicy  *policy
	exportPolicy  *policy
	originates    []config.Originate
	aggregates    []config.Aggregate
	in            *importState
	out           *exportState
	admitted      *tableLimit
	from          []rib.VNI // whose routes it has, too (leak.go)
}

// exported reports whether the VNI's routes go to BGP: those of VPN and EVPN
// need a route target, unicast has none.
func (n *network) exported() bool {
	return n.family == config.VNIFamilyUnicast || len(n.exports.Targets) > 0
}

// hopTypes is a set of next hop types.
type hopTypes uint8

// newHopTypes returns the set of the types of a list, and standard alone for an
// empty one.
func newHopTypes(list []config.HopType) (s hopTypes) {
	for _, t := range list {
		s |= 1 << t
	}
	if s == 0 {
		s = 1 << config.HopStandard
	}
	return s
}

func (s hopTypes) has(t rib.NextHopType) bool { return s&(1<<t) != 0 }

// New makes a bridge over a table. cfg is neither changed nor kept. The error
// says which values contradict each other.
func New(cfg *config.Config, table *rib.Table, log logrus.FieldLogger) (*Bridge, error) {
	b := &Bridge{table: table, log: log, leaks: newLeaks()}
	if cfg.Kernel != nil {
		b.fabric = rib.New(rib.Options{})
	}
	v, err := newView(cfg, &view{})
	if err != nil {
		return nil, err
	}
	b.prefers.open(cfg, log)
	b.prefers.mark(v)
	b.view.Store(v)
	b.leaks.set(b, v)
	b.bgp, err = newBGP(b, cfg)
	return b, err
}

// newView returns the view of a configuration. It takes over the networks of
// the one before that are the same, and of others the state. The error says
// which values contradict each other.
func newView(cfg *config.Config, was *view) (*view, error) {
	if cfg.BGP != nil && (!cfg.RouterID.Is4() || !cfg.VXLAN.Local.IsValid()) {
		return nil, errors.New("BGP needs an IPv4 router-id and a local VXLAN address")
	}
	v := &view{networks: map[rib.VNI]*network{}, own: map[netip.Addr]bool{}, pools: slices.Clone(cfg.MetalBond.Gateways)}
	forwards := forwarding(cfg)
	for i := range cfg.VNIs {
		c := &cfg.VNIs[i]
		vni := rib.VNI(c.VNI)
		if v.networks[vni] != nil {
			return nil, fmt.Errorf("vni %d is configured twice", vni)
		}
		if cfg.BGP != nil && (vni == 0 || vni > maxVNI) {
			return nil, fmt.Errorf("vni %d does not fit into an EVPN label (1 to %d)", vni, maxVNI)
		}
		if err := checkKind(c); err != nil {
			return nil, err
		}
		if err := checkImportFrom(c); err != nil {
			return nil, err
		}
		if err := checkOriginate(c); cfg.BGP != nil && err != nil {
			return nil, err
		}
		if c.Gateway.IsValid() {
			v.own[c.Gateway] = true
		}
		n := was.networks[vni]
		if n == nil || n.forwards != forwards[vni] || !reflect.DeepEqual(n.config, *c) {
			n = newNetwork(c, n)
			n.forwards = forwards[vni]
		}
		v.networks[vni] = n
	}
	v.sorted = slices.SortedFunc(maps.Values(v.networks), func(x, y *network) int { return int(int64(x.vni) - int64(y.vni)) })
	return v, nil
}

// newNetwork returns a network that takes over the state of another one, and
// the counters of policies that are the same. was may be nil.
func newNetwork(c *config.VNI, was *network) *network {
	n := &network{
		config:        *c,
		vni:           rib.VNI(c.VNI),
		family:        c.Family,
		encapsulation: c.Encapsulation,
		gateway:       c.Gateway,
		srv6:          c.SRv6,
		imports:       c.Import,
		exports:       c.Export,
		exportTypes:   newHopTypes(c.Export.Types),
		importPolicy:  newPolicy(c.Import.Rules),
		exportPolicy:  newPolicy(c.Export.Rules),
		originates:    c.Originate,
		aggregates:    c.Aggregates,
	}
	n.self = n.encapsulation != config.EncapIPinIP && n.encapsulation != config.EncapSRv6
	n.lossless = !n.self && n.exportTypes != newHopTypes(nil)
	n.importTypes = n.exportTypes
	if len(c.Import.Types) > 0 {
		n.importTypes = newHopTypes(c.Import.Types)
	}
	for _, from := range c.ImportFrom {
		n.from = append(n.from, rib.VNI(from))
	}
	slices.Sort(n.from)
	if was == nil {
		n.in, n.out, n.admitted = newImportState(), newExportState(n), new(tableLimit)
		n.admitted.Max = c.MaxPrefixes
		return n
	}
	n.in, n.out, n.admitted, n.label = was.in, was.out, was.admitted, was.label
	if reflect.DeepEqual(was.imports.Rules, n.imports.Rules) {
		n.importPolicy = was.importPolicy
	}
	if reflect.DeepEqual(was.exports.Rules, n.exports.Rules) {
		n.exportPolicy = was.exportPolicy
	}
	return n
}

// checkKind says what is wrong with the combination of family and encapsulation
// of a VNI, and with aggregates of one that sends straight to the hypervisors.
func checkKind(c *config.VNI) error {
	var allowed []config.Encapsulation
	switch c.Family {
	case config.VNIFamilyEVPN:
		allowed = []config.Encapsulation{config.EncapVXLAN, config.EncapIPinIP, config.EncapSRv6}
	case config.VNIFamilyVPN:
		allowed = []config.Encapsulation{config.EncapSRv6, config.EncapMPLS}
	case config.VNIFamilyUnicast:
		allowed = []config.Encapsulation{config.EncapNone}
	}
	if !slices.Contains(allowed, c.Encapsulation) {
		return fmt.Errorf("vni %d: encapsulation %v is none that family %v has (%v)", c.VNI, c.Encapsulation, c.Family, allowed)
	}
	if straight := c.Encapsulation == config.EncapIPinIP || c.Encapsulation == config.EncapSRv6; straight && len(c.Aggregates) > 0 {
		return fmt.Errorf("vni %d: aggregates need an encapsulation that goes through the gateway, %v does not", c.VNI, c.Encapsulation)
	}
	return nil
}

// Table is where the routes are.
func (b *Bridge) Table() *rib.Table { return b.table }

// current is what is configured at the moment.
func (b *Bridge) current() *view { return b.view.Load() }

// BGP is the side of the bridge that the BGP speaker talks to.
func (b *Bridge) BGP() *BGP { return b.bgp }

// gatewayHop reports whether a next hop is a gateway's: of this bridge or of
// any other of the domain. Its routes were learnt from another protocol.
func (v *view) gatewayHop(target netip.Addr) bool {
	if v.own[target] {
		return true
	}
	for _, p := range v.pools {
		if p.Contains(target) {
			return true
		}
	}
	return false
}
