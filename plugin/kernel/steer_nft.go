package kernel

// The nftables table is written in transactions, which the kernel carries out
// wholly or not at all, and between two packets. To find out later whether
// somebody has changed it, every rule carries a tag that no other rule ever had:
// rules, and the constant maps that they use, cannot be changed, only
// replaced. While the kernel's generation number is the one of our last
// transaction nothing needs to be looked at.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// nftTable returns the name of the table that all is in that a process with a
// protocol number has in nftables.
func nftTable(protocol uint8) string { return fmt.Sprintf("mbbgp_%d", protocol) }

// nftBuffer is the room for a transaction and for the answers to it, in bytes.
// The kernel takes as much as is needed.
const nftBuffer = 128 << 20

const sizeofNfgenmsg = 4 // family, version, id of the resource

// maxElements bounds the elements in a message, whose length has 16 bits.
const maxElements = 300

// nft is the table in nftables.
type nft struct {
	table      *nftables.Table
	tags       map[string][]string            // of the rules of each chain
	elements   map[string]map[string]struct{} // keys of the elements of each set that has a name
	sets       map[string]*nftables.Set
	maps       map[string]*nftables.Set // without which a chain's rule cannot be
	replaced   []*nftables.Set          // of maps, and not yet removed
	run        uint64                   // makes tags unlike those of other runs
	serial     uint64                   // of the last tag
	generation uint32                   // of the kernel's, when nobody else had changed anything; 0: not known
}

func newNFT(protocol uint8) nft {
	return nft{table: &nftables.Table{Name: nftTable(protocol), Family: nftables.TableFamilyINet}, run: rand.Uint64()}
}

// dial opens a socket in the network namespace of the calling thread.
func (n *nft) dial(options ...nftables.ConnOption) (*nftables.Conn, error) {
	return nftables.New(append(options, nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(nftBuffer), c.SetWriteBuffer(nftBuffer))
	}))...)
}

// transaction is a list of changes. What it does to the notes of nft counts
// whether it succeeds or not: after one that failed the next one is fresh.
type transaction struct {
	*nftables.Conn
	nft   *nft
	fresh bool
	err   error // the first that came up while it was written
}

// begin begins a transaction; a fresh one replaces the table, if there is one.
func (n *nft) begin(fresh bool) (*transaction, error) {
	conn, err := n.dial()
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	t := &transaction{Conn: conn, nft: n, fresh: fresh}
	if fresh {
		n.tags, n.elements = map[string][]string{}, map[string]map[string]struct{}{}
		n.sets, n.maps, n.replaced = map[string]*nftables.Set{}, map[string]*nftables.Set{}, nil
		t.AddTable(n.table)
		t.DelTable(n.table)
		t.AddTable(n.table)
	}
	return t, nil
}

// transact carries out a transaction that write writes.
func (n *nft) transact(write func(*transaction)) error {
	t, err := n.begin(false)
	if err != nil {
		return err
	}
	write(t)
	return t.commit()
}

// chain adds a chain without rules.
func (t *transaction) chain(c nftables.Chain) {
	c.Table = t.nft.table
	t.AddChain(&c)
	t.nft.tags[c.Name] = nil
}

// has reports whether there is a chain of the name.
func (t *transaction) has(chain string) bool {
	_, ok := t.nft.tags[chain]
	return ok
}

// base adds a chain that packets come to by themselves.
func (t *transaction) base(name string, hook *nftables.ChainHook, priority nftables.ChainPriority) {
	t.chain(nftables.Chain{Name: name, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: &priority})
}

// dropChain removes a chain and its rules.
func (t *transaction) dropChain(name string) {
	c := &nftables.Chain{Table: t.nft.table, Name: name}
	t.FlushChain(c)
	t.DelChain(c)
	delete(t.nft.tags, name)
	t.replace(name, nil)
}

// replace makes a map, or nil, that of a chain. The one before is removed by
// dropReplaced.
func (t *transaction) replace(chain string, s *nftables.Set) {
	if old := t.nft.maps[chain]; old != nil {
		t.nft.replaced = append(t.nft.replaced, old)
	}
	if t.nft.maps[chain] = s; s == nil {
		delete(t.nft.maps, chain)
	}
}

// dropReplaced removes maps that no rule uses any more.
func (t *transaction) dropReplaced() {
	for _, s := range t.nft.replaced {
		t.DelSet(s)
	}
	t.nft.replaced = nil
}

// emptyChain removes the rules of a chain.
func (t *transaction) emptyChain(name string) {
	t.FlushChain(&nftables.Chain{Table: t.nft.table, Name: name})
	t.nft.tags[name] = nil
}

// rule adds a rule to a chain.
func (t *transaction) rule(chain string, exprs ...[]expr.Any) {
	t.nft.serial++
	tag := fmt.Sprintf("%x-%d", t.nft.run, t.nft.serial)
	t.AddRule(&nftables.Rule{
		Table: t.nft.table, Chain: &nftables.Chain{Name: chain}, Exprs: slices.Concat(exprs...),
		UserData: userdata.AppendString(nil, userdata.TypeComment, tag),
	})
	t.nft.tags[chain] = append(t.nft.tags[chain], tag)
}

// set adds a set or a map that has a name.
func (t *transaction) set(s nftables.Set) {
	s.Table = t.nft.table
	t.note(t.AddSet(&s, nil))
	t.nft.sets[s.Name] = &s
	t.nft.elements[s.Name] = map[string]struct{}{}
}

