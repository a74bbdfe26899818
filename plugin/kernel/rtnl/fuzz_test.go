package rtnl

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// FuzzDecode holds that no message, whatever is in it, does harm, and that what
// is read of one can be written and is read as the same again.
func FuzzDecode(f *testing.F) {
	for _, test := range golden {
		f.Add(unhex(f, test.bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			m, rest, err := take(b)
			if err != nil {
				return
			}
			b = rest
			var e Event
			if ok, err := e.decode(m); ok && err == nil && !e.Removed {
				switch e.Kind {
				case RouteEvent:
					again(t, &e.Route)
				case NextHopEvent:
					againNextHop(t, &e.NextHop)
				}
			}
			var l LabelRoute
			if ok, err := l.decode(m.body); ok && err == nil {
				var again LabelRoute
				if ok, err := again.decode(l.append(nil, unix.RTM_NEWROUTE, 0)[unix.SizeofNlMsghdr:]); !ok || err != nil || again != l {
					t.Errorf("%+v is read as %+v, %v, %v", l, again, ok, err)
				}
			}
			if refused, err := decodeError(m); refused != nil && err == nil {
				_ = refused.Error()
			}
			if refused := decodeDone(m); refused != nil {
				_ = refused.Error()
			}
		}
	})
}

func again(t *testing.T, r *Route) {
	t.Helper()
	r.Prefix = r.Prefix.Masked()
	r.Type = max(r.Type, unix.RTN_UNICAST)
	for i := range r.Hops {
		writable(&r.Hops[i])
		if len(r.Hops) == 1 {
			r.Hops[i].Weight = 0
			if r.Hops[i].Device == 0 && !r.Hops[i].Gateway.IsValid() {
				return
			}
		}
	}
	var got Route
	if _, err := got.decode(r.append(nil, unix.RTM_NEWROUTE, 0)[unix.SizeofNlMsghdr:]); err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	if diff := cmp.Diff(*r, got, equal); diff != "" {
		t.Errorf("is read again as:\n%s", diff)
	}
}

func againNextHop(t *testing.T, n *NextHop) {
	t.Helper()
	switch { // a message may say several things, an object is one
	case n.Blackhole:
		n.Hop, n.Group = Hop{}, nil
	case len(n.Group) > 0:
		n.Hop = Hop{}
	}
	writable(&n.Hop)
	if n.Blackhole {
		n.Group = nil
	}
	var got NextHop
	if err := got.decode(n.append(nil, unix.RTM_NEWNEXTHOP, 0)[unix.SizeofNlMsghdr:]); err != nil {
		t.Fatalf("%+v: %v", n, err)
	}
	if diff := cmp.Diff(*n, got, equal); diff != "" {
		t.Errorf("is read again as:\n%s", diff)
	}
}

// writable takes away what is read and never written.
func writable(h *Hop) {
	if h.Encap.Kind == EncapOther || h.Encap.Kind == EncapIP6 && !h.Encap.Dst.IsValid() {
		h.Encap = Encap{}
	}
}
