package bridge

import (
	"math/big"
	"net/netip"
	"testing"
)

func TestTransposedBitsAreRestored(t *testing.T) {
	for _, c := range []struct {
		name      string
		sid       string
		structure SIDStructure
		label     uint32
		width     int
		want      string
	}{
		{"nothing is transposed", "2001:db8:2:1:100::", SIDStructure{40, 24, 16, 0, 0, 0}, ImplicitNull, labelWidthVPN, "2001:db8:2:1:100::"},
		{"no structure", "2001:db8:2:1:100::", SIDStructure{}, 12345, labelWidthVPN, "2001:db8:2:1:100::"},
		{"FRR 8.4, VPN", "2001:db8:2:1::", SIDStructure{40, 24, 16, 0, 16, 64}, 0x1000, labelWidthVPN, "2001:db8:2:1:100::"},
		{"a function of 16 bits, EVPN", "2001:db8:2:1::", SIDStructure{40, 24, 16, 0, 16, 64}, 0x010000, labelWidthEVPN, "2001:db8:2:1:100::"},
		{"the lower 20 bits of a function of 24, RFC 9252 section 3.2.1", "2001:db8:2:1:a000::", SIDStructure{40, 24, 24, 0, 20, 68}, 0xbcdef, labelWidthVPN, "2001:db8:2:1:abcd:ef00::"},
		{"a function of 20 bits, all of the label", "2001:db8:2:1::", SIDStructure{40, 24, 20, 0, 20, 64}, 0xfffff, labelWidthVPN, "2001:db8:2:1:ffff:f000::"},
		{"all 24 bits of EVPN", "2001:db8:2:1::", SIDStructure{40, 24, 24, 0, 24, 64}, 0x123456, labelWidthEVPN, "2001:db8:2:1:1234:5600::"},
		{"the lower bits of the label do not count", "2001:db8:2:1::", SIDStructure{40, 24, 16, 0, 12, 64}, 0xabcff, labelWidthVPN, "2001:db8:2:1:abc0::"},
		{"one bit", "2001:db8:2:1::", SIDStructure{40, 24, 16, 0, 1, 79}, 0x80000, labelWidthVPN, "2001:db8:2:1:1::"},
		{"seven bits within an octet", "2001:db8:2:1:8000::", SIDStructure{40, 24, 8, 0, 7, 65}, 0x7f << 13, labelWidthVPN, "2001:db8:2:1:ff00::"},
		{"nine bits over two octets from an odd one", "2001:db8:2:1::", SIDStructure{40, 24, 16, 0, 9, 67}, 0x1ff << 11, labelWidthVPN, "2001:db8:2:1:1ff0::"},
		{"eleven bits over three octets", "2001:db8:2:1::", SIDStructure{40, 24, 32, 0, 11, 71}, 0b10101010101 << 9, labelWidthVPN, "2001:db8:2:1:155:4000::"},
		{"the last bits of the address", "2001:db8:2:1::", SIDStructure{40, 24, 64, 0, 20, 108}, 0x12345, labelWidthVPN, "2001:db8:2:1::1:2345"},
		{"an argument", "2001:db8:2:1:100::", SIDStructure{40, 24, 16, 16, 16, 80}, 0xabcd << 4, labelWidthVPN, "2001:db8:2:1:100:abcd::"},
		{"a uSID: block 32, node 16, function 16", "fcbb:bb00:1::", SIDStructure{32, 16, 16, 0, 16, 48}, 0xe001 << 4, labelWidthVPN, "fcbb:bb00:1:e001::"},
		{"the label wins over bits that should be zero", "2001:db8:2:1:ffff::", SIDStructure{40, 24, 16, 0, 16, 64}, 0x1000, labelWidthVPN, "2001:db8:2:1:100::"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !c.structure.valid(c.width) {
				t.Fatal("the structure is not valid")
			}
			s := SRv6{SID: addr(c.sid), Structure: c.structure}
			if got := s.restore(c.label, c.width); got != addr(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestSIDStructures(t *testing.T) {
	for _, c := range []struct {
		name      string
		structure SIDStructure
		width     int
		want      bool
	}{
		{"absent", SIDStructure{}, labelWidthVPN, true},
		{"ours", SIDStructure{48, 16, 64, 0, 0, 0}, labelWidthVPN, true},
		{"the end of the function is transposed", SIDStructure{40, 24, 16, 0, 16, 64}, labelWidthVPN, true},
		{"128 bits", SIDStructure{40, 24, 32, 32, 0, 0}, labelWidthVPN, true},
		{"129 bits", SIDStructure{40, 24, 32, 33, 0, 0}, labelWidthVPN, false},
		{"a sum beyond an octet", SIDStructure{128, 128, 0, 0, 0, 0}, labelWidthVPN, false},
		{"transposed beyond the parts", SIDStructure{40, 24, 16, 0, 16, 65}, labelWidthVPN, false},
		{"transposed beyond the address", SIDStructure{40, 24, 32, 32, 16, 113}, labelWidthVPN, false},
		{"transposed without parts", SIDStructure{0, 0, 0, 0, 16, 64}, labelWidthVPN, false},
		{"21 bits in a VPN label", SIDStructure{40, 24, 24, 0, 21, 64}, labelWidthVPN, false},
		{"21 bits in an EVPN label", SIDStructure{40, 24, 24, 0, 21, 64}, labelWidthEVPN, true},
		{"25 bits in an EVPN label", SIDStructure{40, 24, 32, 0, 25, 64}, labelWidthEVPN, false},
	} {
		if got := c.structure.valid(c.width); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestBehaviorsOfEachFamily(t *testing.T) {
	ipv4, ipv6 := prefix("10.0.0.0/8"), prefix("2001:db8::/32")
	want := map[uint16][2]bool{
		EndDX4: {true, false}, EndDT4: {true, false}, UDX4: {true, false}, UDT4: {true, false},
		EndDX6: {false, true}, EndDT6: {false, true}, UDX6: {false, true}, UDT6: {false, true},
		EndDT46: {true, true}, UDT46: {true, true},
	}
	for b := range uint16(100) { // End, End.X, End.DX2, End.DT2U, End.B6 and the like serve no prefix
		s := SRv6{Behavior: b}
		if got := [2]bool{s.decapsulates(ipv4), s.decapsulates(ipv6)}; got != want[b] {
			t.Errorf("behaviour %d: %v, want %v", b, got, want[b])
		}
	}
	if s := (SRv6{Behavior: OpaqueBehavior}); !s.decapsulates(ipv4) || !s.decapsulates(ipv6) {
		t.Error("the opaque behaviour is refused")
	}
}

func TestUsableSIDs(t *testing.T) {
	for a, want := range map[string]bool{
		"2001:db8::1": true, "fcbb:bb00:1:e001::": true, "5f00:1::": true,
		"::": false, "::1": false, "fe80::1": false, "ff02::1": false, "::ffff:192.0.2.1": false, "192.0.2.1": false,
	} {
		if got := usableSID(addr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
}

// FuzzRestore transposes bits of a SID into a label, with big integers instead
// of octets, and wants them back.
func FuzzRestore(f *testing.F) {
	f.Add([]byte{0x20, 1, 0xd, 0xb8, 0, 2, 0, 1, 1, 0, 15: 0}, byte(40), byte(24), byte(16), byte(0), byte(16), byte(64), uint32(0), true)
	f.Add([]byte{0x20, 1, 0xd, 0xb8, 0, 2, 0, 1, 0xab, 0xcd, 0xef, 15: 0}, byte(40), byte(24), byte(24), byte(0), byte(20), byte(68), uint32(7), false)
	f.Add([]byte{0xfc, 0xbb, 15: 0xff}, byte(0), byte(0), byte(128), byte(0), byte(20), byte(107), uint32(1), true)
	f.Fuzz(func(t *testing.T, octets []byte, block, node, function, argument, length, offset byte, rest uint32, vpn bool) {
		width := labelWidthEVPN
		if vpn {
			width = labelWidthVPN
		}
		structure := SIDStructure{block, node, function, argument, length, offset}
		if len(octets) != 16 || !structure.valid(width) {
			return
		}
		whole := new(big.Int).SetBytes(octets)
		mask := new(big.Int).Lsh(big.NewInt(1<<length-1), uint(128-int(offset)-int(length)))
		bits := new(big.Int).Rsh(new(big.Int).And(whole, mask), uint(128-int(offset)-int(length)))
		// What is behind the transposed bits in the label is noise.
		label := uint32(bits.Uint64())<<(width-int(length)) | rest&(1<<(width-int(length))-1)
		left := netip.AddrFrom16([16]byte(new(big.Int).AndNot(whole, mask).FillBytes(make([]byte, 16))))
		s := SRv6{SID: left, Structure: structure}
		if got, want := s.restore(label, width), netip.AddrFrom16([16]byte(octets)); got != want {
			t.Fatalf("%v of %v and label %#x: got %v, want %v", structure, left, label, got, want)
		}
	})
}
