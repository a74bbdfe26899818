package kernel

// NAT steering. Several hypervisors own parts of the ports of one address. TCP
// and UDP packets to such a port go to its owner; all else, that has no ports or
// whose port nobody owns, follows the route, which hashes over all of them.
//
// nftables looks up interface and address in a hash table, then the port in the
// interval map of that address, and comes to the chain of the owner, which sets
// the packet's mark. By the mark rules select a table that leads to the owner
// (steer_owners.go, steer_tree.go).
//
// Why not one map of address, protocol and port range: for concatenations with
// ranges nftables has one implementation (pipapo), which goes through bit fields
// as long as the whole map. Measured on a virtual machine of 2 cores, processor
// time for a packet that is forwarded and encapsulated in 9.2 us otherwise:
//
//	ranges                             10    1,000  10,000 (of 500 hypervisors)
//	pipapo, the lookup alone           1.0   3.7    6.2 us
//	"ip rule dport", the rules alone   -     18     116 us
//	this, marks and rules by mark      0.9   -      3.5 us
//
// What grows here are caches that miss, and rules of more hypervisors.
//
// A change of an address replaces its rule and the map of its ports together, so
// that a port goes from owner to owner and is never nobody's. Changed elements of
// the map would be fewer messages, but most kernels miss elements of interval maps
// for the moment in which they are replaced. One change among 10,000 ranges takes
// 25 ms, of which 4 ms are work: the kernel waits for packets under way. All
// 10,000 take 0.5 s.

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/sirupsen/logrus"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/rtnl"
	"mbbgp/rib"
)

// natAddress is an address of a VNI whose packets are steered.
type natAddress struct {
	vni  rib.VNI
	addr netip.Addr
}

// chain returns the name of the address's chain.
func (a natAddress) chain() string {
	if a.addr.Is4() {
		return fmt.Sprintf("vni%d_%v", a.vni, a.addr)
	}
	return fmt.Sprintf("vni%d_%s", a.vni, hex.EncodeToString(a.addr.AsSlice()))
}

// ownerChain returns the name of the chain that sets a mark.
func ownerChain(index uint16) string { return fmt.Sprintf("owner%d", index) }

// steering is the NAT steering of all VNIs, and the rest of what is in our
// nftables table (filter.go). It is for one goroutine.
type steering struct {
	cfg    *config.Config
	log    logrus.FieldLogger
	scopes []scope
	owners owners
	nft    nft
	marks  map[rib.VNI]uint16 // of source validation
	mtu    int                // of the overlay device, as MSS clamping knows it
	drops  map[rib.VNI]uint64 // by source validation, when it was looked at last

	said     map[natAddress][]portRange
	earlier  map[natAddress][]portRange // that an earlier run left and nobody has said
	steered  map[natAddress][]portRange // what these come to: in the kernel, or to be
	clashes  map[natAddress]bool        // whose ranges overlap
	dirty    map[natAddress]bool        // whose ranges may have changed
	adopted  bool                       // what an earlier run left was looked at
	swept    bool                       // and nothing of it counts any more
	outdated bool                       // the table has to be written anew
	problem  string                     // why there is no steering; "" if there is
}

// newSteering opens a socket in the network namespace of the calling thread and
// changes nothing before apply.
func newSteering(cfg *config.Config, conn *rtnl.Conn, hops holder, log logrus.FieldLogger) (*steering, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	s := &steering{
		cfg: cfg, log: log, scopes: newScopes(cfg),
		owners: newOwners(cfg.Kernel, conn, hops, handle), nft: newNFT(cfg.Kernel.Protocol),
		marks: map[rib.VNI]uint16{}, drops: map[rib.VNI]uint64{},
		said: map[natAddress][]portRange{}, earlier: map[natAddress][]portRange{}, steered: map[natAddress][]portRange{},
		clashes: map[natAddress]bool{}, dirty: map[natAddress]bool{}, outdated: true,
	}
	return s, nil
}

// close closes the socket.
func (s *steering) close() { s.owners.tree.handle.Close() }

