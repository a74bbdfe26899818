package gobgp

import (
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// GoBGP 4.8 ends the process when the last path of a route target membership is
// withdrawn by one neighbour in the moment in which another one comes up or asks
// for a refresh: what is to be sent to that one was listed, each membership on
// the list is looked up in the table again, and an entry that is gone by then is
// a nil pointer (BgpServer.prePolicyFilterpath). GoBGP keeps an entry as long as
// its bitmap of path numbers is not empty. So when a membership is heard of, its
// entry gets a number that is no path's, and it is freed when it has had no path
// for longer than any list lives. What comes and goes faster than it is heard of
// is not caught by that.

// listTime is longer than GoBGP needs to go through a list of memberships.
const listTime = time.Minute

// pinned is the number that a pinned entry has beside those of its paths.
const pinned = 63

// keep takes a change of the best path of a membership.
func (sw *sweeper) keep(p *apiutil.Path) {
	if !p.Withdrawal {
		sw.pin(p.Family, p.Nlri)
		return
	}
	time.AfterFunc(listTime, func() { sw.free(p.Family, p.Nlri) })
}

// pin makes GoBGP keep the entry of nlri when its last path is withdrawn.
func (sw *sweeper) pin(f bgp.Family, nlri bgp.NLRI) {
	shards := sw.tables[f]
	if len(shards) == 0 {
		return
	}
	sh, key := find(shards, nlri)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	list := sh.entries.MapIndex(key)
	if !list.IsValid() {
		return
	}
	for i := range list.Len() {
		numbers := field(field(list.Index(i).Elem(), "localIdMap").Elem(), "bitmap").Interface().([]uint64)
		numbers[0] |= 1 << pinned
	}
}
