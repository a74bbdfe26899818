package gobgp

import (
	"context"
	"net/netip"
	"time"

	"mbbgp/bridge"
	"mbbgp/config"
)

// The seam: everything that Speaker needs from a BGP implementation, in types
// of the bridge. GoBGP's own types stay behind it, because the versions of
// GoBGP have different ones.

// engine is a BGP implementation: one in this process, or a daemon that runs
// elsewhere.
type engine interface {
	// run speaks BGP until ctx is over, and returns nil then; an error is one
	// that it cannot recover from. It tells to what it hears, in that order.
	// Whenever it can carry paths, first and after each loss of all it was
	// told, it calls carry, which announces everything from the start and
	// returns when the context that it got is over or an announcement failed;
	// that error is run's to judge. Before run returns, neighbours know that
	// our paths are gone.
	run(ctx context.Context, to sink, carry func(context.Context) error) error
	// announce and withdraw take effect in the order of the calls. No two
	// updates of one batch have the same NLRI. They are called by carry only. An
	// empty batch is announced once all that there was to say at first is said.
	announce(batch []bridge.Update) error
	withdraw(batch []bridge.Update) error
	// table visits every path of the EVPN table, and stops early if visit
	// returns false. It holds up the speaker while it copies the table.
	table(visit func(Path) bool) error
}

// sink takes what an engine hears. The calls of one engine come one at a time,
// except those of failed, and must not wait for anything.
type sink interface {
	// update is a change of the best path of an NLRI: it takes the place of
	// all that was said of this NLRI before, by whichever neighbour.
	update(bridge.Update)
	// skipped counts a path that no update was made of.
	skipped(reason skip)
	// endOfRIB says that the neighbour has sent all that it had of a family.
	endOfRIB(neighbor netip.Addr, family config.Family)
	// session is a change of the state of a session.
	session(change)
	// failed says why a session does not come up, where that is no change of
	// its state.
	failed(neighbor netip.Addr, reason string)
}

// skip is a reason why a path that an engine heard is no update.
type skip uint8

const (
	skipNothing     skip = iota
	skipOwn              // we originated it
	skipUnsupported      // a route type that the bridge has no use for
	skipMalformed        // it cannot be read
)

// change is what happened to a session.
type change struct {
	at        time.Time
	neighbor  netip.Addr
	state     State
	asn       uint32
	localASN  uint32
	routerID  netip.Addr    // while established
	families  []FamilyInfo  // negotiated, while established
	restart   time.Duration // while established: how long it wants its routes kept over a restart
	reason    string        // why the session ended or failed; empty if it did not
	kept      kept          // which routes stay though the session is over
	gone      bool          // the neighbour is not there any more, nor its routes
	dynamic   bool          // the neighbour is there for this session only
	described string
}

// kept says which routes of a neighbour stay when its session is over.
type kept uint8

const (
	keptNone      kept = iota
	keptRestart        // of families with graceful restart, for the restart time
	keptLongLived      // of families with long-lived graceful restart, the restart time is over
)
