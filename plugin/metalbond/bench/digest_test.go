package bench

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"mbbgp/wire"
)

func payload(i int, remove bool) []byte {
	return wire.AppendUpdate(nil, small.Routes.update(i, remove))[wire.HeaderLen:]
}

func TestOrderDoesNotCount(t *testing.T) {
	var d digest
	for _, i := range rand.Perm(200) {
		d.take(payload(i, false))
	}
	if want := small.Routes.digest(0, 200); d != want {
		t.Errorf("%+v, want %+v", d, want)
	}
}

func TestWithdrawnRoutesLeaveNothing(t *testing.T) {
	var d digest
	for i := range 200 {
		if d.take(payload(i, false)) {
			t.Fatal("an announcement was taken for a withdrawal")
		}
	}
	for i := 199; i >= 50; i-- {
		if !d.take(payload(i, true)) {
			t.Fatal("a withdrawal was taken for an announcement")
		}
	}
	if want := small.Routes.digest(0, 50); d != want {
		t.Errorf("%+v, want %+v", d, want)
	}
	if rest := d.minus(small.Routes.digest(0, 50)); rest != (digest{}) {
		t.Errorf("%+v is left of nothing", rest)
	}
}

func TestEverythingInARouteCounts(t *testing.T) {
	route := wire.Update{VNI: 1, Prefix: netip.MustParsePrefix("10.0.0.0/32"), Target: target(1)}
	seen := make(map[digest]string)
	for name, change := range map[string]func(*wire.Update){
		"nothing":    func(*wire.Update) {},
		"vni":        func(u *wire.Update) { u.VNI = 2 },
		"prefix":     func(u *wire.Update) { u.Prefix = netip.MustParsePrefix("10.0.0.1/32") },
		"length":     func(u *wire.Update) { u.Prefix = netip.MustParsePrefix("10.0.0.0/31") },
		"target":     func(u *wire.Update) { u.Target = target(2) },
		"target VNI": func(u *wire.Update) { u.TargetVNI = 5 },
		"type":       func(u *wire.Update) { u.HopType = wire.HopLoadBalancerTarget },
	} {
		u := route
		change(&u)
		var d digest
		d.take(wire.AppendUpdate(nil, u)[wire.HeaderLen:])
		if other, taken := seen[d]; taken {
			t.Errorf("%s and %s make no difference", name, other)
		}
		seen[d] = name
	}
}

func TestRoutesAreDistinct(t *testing.T) {
	for _, family := range []Family{IPv4, IPv6, Both} {
		r := Routes{VNI: 1, VNIs: 3, Family: family, NextHops: 5}
		seen := make(map[wire.Update]int)
		var v6 int
		for i := range 3000 {
			u := r.update(i, false)
			if other, taken := seen[u]; taken {
				t.Fatalf("%s: %d and %d are the same route", family, i, other)
			}
			seen[u] = i
			if u.Prefix.Addr().Is6() {
				v6++
			}
			if _, err := wire.ParseUpdate(wire.AppendUpdate(nil, u)[wire.HeaderLen:]); err != nil {
				t.Fatalf("%s: %v", family, err)
			}
		}
		if want := map[Family]int{IPv4: 0, IPv6: 3000, Both: 1500}[family]; v6 != want {
			t.Errorf("%s: %d IPv6 routes, want %d", family, v6, want)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	p := payload(0, false)
	var d digest
	for b.Loop() {
		d.take(p)
	}
}
