package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
	"github.com/sirupsen/logrus"

	"mbbgp/config"
)

// A VPNv4 or IPv4 route with an IPv6 next hop is only for neighbours that
// announced the extended next hop capability for its family (RFC 8950 section
// 4). GoBGP does not look. So an export policy refuses such routes toward every
// neighbour that is not in a set, and the set is put right when a session comes
// up, before the first UPDATE: GoBGP logs that a session is up and makes the
// UPDATEs behind that, in the same goroutine, so the log handler waits for
// learn. The OPEN of the neighbour has no way out of GoBGP at that point, so it
// is taken from fields that GoBGP does not export. Should another version log
// something else or have other fields, the routes in question are sent to
// nobody.
//
// Over eBGP our address takes the place of the next hop of IPv4 routes of
// others, but the policy sees the one that was there before. So toward external
// neighbours the family of the session counts, not what the policy sees.
//
// Where a route is refused that was sent before, GoBGP judges the old one by the
// new next hop and sends no withdrawal: if the next hop of a route changes from
// IPv4 to IPv6, those who cannot take it keep the old one until it is withdrawn
// or their session ends.
//
// A gobgpd file has policies of its own, and is left as it is.

const nextHop6Name = "ipv6-next-hop"

// nextHop6Rule refuses routes of a family toward neighbours that are not in
// its set.
type nextHop6Rule struct {
	name   string
	family bgp.Family
	routes []api.Conditions_RouteType // one statement for each
	any    bool                       // whatever the next hop is; else if it is an IPv6 one
	always []string                   // prefixes of neighbours that are always in the set
}

// nextHop6 keeps the sets.
type nextHop6 struct {
	server *server.BgpServer
	log    logrus.FieldLogger

	mu    sync.Mutex
	rules []nextHop6Rule // guarded by mu
}

// refuseNextHop6 makes GoBGP refuse IPv6 next hops of IPv4 routes toward
// neighbours that cannot take them.
func refuseNextHop6(ctx context.Context, s *server.BgpServer, rules []nextHop6Rule, log logrus.FieldLogger) (*nextHop6, error) {
	n := &nextHop6{server: s, log: log}
	return n, n.reconfigure(ctx, rules)
}

// reconfigure makes the rules those of other neighbours. A rule that is not
// needed any more stays: nobody has its family.
func (n *nextHop6) reconfigure(ctx context.Context, rules []nextHop6Rule) error {
	if n == nil { // a gobgpd file
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range rules {
		r := &rules[i]
		at := slices.IndexFunc(n.rules, func(x nextHop6Rule) bool { return x.name == r.name })
		var before []string
		if at >= 0 {
			before = n.rules[at].always
		}
		if come := without(r.always, before); at < 0 || len(come) > 0 {
			if err := n.server.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: r.set(come...)}); err != nil {
				return fmt.Errorf("neighbours of IPv6 next hops: %w", err)
			}
		}
		if gone := without(before, r.always); len(gone) > 0 {
			if err := n.server.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: r.set(gone...)}); err != nil {
				return fmt.Errorf("neighbours of IPv6 next hops: %w", err)
			}
		}
		if at >= 0 {
			n.rules[at] = *r
			continue
		}
		if err := exportBy(ctx, n.server, &api.Policy{Name: r.set().Name, Statements: r.statements()}); err != nil {
			return err
		}
		n.rules = append(n.rules, *r)
	}
	return nil
}

