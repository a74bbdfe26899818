package kernel

// Source validation: a packet that comes out of a tunnel is dropped if the VNI's
// table does not lead back to its source through the overlay. nftables' fib
// expression asks for that route by the packet's mark, because the rules of the
// tree then select the table, with and without a VRF.
//
// Packets of an ip6tnl device are known by it. Those of a segment (End.DT46,
// End.DT4) appear at the VRF device, like packets of the fabric: so the packet
// is marked when it comes to the segment's address, and the mark is still there
// when it comes out. Behind End.DT6 packets pass no prerouting hook any more, so
// that the configuration refuses to validate their source.
//
// MSS clamping lowers the maximum segment size in TCP's SYN packets, never
// raises it (the kernel does not let nftables raise it).

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/rib"
)

// The chains run around that of steering: it clears the mark, which validation
// has to see before, and segments set for the packet inside.
var (
	validationPriority = nftables.ChainPriority(*nftables.ChainPriorityMangle - 10)
	segmentPriority    = nftables.ChainPriority(*nftables.ChainPriorityMangle + 10)
)

const (
	validatedDevices = "validated"       // device to chain of validation
	segments         = "segments"        // addresses of segments
	tunnelDevices    = "tunnels"         // whose packets have their MSS clamped
	droppedPrefix    = "source_dropped_" // of counters, before the VNI
)

// validated returns the VNIs whose sources are validated.
func (s *steering) validated() (list []*config.VNI) {
	for i := range s.cfg.VNIs {
		if v := &s.cfg.VNIs[i]; v.Table != 0 && v.SourceValidation {
			list = append(list, v)
		}
	}
	return list
}

// filters reports whether the table is needed even if nothing is steered.
func (s *steering) filters() bool { return s.cfg.Kernel.MSS != 0 || len(s.validated()) > 0 }

// addFilters adds source validation and MSS clamping. Counters begin with what
// they had.
func (s *steering) addFilters(t *transaction) error {
	if list := s.validated(); len(list) > 0 {
		if err := s.addValidation(t, list); err != nil {
			return err
		}
	}
	if s.cfg.Kernel.MSS != 0 {
		s.addClamping(t)
	}
	return nil
}

func (s *steering) addValidation(t *transaction, list []*config.VNI) error {
	dropped := s.dropped()
	t.base("validate", nftables.ChainHookPrerouting, validationPriority)
	t.base("segment", nftables.ChainHookPrerouting, segmentPriority)
	t.set(nftables.Set{Name: validatedDevices, IsMap: true, KeyType: nftables.TypeIFName, DataType: nftables.TypeVerdict})
	t.set(nftables.Set{Name: segments, KeyType: nftables.TypeIP6Addr})
	t.rule("validate", iifname(), vmap(t.nft.sets[validatedDevices], 8))
	t.rule("segment", ipv6(), destination6(8), in(t.nft.sets[segments], 8), setMark(s.cfg.Kernel.MarkShift, decapsulated))

	for _, v := range list {
		vni := rib.VNI(v.VNI)
		if s.marks[vni] == 0 {
			index, err := s.owners.reserve(v.Table)
			if err != nil {
				return fmt.Errorf("vni %d: %w", vni, err)
			}
			s.marks[vni] = index
		}
		chain := fmt.Sprintf("source%d", vni)
		t.chain(nftables.Chain{Name: chain})
		device := v.DecapDevice
		if v.Decapsulation != config.DecapIP6TNL {
			device = v.VRF
			t.add(segments, nftables.SetElement{Key: v.Gateway.AsSlice()})
			t.rule(chain, markIsNot(s.cfg.Kernel.MarkShift, decapsulated), verdict(expr.VerdictReturn, ""))
		}
		t.add(validatedDevices, nftables.SetElement{
			Key: ifname(device), VerdictData: &expr.Verdict{Kind: expr.VerdictJump, Chain: chain},
		})
		t.counter(droppedName(vni), dropped[vni])
		t.rule(chain, setMark(s.cfg.Kernel.MarkShift, uint32(s.marks[vni])))
		t.rule(chain, []expr.Any{
			&expr.Fib{Register: 8, ResultOIFNAME: true, FlagSADDR: true, FlagMARK: true},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 8, Data: ifname(s.cfg.Kernel.Device)},
			&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: droppedName(vni)},
		}, verdict(expr.VerdictDrop, ""))
	}
	return nil
}

