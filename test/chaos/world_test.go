package chaos

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// The network: hypervisors and bridges are clients of both servers, and bridges
// are neighbours of the fabric.
//
//	hypervisors == servers == bridges == fabric
const (
	vni      = 200
	fabricAS = 65000
	fabric4  = "10.0.0.9" // its address, and its VTEP

	configPath = "/run/mbbgp.yaml" // where lab.Node.Bridge puts it
)

// setting is what kinds of parts there are.
type setting struct {
	stock   [2]bool // which servers are metalbond's
	frr     bool    // the fabric is FRR, else GoBGP
	anycast bool    // both bridges have one gateway address
	single  bool    // bridge N is a client of server N only
}

func (s setting) String() string {
	text := map[[2]bool]string{
		{false, false}: "our servers", {true, true}: "metalbond's servers",
		{true, false}: "metalbond's and our server", {false, true}: "our and metalbond's server",
	}[s.stock]
	if s.frr {
		text += ", FRR"
	}
	if s.anycast {
		text += ", one gateway"
	}
	if s.single {
		text += ", a server a bridge"
	}
	return text
}

// settingOf is the setting of a seed that nobody has chosen one for.
func settingOf(seed uint64) setting {
	return setting{stock: [2]bool{seed&1 != 0, seed&2 != 0}, frr: seed%5 == 0, anycast: seed&4 != 0, single: seed&8 != 0}
}

// part is a machine of the network with a program.
type part struct {
	name      string
	node      *lab.Node
	addresses []string // that others reach it by
	condition condition
	process   *lab.Process
	start     func() // starts the program anew
}

type server struct {
	part
	address string // host:port
}

type bridge struct {
	part
	*lab.MetalBond
	asn               int
	address4, gateway string
	servers           []*server
	denied            string // the prefix that its policies refuse both ways
}

type fabric struct {
	part
	speaker
	announced map[string]bool
}

// speaker is a BGP speaker of either kind.
type speaker interface {
	voice
	paths() ([]string, error) // NEIGHBOUR PREFIX
	heard() int               // updates so far, 0 if it does not tell
}

// world is the network, and what is known of it.
type world struct {
	t           *testing.T
	setting     setting
	servers     []*server
	hypervisors []*hypervisor
	bridges     []*bridge
	fabric      *fabric
	cuts        map[link]bool // pairs that hear nothing of each other
	lazy        *lab.Node     // where clients are that never read
	sloths      map[*server]*slowClient
	story       []string // what was done
}

// newWorld starts everything.
func newWorld(t *testing.T, s setting) *world {
	w := &world{t: t, setting: s, cuts: make(map[link]bool), sloths: make(map[*server]*slowClient)}
	l := lab.New(t)
	w.lazy = l.Node("lazy", "2001:db8::99/64")
	for i := range 2 {
		w.addServer(l, i+1, s.stock[i])
	}
	w.addFabric(l, s.frr)
	for i := range 2 {
		w.addBridge(l, i+1)
	}
	for i := range 3 {
		w.addHypervisor(l, i+1, i != 2)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what was done:\n  %s", strings.Join(w.story, "\n  "))
		}
	})
	return w
}

// parts are all of them.
func (w *world) parts() (list []*part) {
	for _, s := range w.servers {
		list = append(list, &s.part)
	}
	for _, b := range w.bridges {
		list = append(list, &b.part)
	}
	for _, h := range w.hypervisors {
		list = append(list, &h.part)
	}
	return append(list, &w.fabric.part)
}

func (w *world) addServer(l *lab.Lab, i int, stock bool) {
	address := fmt.Sprintf("2001:db8::5%d", i)
	s := &server{address: "[" + address + "]:4711"}
	s.part = part{name: fmt.Sprintf("server%d", i), node: l.Node(fmt.Sprintf("server%d", i), address+"/64"), addresses: []string{address}}
	start := s.node.Server
	if stock {
		start = s.node.MetalBondServer
	}
	s.start = func() { s.process = start("--keepalive", "1").Process }
	s.start()
	w.servers = append(w.servers, s)
}

func (w *world) addBridge(l *lab.Lab, i int) {
	address6 := fmt.Sprintf("2001:db8::%d", i)
	b := &bridge{asn: 65000 + i, address4: fmt.Sprintf("10.0.0.%d", i), gateway: fmt.Sprintf("2001:db8:f::%d", i), servers: w.servers}
	if w.setting.anycast {
		b.gateway = "2001:db8:f::1"
	}
	if w.setting.single {
		b.servers = w.servers[i-1 : i]
	}
	name := fmt.Sprintf("bridge%d", i)
	b.part = part{name: name, node: l.Node(name, b.address4+"/24", address6+"/64"), addresses: []string{b.address4, address6}}
	b.start = func() {
		b.MetalBond = b.node.Bridge(w.configure(b))
		b.process = b.MetalBond.Process
	}
	b.start()
	w.bridges = append(w.bridges, b)
}

