package bridge

// A numbering gives numbers of a range to VNIs, one for each slot of a VNI that
// asks for one. A number must be unique among the VNIs of this router and
// stable: BGP hears a changed one as a withdrawal and an announcement of
// everything.
//
// Slot 0 of all VNIs is numbered at the start: first those whose preferred
// number is free, then the others, each in order of VNI. The other slots are
// numbered when they are first asked for. Which number a collision ends at
// therefore depends on what was there before; the state file keeps that over
// restarts and changes of the configuration.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/sirupsen/logrus"

	"mbbgp/rib"
)

type numbering struct {
	what        string // for people: "route distinguishers"
	key         string // of the numbers in the state file
	path        string // state file; empty: none
	log         logrus.FieldLogger
	first, last uint32                             // the range, both ends included
	slots       int                                // that a VNI may have
	prefer      func(rib.VNI) uint32               // what slot 0 gets if it is free; 0: no preference
	start       func(vni rib.VNI, slot int) uint32 // where the search for a free number begins

	mu        sync.Mutex
	demand    demand               // guarded by mu
	numbers   map[rib.VNI][]uint32 // guarded by mu; by slot; 0: none
	used      map[uint32]bool      // guarded by mu; those of numbers, and reserved ones
	exhausted bool                 // guarded by mu; none is left
	changed   bool                 // guarded by mu; since the state file was written
	failed    bool                 // guarded by mu; the last write did, and it was logged
}

// demand is what the configuration has to say of numbers.
type demand struct {
	auto       []rib.VNI          // slot 0 is to have a number
	configured map[rib.VNI]bool   // those that keep their numbers whatever happens
	reserved   map[uint32]rib.VNI // given away by the configuration, to whom
}

func newDemand() demand {
	return demand{configured: map[rib.VNI]bool{}, reserved: map[uint32]rib.VNI{}}
}

// open reads the state and numbers slot 0 of VNIs. An unreadable state is
// logged and ignored.
func (n *numbering) open(a demand) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.demand = a
	n.numbers, n.used = map[rib.VNI][]uint32{}, map[uint32]bool{}
	for number := range a.reserved {
		n.used[number] = true
	}
	n.load()
	return n.numberAll()
}

// check reports which number that a configuration gives away is somebody's who
// would keep it.
func (n *numbering) check(a demand) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for vni, list := range n.numbers {
		for slot, number := range list {
			to, reserved := a.reserved[number]
			if number != 0 && reserved && a.configured[vni] && (slot > 0 || to != vni) {
				return fmt.Errorf("vni %d: %d is in use: vni %d was given it of the %s that are free", to, number, vni, n.what)
			}
		}
	}
	return nil
}

// assign makes a what the configuration asks for. Who has a number keeps it.
// With an error, nothing but numbers that nobody had has been given away.
func (n *numbering) assign(a demand) error {
	if err := n.check(a); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, list := range n.numbers {
		for slot, number := range list {
			if _, reserved := a.reserved[number]; reserved {
				list[slot] = 0
			}
		}
	}
	for number := range n.demand.reserved {
		delete(n.used, number)
	}
	for number := range a.reserved {
		n.used[number] = true
	}
	n.demand, n.exhausted = a, false
	return n.numberAll()
}

// numberAll gives slot 0 of all VNIs that ask for it a number.
func (n *numbering) numberAll() error {
	if len(n.demand.auto) == 0 {
		return nil
	}
	vnis := slices.Sorted(slices.Values(n.demand.auto))
	for _, vni := range vnis { // before any search can take it
		if want := n.prefer(vni); want != 0 && n.at(vni, 0) == 0 && !n.used[want] {
			n.set(vni, 0, want)
		}
	}
	for _, vni := range vnis {
		if n.at(vni, 0) == 0 && !n.give(vni, 0) {
			return fmt.Errorf("none of the %s is left for vni %d", n.what, vni)
		}
	}
	n.save()
	return nil
}

// get returns the number of a slot, assigning it if need be; false if none is
// left.
func (n *numbering) get(vni rib.VNI, slot int) (uint32, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.at(vni, slot) == 0 && (slot >= n.slots || !n.give(vni, slot)) {
		return 0, false
	}
	return n.at(vni, slot), true
}

