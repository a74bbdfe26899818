package bridge

// The NLRIs of unicast and of flow specifications do not say of which VNI they
// are. Where several VNIs export such a one, BGP is told that of the lowest
// VNI: whichever came first, so that all gateways say the same.

import (
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"mbbgp/config"
	"mbbgp/rib"
)

// contest knows who exports what.
type contest struct {
	on atomic.Bool // VNIs may have an NLRI in common

	mu     sync.Mutex
	claims map[NLRI][]claim // guarded by mu; by VNI, the first is what BGP was told
}

// claim is what one network says of an NLRI.
type claim struct {
	network    *network
	attributes *Attributes
}

// newContest returns the contest of networks.
func newContest(networks []*network) *contest {
	c := &contest{claims: map[NLRI][]claim{}}
	c.extend(networks)
	return c
}

// contests reports whether the network exports NLRIs that others may export.
func (n *network) contests() bool {
	return n.family == config.VNIFamilyUnicast || n.exports.FlowSpec != config.FlowSpecOff
}

// extend begins the contest if networks may have an NLRI in common, of which
// several may be one VNI's, before and after a change. It reports whether it has
// begun just now: no claims are known.
func (c *contest) extend(networks []*network) bool {
	unicast, flows := map[rib.VNI]bool{}, map[rib.VNI]bool{}
	for _, n := range networks {
		if n.family == config.VNIFamilyUnicast {
			unicast[n.vni] = true
		}
		if n.exports.FlowSpec != config.FlowSpecOff {
			flows[n.vni] = true
		}
	}
	return (len(unicast) > 1 || len(flows) > 1) && c.on.CompareAndSwap(false, true)
}

// reset forgets all claims.
func (c *contest) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claims = map[NLRI][]claim{}
}

// claim notes what n says of an NLRI. It reports whether n wins, and whether
// that is news: BGP was not told the same by another one.
func (c *contest) claim(n *network, nlri NLRI, a *Attributes) (won, news bool) {
	if !c.on.Load() || nlri.RD != (RD{}) {
		return true, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.claims[nlri]
	at, found := slices.BinarySearchFunc(list, n, byVNI)
	news = len(list) == 0 || !reflect.DeepEqual(list[0].attributes, a)
	if found {
		list[at] = claim{n, a}
	} else {
		c.claims[nlri] = slices.Insert(list, at, claim{n, a})
	}
	return at == 0, at == 0 && news
}

// leave takes the claim of n back. It returns what BGP is to be told in its
// place, nil if there is no other claim, and reports whether that is news: n had
// won, and the next one says something else.
func (c *contest) leave(n *network, nlri NLRI) (heir *Attributes, news bool) {
	if !c.on.Load() || nlri.RD != (RD{}) {
		return nil, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.claims[nlri]
	at, found := slices.BinarySearchFunc(list, n, byVNI)
	if !found { // said before there was a contest
		return nil, len(list) == 0
	}
	said := list[0].attributes
	if list = slices.Delete(list, at, at+1); len(list) == 0 {
		delete(c.claims, nlri)
		return nil, true
	}
	c.claims[nlri] = list
	heir = list[0].attributes
	return heir, at == 0 && !reflect.DeepEqual(heir, said)
}

// winner returns whose claim BGP was told of, nil if there is none.
func (c *contest) winner(nlri NLRI) *network {
	c.mu.Lock()
	defer c.mu.Unlock()
	if list := c.claims[nlri]; len(list) > 0 {
		return list[0].network
	}
	return nil
}

func byVNI(c claim, n *network) int { return int(int64(c.network.vni) - int64(n.vni)) }