// configure returns the configuration of a bridge.
func (w *world) configure(b *bridge) string {
	var policy string
	if b.denied != "" {
		policy = fmt.Sprintf(", prefixes: [{deny: %q}, {allow: 0.0.0.0/0, ge: 1}, {allow: \"::/0\", ge: 1}]", b.denied)
	}
	var servers []string
	for _, s := range b.servers {
		servers = append(servers, strconv.Quote(s.address))
	}
	return fmt.Sprintf(`
router-id: %s
asn: %d
domain: "65001:1"
metalbond:
  servers: [%s]
  keepalive: 1s
  gateways: ["2001:db8:f::/64"]
bgp:
  neighbors:
    - {address: %s, asn: %d, timers: {connect-retry: 1s, hold: 6s}}
kernel: {tunnel: seg6, device: lan, decapsulation: off, settle: 5s}
vnis:
  - vni: %d
    import: {targets: ["65000:200"]%[7]s}
    export: {targets: ["65000:200"]%[7]s}
    gateway: %[8]s
    table: 200
`, b.address4, b.asn, strings.Join(servers, ", "), fabric4, fabricAS, vni, policy, b.gateway)
}

func (w *world) addFabric(l *lab.Lab, frr bool) {
	f := &fabric{announced: make(map[string]bool)}
	f.part = part{name: "fabric", node: l.Node("fabric", fabric4+"/24"), addresses: []string{fabric4}}
	if frr {
		leaf := &frrSpeaker{FRR: f.node.FRR(lab.FRROptions{
			ASN: fabricAS, RouterID: fabric4, VNI: vni, Target: "65000:200", MAC: "02:00:00:00:00:09",
			Neighbors: []lab.FRRNeighbor{{Address: "10.0.0.1", ASN: 65001}, {Address: "10.0.0.2", ASN: 65002}},
		})}
		f.speaker, f.process = leaf, leaf.BGP
		f.start = func() {
			leaf.StartBGP()
			f.process = leaf.BGP
		}
	} else {
		f.start = func() {
			s := f.node.Speaker(fabricAS, fabric4, "10.0.0.1=65001,10.0.0.2=65002")
			f.speaker, f.process = gobgpSpeaker{s}, s.Process
			f.announce(sorted(f.announced)...)
		}
		f.start()
	}
	w.fabric = f
}

// gobgpSpeaker is a speaker of the lab.
type gobgpSpeaker struct{ *lab.Speaker }

const rd = fabric4 + ":7"

func (s gobgpSpeaker) announce(prefixes ...string) {
	for _, prefix := range prefixes {
		s.Do("announce %s %s %d %s 65000:200 02:00:00:00:00:09", rd, prefix, vni, fabric4)
	}
}

func (s gobgpSpeaker) withdraw(prefixes ...string) {
	for _, prefix := range prefixes {
		s.Do("withdraw %s %s", rd, prefix)
	}
}

func (s gobgpSpeaker) paths() (list []string, err error) {
	for _, p := range s.Paths() {
		list = append(list, p.Peer+" "+p.Prefix)
	}
	return list, nil
}

func (s gobgpSpeaker) heard() int { return s.Heard() }

// frrSpeaker announces what its VRF has addresses of.
type frrSpeaker struct{ *lab.FRR }

func (f *frrSpeaker) announce(prefixes ...string) { f.address("add", prefixes) }
func (f *frrSpeaker) withdraw(prefixes ...string) { f.address("del", prefixes) }

func (f *frrSpeaker) address(command string, prefixes []string) {
	for _, prefix := range prefixes {
		p := netip.MustParsePrefix(prefix)
		f.Run("ip", "-n", "red", "address", command, netip.PrefixFrom(p.Addr().Next(), p.Bits()).String(), "dev", "c0")
	}
}

func (f *frrSpeaker) paths() (list []string, err error) {
	routes, err := f.Type5()
	for _, r := range routes {
		list = append(list, r.Peer+" "+r.Prefix)
	}
	return list, err
}

func (f *frrSpeaker) heard() int { return 0 }

// sorted are the elements of a set in order.
func sorted(set map[string]bool) []string {
	list := make([]string, 0, len(set))
	for s := range set {
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}

// patience is how long the network may take to be right: sessions that hang are
// noticed after 6 s, and clients come back after up to 10 s and another 5 s for
// a server that does not answer.
const patience = 90 * time.Second

// check waits until every table is as the model has it, then for silence, and
// compares again.
func (w *world) check() {
	w.t.Helper()
	w.compare()
	lab.Settled(w.t, 2*time.Second, patience, "number of messages", w.heard)
	w.compare()
}

// compare waits until every table is as the model has it.
func (w *world) compare() {
	w.t.Helper()
	lab.Eventually(w.t, patience, "the network", w.differs)
}

// heard is how many updates have come to anybody who counts.
func (w *world) heard() int {
	n := w.fabric.heard()
	for _, h := range w.hypervisors {
		n += h.heard()
	}
	return n
}

// differs says which table differs from the model, and how.
func (w *world) differs() error {
	for _, h := range w.hypervisors {
		if h.condition == dead || h.condition == frozen {
			continue
		}
		got, err := h.routes()
		if err == nil {
			err = lab.Differ(got, w.wantHypervisor(h))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
	}
	if f := w.fabric; f.condition == alive || f.condition == apart {
		got, err := f.paths()
		if err == nil {
			err = lab.Differ(got, w.wantFabric())
		}
		if err != nil {
			return fmt.Errorf("fabric: %w", err)
		}
	}
	for _, b := range w.bridges {
		if b.condition == dead || b.condition == frozen {
			continue
		}
		got, err := b.kernel()
		if err != nil {
			return err
		}
		want, optional := w.wantKernel(b)
		got = slices.DeleteFunc(got, func(r string) bool {
			prefix, _, _ := strings.Cut(r, " ")
			return optional[prefix] && !slices.Contains(want, r)
		})
		if err := lab.Differ(got, want); err != nil {
			return fmt.Errorf("kernel of %s: %w", b.part.name, err)
		}
	}
	return nil
}
