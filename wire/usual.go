package wire

// usual reads an UPDATE in the one shape that nearly all have, as every known
// implementation encodes it: a standard next hop without a VNI of its own, of an
// IPv4 prefix or an IPv6 address. It returns false if p has another shape; what
// that means only update can say. With it ParseUpdate takes half of the time, 55
// ns instead of 115.
//
//	[08 01] 10 VNI  1a 08 12 04 <4 bytes> 18 LENGTH           22 12 0a 10 <16 bytes>
//	[08 01] 10 VNI  1a 17 08 01 12 10 <16 bytes> 18 80 01     22 12 0a 10 <16 bytes>
func (f *updateParts) usual(p []byte) bool {
	const nextHop = "\x22\x12\x0a\x10"
	end := len(p) - len(nextHop) - 16
	if end < 0 || string(p[end:end+len(nextHop)]) != nextHop {
		return false
	}
	target := end + len(nextHop)
	i, action := 0, uint32(0)
	if end > 2 && p[0] == 0x08 && p[1] == 1 {
		i, action = 2, 1
	}
	if i >= end || p[i] != 0x10 {
		return false
	}
	vni, i, ok := uvarint(p, i+1)
	if !ok || vni > 1<<32-1 || i > end {
		return false
	}
	switch d := p[i:end]; {
	case len(d) == 10 && string(d[:4]) == "\x1a\x08\x12\x04" && d[8] == 0x18 && d[9] < 0x80:
		f.prefix, f.bits, f.prefixAt, f.bitsAt = d[4:8], uint32(d[9]), i+4, i+9
	case len(d) == 25 && string(d[:6]) == "\x1a\x17\x08\x01\x12\x10" && string(d[22:]) == "\x18\x80\x01":
		f.family = 1
		f.prefix, f.bits, f.prefixAt, f.bitsAt = d[6:22], 128, i+6, i+23
	default:
		return false
	}
	f.action, f.vni, f.destination, f.nextHop = action, uint32(vni), true, true
	f.target, f.targetAt = p[target:], target
	return true
}