// set says all port ranges of a host prefix that hypervisors own, for packets of
// a VNI. Other prefixes have none. It takes effect with the next apply.
func (s *steering) set(vni rib.VNI, p netip.Prefix, ranges []portRange) {
	at := natAddress{vni, p.Addr()}
	if !p.IsSingleIP() || s.scope(vni) == nil || slices.Equal(s.said[at], ranges) {
		return
	}
	if s.said[at] = slices.Clone(ranges); len(ranges) == 0 {
		delete(s.said, at)
	}
	s.dirty[at] = true
}

// apply brings into the kernel what was set since the last time, and what could
// not be brought there then.
func (s *steering) apply() error {
	if s.outdated && len(s.dirty) == 0 && len(s.steered) == 0 && !s.filters() {
		return s.abandon()
	}
	if !s.adopted {
		if err := s.adopt(); err != nil {
			return s.failed(err)
		}
		s.adopted = true
	}
	changes, err := s.divide()
	errs := []error{err}
	if !s.outdated && len(changes) > 0 {
		if err := s.change(changes); err != nil {
			s.outdated = true // perhaps the table is not what we left: all of it is written
			s.log.WithError(err).Debug("the nftables table is written anew")
		}
	}
	if s.outdated {
		if err := s.writeAll(); err != nil {
			return errors.Join(append(errs, s.failed(err))...)
		}
		s.outdated = false
	}
	s.problem = ""
	return errors.Join(append(errs, s.owners.collect())...)
}

// failed notes what keeps all of it from working, and returns what is to be tried
// again soon. That the kernel has no nftables is not: it is said once.
func (s *steering) failed(err error) error {
	if !lacksNFTables(err) {
		s.problem = err.Error()
		return err
	}
	if s.problem == "" {
		s.log.WithError(err).Warn("the kernel has no nftables: no NAT steering, source validation and MSS clamping")
	}
	s.problem = "the kernel has no nftables (modprobe nf_tables)"
	return nil
}

// lacksNFTables reports whether an error means that the kernel has no nftables.
func lacksNFTables(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT)
}

// info returns what there is to know of the table, nothing if it is not needed.
func (s *steering) info() []DeviceInfo {
	if s.outdated && s.problem == "" {
		return nil
	}
	return []DeviceInfo{{Name: s.nft.table.Name, Kind: "nftables", Ours: true, OK: s.problem == "", Problem: s.problem}}
}

// moved is the ranges of an address, before and after.
type moved struct {
	at       natAddress
	old, new []portRange
}

// divide finds what becomes of addresses that were set, and makes the marks of
// all owners lead somewhere. What it cannot do it tries again the next time.
func (s *steering) divide() (changes []moved, err error) {
	var errs []error
	for at := range s.dirty {
		parts, clash := divide(s.said[at], s.earlier[at])
		if clash && !s.clashes[at] {
			level := logrus.WarnLevel // of the first one of the VNI; how many there are is a metric
			if s.conflicts(at.vni) > 0 {
				level = logrus.DebugLevel
			}
			s.log.WithFields(logrus.Fields{"vni": at.vni, "address": at.addr}).
				Log(level, "hypervisors claim the same ports of an address; the lowest next hop has them")
		}
		if s.clashes[at] = clash; !clash {
			delete(s.clashes, at)
		}
		old := s.steered[at]
		if slices.Equal(old, parts) {
			delete(s.dirty, at)
			continue
		}
		if err := s.acquire(parts); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, r := range old {
			s.owners.list[r.target].uses--
		}
		if s.steered[at] = parts; len(parts) == 0 {
			delete(s.steered, at)
		}
		delete(s.dirty, at)
		changes = append(changes, moved{at, old, parts})
	}
	return changes, errors.Join(errs...)
}

// acquire counts the owners of ranges, all or none.
func (s *steering) acquire(parts []portRange) error {
	for i, r := range parts {
		w, err := s.owners.acquire(r.target)
		if err != nil {
			for _, done := range parts[:i] {
				s.owners.list[done.target].uses--
			}
			return err
		}
		w.uses++
	}
	return nil
}