// newNextHop6Rules returns the rules for the families and neighbours of s.
func newNextHop6Rules(s *setup) (rules []nextHop6Rule) {
	own := []api.Conditions_RouteType{api.Conditions_ROUTE_TYPE_LOCAL}
	others := []api.Conditions_RouteType{api.Conditions_ROUTE_TYPE_INTERNAL, api.Conditions_ROUTE_TYPE_EXTERNAL}
	if s.speaks(config.FamilyVPNv4) {
		rules = append(rules, nextHop6Rule{name: "vpnv4", family: bgp.RF_IPv4_VPN, routes: append(own, others...)})
	}
	if s.speaks(config.FamilyIPv4) {
		var ours4, others6 []string
		for _, w := range s.who {
			switch {
			case w.prefix.Addr().Is4() && !w.internal:
				ours4 = append(ours4, w.prefix.String())
			case w.prefix.Addr().Is6() && w.internal:
				others6 = append(others6, w.prefix.String())
			}
		}
		rules = append(rules,
			nextHop6Rule{name: "ipv4-own", family: bgp.RF_IPv4_UC, routes: own},
			nextHop6Rule{name: "ipv4-as-it-was", family: bgp.RF_IPv4_UC, routes: others, always: ours4},
			nextHop6Rule{name: "ipv4-ours", family: bgp.RF_IPv4_UC, routes: others, any: true, always: append(others6, "0.0.0.0/0")})
	}
	return rules
}

// set returns the rule's set with these members.
func (r *nextHop6Rule) set(members ...string) *api.DefinedSet {
	return &api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_NEIGHBOR,
		Name:        nextHop6Name + "-" + r.name,
		List:        members,
	}
}

func (r *nextHop6Rule) statements() []*api.Statement {
	list := make([]*api.Statement, len(r.routes))
	for i, route := range r.routes {
		list[i] = &api.Statement{
			Name: fmt.Sprintf("%s-%s-%d", nextHop6Name, r.name, i),
			Conditions: &api.Conditions{
				NeighborSet: &api.MatchSet{Type: api.MatchSet_TYPE_INVERT, Name: r.set().Name},
				RouteType:   route,
				AfiSafiIn:   []*api.Family{apiFamily(r.family)},
			},
			Actions: &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_REJECT},
		}
		if !r.any {
			list[i].Conditions.NextHopInList = []string{"::/0"}
		}
	}
	return list
}

// learn puts a neighbour into the sets, or takes it out, by what it announced
// in the session that is coming up. The calls fail only when GoBGP is being
// stopped; nothing is sent any more then.
func (n *nextHop6) learn(neighbor netip.Addr) {
	if n == nil { // a gobgpd file
		return
	}
	n.mu.Lock()
	rules := slices.Clone(n.rules)
	n.mu.Unlock()
	if len(rules) == 0 {
		return
	}
	var can map[bgp.Family]bool
	if open, err := openOf(n.server, neighbor); err != nil {
		n.log.WithError(err).WithField("neighbor", neighbor).Warn("IPv4 routes with IPv6 next hops are not sent")
	} else {
		can = readCapabilities(announcedIn(open)).nextHop6
	}
	ctx := context.Background()
	neighbor = neighbor.WithZone("")
	member := netip.PrefixFrom(neighbor, neighbor.BitLen()).String()
	for i := range rules {
		r := &rules[i]
		if slices.Contains(r.always, member) {
			continue
		}
		_ = n.server.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: r.set(member)})
		if can[r.family] {
			_ = n.server.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: r.set(member)})
		}
	}
}

// openOf returns the OPEN that the neighbour has sent last. Nobody but the
// goroutine of its session, which must be the caller, changes that.
func openOf(s *server.BgpServer, neighbor netip.Addr) (*bgp.BGPOpen, error) {
	var open *bgp.BGPOpen
	err := peerOf(s, neighbor, func(peer reflect.Value) {
		open = field(field(peer, "fsm").Elem(), "recvOpen").Interface().(*bgp.BGPMessage).Body.(*bgp.BGPOpen)
	})
	if err == nil && open == nil {
		err = errors.New("the neighbor was removed")
	}
	return open, err
}

func announcedIn(open *bgp.BGPOpen) (list []bgp.ParameterCapabilityInterface) {
	for _, o := range open.OptParams {
		if c, ok := o.(*bgp.OptionParameterCapability); ok {
			list = append(list, c.Capability...)
		}
	}
	return list
}
