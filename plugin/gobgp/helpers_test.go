package gobgp

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"mbbgp/bridge"
	"mbbgp/config"
)

const patience = 3 * time.Minute // for machines that do much else

// parallel lets tests overlap: most of their time is GoBGP's delay before it
// dials. Every GoBGP server of a process writes the same package variables
// with the same values at its start, which the race detector is right to
// dislike, so with it tests run one after the other.
func parallel(t *testing.T) {
	if !raceEnabled {
		t.Parallel()
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); !condition(); <-again.C {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", patience, what)
		}
	}
}

// quiet is a log that nobody reads.
func quiet() *logrus.Logger {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return l
}

// book is a bridge that writes down what it gets, and says what it is told to;
// all of it again to an engine that has lost it.
type book struct {
	say  chan order
	said map[bridge.NLRI]bridge.Update // of Export, of which one runs at a time

	mu        sync.Mutex
	routes    map[bridge.NLRI]bridge.Update
	announced int
	withdrawn int
	repeated  int // announcements equal to what was there
	ended     map[netip.Addr][]config.Family
	forgotten []netip.Addr
	maximum   int // of a batch
}

// order is a batch that a book is to export; done is closed after that.
type order struct {
	batch []bridge.Update
	done  chan struct{}
}

func newBook() *book {
	return &book{
		say:    make(chan order),
		said:   make(map[bridge.NLRI]bridge.Update),
		routes: make(map[bridge.NLRI]bridge.Update),
		ended:  make(map[netip.Addr][]config.Family),
	}
}

func (b *book) Import(batch []bridge.Update) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.maximum = max(b.maximum, len(batch))
	for _, u := range batch {
		if u.Withdraw {
			b.withdrawn++
			delete(b.routes, u.NLRI)
			continue
		}
		b.announced++
		if old, ok := b.routes[u.NLRI]; ok && old == u {
			b.repeated++
		}
		b.routes[u.NLRI] = u
	}
}

func (b *book) EndOfRIB(neighbor netip.Addr, family config.Family) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended[neighbor] = append(b.ended[neighbor], family)
}

func (b *book) Forget(neighbor netip.Addr) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forgotten = append(b.forgotten, neighbor)
	left := 0
	for n, u := range b.routes {
		if u.Neighbor == neighbor {
			delete(b.routes, n)
			left++
		}
	}
	return left
}

func (b *book) Export(ctx context.Context, send func([]bridge.Update) error) error {
	for batch := range slices.Chunk(slices.Collect(maps.Values(b.said)), maxBatch) {
		if err := send(batch); err != nil {
			return err
		}
	}
	if err := send(nil); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case o := <-b.say:
			for _, u := range o.batch {
				if b.said[u.NLRI] = u; u.Withdraw {
					delete(b.said, u.NLRI)
				}
			}
			err := send(o.batch)
			close(o.done)
			if err != nil {
				return err
			}
		}
	}
}

// remember makes the next Export say u; forget that it does not. Neither may be
// called while one runs.
func (b *book) remember(u bridge.Update) { b.said[u.NLRI] = u }
func (b *book) forget(u bridge.Update)   { delete(b.said, u.NLRI) }

func (b *book) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.routes)
}

func (b *book) get(n bridge.NLRI) (bridge.Update, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, ok := b.routes[n]
	return u, ok
}

// host is a speaker under test with its book.
type host struct {
	*Speaker
	*book
	addr netip.Addr
	port uint16
	stop func()
}

var nextHost struct {
	sync.Mutex
	n int
}

// addresses returns loopback addresses that no other test uses.
func addresses(n int) []netip.Addr {
	nextHost.Lock()
	defer nextHost.Unlock()
	list := make([]netip.Addr, n)
	for i := range list {
		nextHost.n++
		list[i] = netip.AddrFrom4([4]byte{127, 77, byte(nextHost.n >> 8), byte(nextHost.n)})
	}
	return list
}

// freePort returns a port that nobody listens on at addr.
func freePort(t testing.TB, addr netip.Addr) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// timers make sessions come up as fast as GoBGP can.
func timers() config.Timers {
	return config.Timers{Hold: 90 * time.Second, Keepalive: 30 * time.Second, ConnectRetry: time.Second}
}

// configuration is that of a speaker at addr without neighbours.
func configuration(t testing.TB, addr netip.Addr, asn uint32) *config.Config {
	id := addr
	if !id.Is4() {
		id = addresses(1)[0]
	}
	return &config.Config{
		RouterID: id,
		ASN:      asn,
		BGP:      &config.BGP{Listen: []netip.AddrPort{netip.AddrPortFrom(addr, freePort(t, addr))}},
	}
}