// list returns the numbers of a VNI by slot, 0 where there is none.
func (n *numbering) list(vni rib.VNI) []uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.numbers[vni])
}

func (n *numbering) at(vni rib.VNI, slot int) uint32 {
	if list := n.numbers[vni]; slot < len(list) {
		return list[slot]
	}
	return 0
}

// give gives a slot the first free number from its start on. When there is
// none, VNIs that are no longer configured lose theirs.
func (n *numbering) give(vni rib.VNI, slot int) bool {
	if n.exhausted {
		return false
	}
	size := n.last - n.first + 1
	begin := n.start(vni, slot) - n.first
	for i := range size {
		if number := n.first + (begin+i)%size; !n.used[number] {
			n.set(vni, slot, number)
			return true
		}
	}
	n.exhausted = !n.reclaim()
	return n.give(vni, slot)
}

// reclaim frees the numbers of VNIs that are not configured, and reports
// whether there were any.
func (n *numbering) reclaim() (freed bool) {
	for vni, list := range n.numbers {
		if n.demand.configured[vni] {
			continue
		}
		for _, number := range list {
			if number != 0 {
				delete(n.used, number)
				freed = true
			}
		}
		delete(n.numbers, vni)
	}
	return freed
}

func (n *numbering) set(vni rib.VNI, slot int, number uint32) {
	list := n.numbers[vni]
	for len(list) <= slot {
		list = append(list, 0)
	}
	list[slot] = number
	n.numbers[vni] = list
	n.used[number] = true
	n.changed = true
}

// The state file is a JSON object of one key, whose value has the numbers of
// every VNI. VNIs that are no longer configured stay in it, in case they come
// back, until others need their numbers.

func (n *numbering) load() {
	if n.path == "" {
		return
	}
	data, err := os.ReadFile(n.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var state map[string]map[string][]uint32
	if err == nil {
		err = json.Unmarshal(data, &state)
	}
	if err == nil {
		err = n.adopt(state[n.key])
	}
	if err != nil {
		n.log.WithError(err).WithField("file", n.path).Warnf("%s of the last run are lost, new ones are assigned", n.what)
	}
}

// adopt takes over a whole state or, with an error, nothing of it. A number
// that is out of the range, or that the configuration has given away since, is
// left out.
func (n *numbering) adopt(state map[string][]uint32) error {
	numbers := map[rib.VNI][]uint32{}
	used := map[uint32]bool{}
	for text, list := range state {
		vni, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return fmt.Errorf("%q is no VNI", text)
		}
		if _, there := numbers[rib.VNI(vni)]; there { // as 1 and 01
			return fmt.Errorf("vni %d is there twice", vni)
		}
		if len(list) > n.slots {
			return fmt.Errorf("vni %d has %d numbers, more than %d", vni, len(list), n.slots)
		}
		for slot, number := range list {
			switch {
			case number == 0:
			case used[number]:
				return fmt.Errorf("%d is there twice", number)
			case number < n.first || number > n.last || n.used[number]:
				list[slot] = 0
			default:
				used[number] = true
			}
		}
		numbers[rib.VNI(vni)] = list
	}
	maps.Copy(n.used, used)
	n.numbers = numbers
	return nil
}

// flush writes the state file if anything changed. It is called before a new
// number is used. A failure is logged once; the process goes on.
func (n *numbering) flush() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.save()
}

func (n *numbering) save() {
	if !n.changed || n.path == "" {
		return
	}
	lists := map[string][]uint32{}
	for vni, list := range n.numbers {
		lists[strconv.FormatUint(uint64(vni), 10)] = list
	}
	data, err := json.MarshalIndent(map[string]any{n.key: lists}, "", "\t")
	if err == nil {
		err = writeFile(n.path, append(data, '\n'))
	}
	switch {
	case err == nil:
		n.changed, n.failed = false, false
	case !n.failed:
		n.failed = true
		n.log.WithError(err).WithField("file", n.path).Warnf("%s will not survive a restart", n.what)
	}
}

// writeFile replaces a file so that after a crash it is the old or the new one.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".state-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	err = dir.Sync()
	if e := dir.Close(); err == nil {
		err = e
	}
	return err
}