// anonymous adds a set for one rule.
func (t *transaction) anonymous(s nftables.Set, list ...nftables.SetElement) *nftables.Set {
	s.Table, s.Anonymous, s.Constant = t.nft.table, true, true
	t.note(t.AddSet(&s, list))
	return &s
}

// constant adds a map for the rule of a chain. Nobody can change it as long as
// the rule is there.
func (t *transaction) constant(chain string, s nftables.Set, list []nftables.SetElement) {
	t.nft.serial++
	s.Table, s.Constant, s.Name = t.nft.table, true, fmt.Sprintf("map%d", t.nft.serial)
	t.note(t.AddSet(&s, nil))
	for part := range slices.Chunk(list, maxElements) {
		t.note(t.SetAddElements(&s, part))
	}
	t.replace(chain, &s)
}

// add adds elements to a set that has a name.
func (t *transaction) add(set string, list ...nftables.SetElement) {
	for part := range slices.Chunk(list, maxElements) {
		t.note(t.SetAddElements(t.nft.sets[set], part))
		for _, e := range part {
			t.nft.elements[set][string(e.Key)] = struct{}{}
		}
	}
}

// drop removes elements of a set that has a name.
func (t *transaction) drop(set string, list ...nftables.SetElement) {
	for part := range slices.Chunk(list, maxElements) {
		t.note(t.SetDeleteElements(t.nft.sets[set], part))
		for _, e := range part {
			delete(t.nft.elements[set], string(e.Key))
		}
	}
}

// counter adds a counter of packets.
func (t *transaction) counter(name string, packets uint64) {
	t.AddObj(&nftables.NamedObj{Table: t.nft.table, Name: name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{Packets: packets}})
}

func (t *transaction) note(err error) {
	if t.err == nil {
		t.err = err
	}
}

// commit carries the transaction out.
func (t *transaction) commit() error {
	if t.err != nil {
		return fmt.Errorf("nftables: %w", t.err)
	}
	before, err := generation()
	if err != nil {
		return err
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	after, err := generation()
	if alone := after == before+1; err != nil || !alone || !t.fresh && t.nft.generation != before {
		after = 0 // what somebody else did has to be looked at
	}
	t.nft.generation = after
	return nil
}

// same reports whether the kernel still has what the last transaction left.
func (n *nft) same() (bool, error) {
	now, err := generation()
	if err != nil || now == n.generation {
		return err == nil, err
	}
	conn, err := n.dial(nftables.AsLasting())
	if err != nil {
		return false, err
	}
	defer conn.CloseLasting()
	chains, err := n.chains(conn)
	if err != nil || len(chains) != len(n.tags) {
		return false, err
	}
	for _, c := range chains {
		want, ok := n.tags[c]
		rules, err := conn.GetRules(n.table, &nftables.Chain{Name: c})
		if err != nil || !ok || len(rules) != len(want) {
			return false, err
		}
		for i, r := range rules {
			if tag, _ := userdata.GetString(r.UserData, userdata.TypeComment); tag != want[i] {
				return false, nil
			}
		}
	}
	for name, want := range n.elements {
		have, err := conn.GetSetElements(n.sets[name])
		if err != nil || len(have) != len(want) {
			return false, err
		}
		for _, e := range have {
			if _, ok := want[string(e.Key)]; !ok {
				return false, nil
			}
		}
	}
	if again, err := generation(); err == nil && again == now {
		n.generation = now
	}
	return true, nil
}

// chains returns the names of the chains that the table has in the kernel.
func (n *nft) chains(conn *nftables.Conn) (names []string, err error) {
	if _, err := generation(); err != nil { // it knows what a missing nftables says
		return nil, err
	}
	list, err := conn.ListChainsOfTableFamily(n.table.Family)
	if err != nil {
		return nil, fmt.Errorf("reading nftables' chains: %w", err)
	}
	for _, c := range list {
		if c.Table.Name == n.table.Name {
			names = append(names, c.Name)
		}
	}
	return names, nil
}

// remove removes the table, if there is one.
func (n *nft) remove() error {
	conn, err := n.dial()
	if err != nil {
		return err
	}
	conn.AddTable(n.table)
	conn.DelTable(n.table)
	n.generation = 0
	return conn.Flush()
}

// generation returns the number of the kernel's nftables configuration, which
// every transaction of anybody makes another one.
func generation() (uint32, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	answer, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN, Flags: netlink.Request},
		Data:   make([]byte, sizeofNfgenmsg),
	})
	if errors.Is(err, unix.EINVAL) {
		err = unix.EOPNOTSUPP // netfilter says so of all that it does not have
	}
	if err != nil {
		return 0, fmt.Errorf("nftables' generation: %w", err)
	}
	for _, m := range answer {
		if len(m.Data) < sizeofNfgenmsg {
			continue
		}
		ad, err := netlink.NewAttributeDecoder(m.Data[sizeofNfgenmsg:])
		if err != nil {
			return 0, fmt.Errorf("nftables' generation: %w", err)
		}
		ad.ByteOrder = binary.BigEndian
		for ad.Next() {
			if ad.Type() == unix.NFTA_GEN_ID {
				return ad.Uint32(), nil
			}
		}
	}
	return 0, errors.New("nftables' generation: the kernel did not say")
}