func droppedName(vni rib.VNI) string { return fmt.Sprintf("%s%d", droppedPrefix, vni) }

// addClamping clamps what comes in from tunnels and what is forwarded to them. A
// number does for both. To find the size by itself the kernel has the route of
// the packet; for those that come back it would look at the main table, so that
// what the overlay device says has to do.
func (s *steering) addClamping(t *transaction) {
	names := []string{s.cfg.Kernel.Device}
	for i := range s.cfg.VNIs {
		if v := &s.cfg.VNIs[i]; v.Table != 0 {
			names = append(names, ownDevices(v)...)
		}
	}
	t.set(nftables.Set{Name: tunnelDevices, KeyType: nftables.TypeIFName})
	for _, name := range names {
		t.add(tunnelDevices, nftables.SetElement{Key: ifname(name)})
	}
	tunnels := in(t.nft.sets[tunnelDevices], 8)
	t.base("clamp_in", nftables.ChainHookPrerouting, *nftables.ChainPriorityMangle)
	t.base("clamp_out", nftables.ChainHookForward, *nftables.ChainPriorityMangle)

	if mss := s.cfg.Kernel.MSS; mss != config.MSSAuto {
		t.rule("clamp_in", syn(), iifname(), tunnels, size(int(mss)), setMSS())
		t.rule("clamp_out", syn(), oifname(), tunnels, size(int(mss)), setMSS())
		return
	}
	const headers4, headers6 = 20 + 20, 40 + 20
	if s.mtu = s.overlayMTU(); s.mtu > headers6 {
		t.rule("clamp_in", syn(), ipv4(), iifname(), tunnels, size(s.mtu-headers4), setMSS())
		t.rule("clamp_in", syn(), ipv6(), iifname(), tunnels, size(s.mtu-headers6), setMSS())
	}
	t.rule("clamp_out", syn(), oifname(), tunnels, []expr.Any{
		&expr.Rt{Register: 1, Key: expr.RtTCPMSS},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 2, Size: 2},
	}, setMSS())
}

// overlayMTU returns that of the device to hypervisors, 0 if there is none.
func (s *steering) overlayMTU() int {
	device, err := s.owners.tree.handle.LinkByName(s.cfg.Kernel.Device)
	if err != nil {
		return 0
	}
	return device.Attrs().MTU
}

// size is a segment size in register 1.
func size(bytes int) []expr.Any {
	return []expr.Any{&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(uint16(min(bytes, 1<<16-1)))}}
}

// syn is "tcp flags & (syn | rst) == syn".
func syn() []expr.Any {
	const synFlag, rstFlag = 0x02, 0x04
	return append(metaIs(expr.MetaKeyL4PROTO, unix.IPPROTO_TCP),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{synFlag | rstFlag}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{synFlag}},
	)
}

// setMSS is "tcp option maxseg size set" of register 1.
func setMSS() []expr.Any {
	return []expr.Any{&expr.Exthdr{SourceRegister: 1, Type: 2, Offset: 2, Len: 2, Op: expr.ExthdrOpTcpopt}}
}

// dropped returns how many packets of each VNI were dropped because of their
// source, as far as the kernel says it: counters that are gone stay what they
// were.
func (s *steering) dropped() map[rib.VNI]uint64 {
	if len(s.validated()) == 0 {
		return nil
	}
	conn, err := s.nft.dial()
	if err != nil {
		return s.drops
	}
	list, err := conn.GetNamedObjects(s.nft.table)
	if err != nil { // somebody removed the table
		return s.drops
	}
	for _, o := range list {
		named, ok := o.(*nftables.NamedObj)
		if !ok {
			continue
		}
		digits, ours := strings.CutPrefix(named.Name, droppedPrefix)
		counter, ok := named.Obj.(*expr.Counter)
		if vni, err := strconv.ParseUint(digits, 10, 32); ours && ok && err == nil {
			s.drops[rib.VNI(vni)] = counter.Packets
		}
	}
	return s.drops
}