// change writes the changes of addresses, in three transactions: maps, rules that
// use them, and what nobody uses then. Within one, some kernels (6.18) show rules
// to packets before the new interval map has anything in it.
func (s *steering) change(changes []moved) error {
	for _, write := range []func(*transaction){
		func(t *transaction) {
			for _, c := range changes {
				if s.addOwners(t, c.new); len(c.old) == 0 {
					t.chain(nftables.Chain{Name: c.at.chain()})
				}
				if len(c.new) > 0 {
					s.addPorts(t, c.at, c.new)
				}
			}
		},
		func(t *transaction) {
			for _, c := range changes {
				switch {
				case len(c.new) == 0:
					s.eachElement(c.at, t.drop)
					t.dropChain(c.at.chain())
				case len(c.old) == 0:
					s.addRule(t, c.at)
					s.eachElement(c.at, t.add)
				default:
					t.emptyChain(c.at.chain())
					s.addRule(t, c.at)
				}
			}
		},
		func(t *transaction) {
			t.dropReplaced()
			for _, w := range s.owners.list {
				if name := ownerChain(w.index); w.uses == 0 && t.has(name) {
					t.dropChain(name)
				}
			}
		},
	} {
		if err := s.nft.transact(write); err != nil {
			return err
		}
	}
	return nil
}

// writeAll writes the whole table in one transaction.
func (s *steering) writeAll() error {
	t, err := s.nft.begin(true)
	if err != nil {
		return err
	}
	if err := s.addFilters(t); err != nil {
		return err
	}
	s.addScopes(t)
	for at, parts := range s.steered {
		s.addOwners(t, parts)
		t.chain(nftables.Chain{Name: at.chain()})
		s.addPorts(t, at, parts)
		s.addRule(t, at)
		s.eachElement(at, t.add)
	}
	return t.commit()
}

// addOwners adds the chains of owners that have none.
func (s *steering) addOwners(t *transaction, parts []portRange) {
	for _, r := range parts {
		index := s.owners.list[r.target].index
		if name := ownerChain(index); !t.has(name) {
			t.chain(nftables.Chain{Name: name})
			t.rule(name, setMark(s.cfg.Kernel.MarkShift, uint32(index)))
		}
	}
}

// addPorts adds the map of the ports of an address.
func (s *steering) addPorts(t *transaction, at natAddress, parts []portRange) {
	list := make([]nftables.SetElement, 0, 2*len(parts))
	for _, r := range parts {
		to := &expr.Verdict{Kind: expr.VerdictGoto, Chain: ownerChain(s.owners.list[r.target].index)}
		list = append(list, nftables.SetElement{Key: port(r.from), VerdictData: to})
		if r.to != 0 {
			list = append(list, nftables.SetElement{Key: port(r.to), IntervalEnd: true})
		}
	}
	t.constant(at.chain(), nftables.Set{
		IsMap: true, Interval: true, KeyType: nftables.TypeInetService, DataType: nftables.TypeVerdict,
	}, list)
}

// addRule adds the rule of an address, which uses the map of its ports.
func (s *steering) addRule(t *transaction, at natAddress) {
	t.rule(at.chain(), []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}, vmap(t.nft.maps[at.chain()], 1))
}

func port(n uint16) []byte { return []byte{byte(n >> 8), byte(n)} }

// counts returns how many port ranges of a VNI's packets are steered.
func (s *steering) counts(vni rib.VNI) (n int) {
	for at, parts := range s.steered {
		if at.vni == vni {
			n += len(parts)
		}
	}
	return n
}

// conflicts returns how many addresses of a VNI have ports that several
// hypervisors claim.
func (s *steering) conflicts(vni rib.VNI) (n int) {
	for at := range s.clashes {
		if at.vni == vni {
			n++
		}
	}
	return n
}

// reconcile compares all that is ours with the kernel and puts it right.
func (s *steering) reconcile() (restored int, err error) {
	if s.outdated {
		return 0, s.apply()
	}
	restored, err = s.owners.reconcile()
	same, err2 := s.nft.same()
	if s.cfg.Kernel.MSS == config.MSSAuto && s.overlayMTU() != s.mtu {
		same = false
	}
	if err2 == nil && !same {
		s.outdated = true
		restored++
		err2 = s.apply()
	}
	return restored, errors.Join(err, err2)
}

// remove takes all that is ours out of the kernel, whoever put it there. What was
// set comes back with the next apply.
func (s *steering) remove() error {
	err := s.nft.remove()
	if err != nil {
		err = s.failed(err) // nil if there cannot be a table
	}
	for at := range s.said {
		s.dirty[at] = true
	}
	clear(s.steered)
	clear(s.earlier)
	clear(s.marks)
	s.outdated = true
	return errors.Join(err, s.owners.remove())
}
