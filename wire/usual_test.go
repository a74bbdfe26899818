package wire

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
)

// agree demands that what usual reads means what the fields mean.
func agree(t *testing.T, payload []byte) (usual bool) {
	t.Helper()
	var got, want updateParts
	if !got.usual(payload) {
		return false
	}
	if bad := want.update(payload); bad != nil {
		t.Fatalf("%x: %v", payload, bad)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%x:\ngot  %+v\nwant %+v", payload, got, want)
	}
	return true
}

func TestUsualShapeIsReadAsItsFieldsAre(t *testing.T) {
	target := netip.MustParseAddr("2001:db8::1")
	for _, row := range []struct {
		name  string
		u     Update
		usual bool
	}{
		{"IPv4", Update{VNI: 23, Prefix: netip.MustParsePrefix("10.0.0.1/32"), Target: target}, true},
		{"a network", Update{VNI: 23, Prefix: netip.MustParsePrefix("10.0.0.0/8"), Target: target}, true},
		{"the default route", Update{VNI: 23, Prefix: netip.MustParsePrefix("0.0.0.0/0"), Target: target}, false},
		{"a high VNI", Update{VNI: 1<<32 - 1, Prefix: netip.MustParsePrefix("10.0.0.1/32"), Target: target}, true},
		{"VNI 0", Update{Prefix: netip.MustParsePrefix("10.0.0.1/32"), Target: target}, false},
		{"an IPv6 address", Update{VNI: 23, Prefix: netip.MustParsePrefix("2001:db8::7/128"), Target: target}, true},
		{"an IPv6 network", Update{VNI: 23, Prefix: netip.MustParsePrefix("2001:db8::/64"), Target: target}, false},
		{"a VNI of the target", Update{VNI: 23, Prefix: netip.MustParsePrefix("10.0.0.1/32"), Target: target, TargetVNI: 5}, false},
		{"a load balancer's", Update{VNI: 23, Prefix: netip.MustParsePrefix("10.0.0.1/32"), Target: target, HopType: HopLoadBalancerTarget}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			for _, remove := range []bool{false, true} {
				row.u.Remove = remove
				payload := AppendUpdate(nil, row.u)[HeaderLen:]
				if got := agree(t, payload); got != row.usual {
					t.Fatalf("%x: usual is %v", payload, got)
				}
				for range 20_000 { // what else is taken for usual has to be
					other := bytes.Clone(payload)
					other[rng.IntN(len(other))] = byte(rng.Uint32())
					agree(t, other[:len(other)-rng.IntN(2)])
				}
			}
		})
	}
}