// meet makes the speakers of two configurations neighbours; a dials if b is
// passive.
func meet(a, b *config.Config, change func(toB, toA *config.Neighbor)) {
	toB := config.Neighbor{Address: b.BGP.Listen[0].Addr(), Port: b.BGP.Listen[0].Port()}
	toA := config.Neighbor{Address: a.BGP.Listen[0].Addr(), Port: a.BGP.Listen[0].Port(), Passive: true}
	toB.Peering = config.Peering{ASN: b.ASN, LocalAddress: toA.Address, Families: []config.Family{config.FamilyEVPN}, Timers: timers()}
	toA.Peering = config.Peering{ASN: a.ASN, LocalAddress: toB.Address, Families: []config.Family{config.FamilyEVPN}, Timers: timers()}
	if change != nil {
		change(&toB, &toA)
	}
	a.BGP.Neighbors = append(a.BGP.Neighbors, toB)
	b.BGP.Neighbors = append(b.BGP.Neighbors, toA)
}

// start runs a speaker until the test ends or stop is called.
func start(t testing.TB, cfg *config.Config) *host {
	t.Helper()
	h, done := launch(t, cfg, quiet())
	select {
	case <-h.Ready():
	case err := <-done:
		done <- err
		t.Fatalf("the speaker does not start: %v", err)
	case <-time.After(patience):
		t.Fatal("the speaker is not ready")
	}
	return h
}

// launch is start that does not wait for anything. The speaker announces
// said from its start.
func launch(t testing.TB, cfg *config.Config, log logrus.FieldLogger, said ...bridge.Update) (*host, chan error) {
	t.Helper()
	b := newBook()
	for _, u := range said {
		b.remember(u)
	}
	s, err := newSpeaker(cfg, b, log)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{Speaker: s, book: b}
	if len(cfg.BGP.Listen) > 0 {
		h.addr, h.port = cfg.BGP.Listen[0].Addr(), cfg.BGP.Listen[0].Port()
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			t.Error("the speaker does not stop")
		}
	})
	t.Cleanup(h.stop)
	return h, done
}

// settle orders the starts of all servers before what follows, for the race
// detector.
func settle(t testing.TB, hosts ...*host) {
	t.Helper()
	for _, h := range hosts {
		if err := h.Table(func(Path) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
}

// up waits until the host has an established session with every neighbour.
func (h *host) up(t testing.TB) {
	t.Helper()
	eventually(t, "sessions established", func() bool {
		list := h.Neighbors()
		for _, n := range list {
			if n.State != Established {
				return false
			}
		}
		return len(list) > 0
	})
}

// neighbor returns what the host knows of a neighbour.
func (h *host) neighbor(addr netip.Addr) NeighborInfo {
	for _, n := range h.Neighbors() {
		if n.Address == addr {
			return n
		}
	}
	return NeighborInfo{}
}

// tell makes the host announce or withdraw, and returns when GoBGP knows.
func (h *host) tell(t testing.TB, updates ...bridge.Update) {
	t.Helper()
	for len(updates) > 0 {
		n := min(len(updates), maxBatch)
		o := order{updates[:n], make(chan struct{})}
		select {
		case h.say <- o:
			<-o.done
		case <-time.After(patience):
			t.Error("the speaker takes no updates")
			return
		}
		updates = updates[n:]
	}
}

func target(s string) bridge.RouteTarget {
	rt, err := config.ParseRouteTarget(s)
	if err != nil {
		panic(err)
	}
	return rt
}

func site(s string) bridge.ExtendedCommunity {
	c, err := config.ParseSiteOfOrigin(s)
	if err != nil {
		panic(err)
	}
	return c
}

func distinguisher(s string) bridge.RD {
	rd, err := config.ParseRD(s)
	if err != nil {
		panic(err)
	}
	return rd
}

// vxlan are attributes as the bridge makes them for a VNI.
func vxlan(nextHop string) *bridge.Attributes {
	return &bridge.Attributes{
		NextHop:       netip.MustParseAddr(nextHop),
		RouteTargets:  []bridge.RouteTarget{target("65000:200")},
		SiteOfOrigin:  []bridge.ExtendedCommunity{site("65001:1")},
		Encapsulation: bridge.TunnelVXLAN,
		RouterMAC:     bridge.MAC{2, 0, 192, 0, 2, 1},
	}
}

func prefixRoute(rd, prefix string, label uint32, a *bridge.Attributes) bridge.Update {
	return bridge.Update{
		NLRI:       bridge.NLRI{Kind: bridge.IPPrefix, RD: distinguisher(rd), Prefix: netip.MustParsePrefix(prefix)},
		Label:      label,
		Attributes: a,
	}
}

func vpnRoute(rd, prefix string, label uint32, a *bridge.Attributes) bridge.Update {
	u := prefixRoute(rd, prefix, label, a)
	u.NLRI.Kind = bridge.VPN
	return u
}

func unicastRoute(prefix string, a *bridge.Attributes) bridge.Update {
	return bridge.Update{NLRI: bridge.NLRI{Kind: bridge.Unicast, Prefix: netip.MustParsePrefix(prefix)}, Attributes: a}
}

func withdrawal(u bridge.Update) bridge.Update {
	u.Withdraw, u.Attributes = true, nil
	return u
}

// many returns n routes of one VNI that share their attributes.
func many(n int, rd string, a *bridge.Attributes) []bridge.Update {
	list := make([]bridge.Update, n)
	for i := range list {
		list[i] = prefixRoute(rd, fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255), 200, a)
	}
	return list
}
