package bridge

// Where both control planes tell of a prefix, a VNI prefers one of them, and the
// other stands by. That is a matter of the preferences in the table alone, so all
// who read it follow together: the kernel, BGP and the hypervisors.
//
//	prefer metalbond   native (200) > BGP (52 to 199) > relayed, leaked (50)
//	prefer bgp         BGP (52 to 199) > native (51) > relayed, leaked (50)
//
// While BGP is preferred and tells of a prefix, the kernel sends its packets the
// way that BGP says, hypervisors are told that way, and BGP is not told of what
// hypervisors announce: it has the prefix already, and would hear it a second
// time. What only one of them tells of is used either way. NAT ranges and load
// balancer targets are MetalBond's alone and never stand by.
//
// No loop can come of it that the other rules do not cut: what is exported still
// carries the domain's Site-of-Origin and comes back to nobody, a sibling
// gateway's copy still counts less than either side's own word, and a leaked
// route still hides nothing. What BGP must not do is to tell of our own export
// without that community: then the copy would hide what it was made of.
//
// A change of what is preferred goes over the next hops that MetalBond peers have
// said, one after the other. Each gets its other preference in one edit of the
// table, so a prefix is never without a visible next hop, and going back gives
// each the preference that it had.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sirupsen/logrus"

	"mbbgp/config"
	"mbbgp/rib"
)

// preferring is what VNIs prefer by command instead of by configuration. It
// is kept in the state directory.
type preferring struct {
	path string // "": they are not kept
	log  logrus.FieldLogger
	said map[rib.VNI]config.Prefer
}

// Preferred is what a VNI prefers.
type Preferred struct {
	Prefer     config.Prefer
	Configured config.Prefer // what the configuration says
	Overridden bool          // a command has said something else
	Kept       bool          // over restarts, as there is a state directory
	Fixed      error         // why a command cannot change it; nil: it can
}

// The errors of Prefer.
var (
	ErrNotConfigured = errors.New("the VNI is not in the configuration")
	ErrLossless      = errors.New("the VNI's exports are lossless: what BGP brings is other sites' word in MetalBond, and nothing to prefer")
)

// open reads what an earlier run has kept. What cannot be read is logged, and the
// configuration counts then.
func (x *preferring) open(cfg *config.Config, log logrus.FieldLogger) {
	x.log, x.said = log, map[rib.VNI]config.Prefer{}
	if cfg.StateDirectory == "" {
		return
	}
	x.path = filepath.Join(cfg.StateDirectory, "prefer.json")
	text, err := os.ReadFile(x.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		x.said, err = parsePreferences(text)
	}
	if err != nil {
		x.said = map[rib.VNI]config.Prefer{}
		log.WithError(err).WithField("file", x.path).Error("what VNIs prefer since a migration cannot be read, the configuration counts")
	}
}

// The file is a JSON object of one key, whose value has what each VNI prefers.
const preferKey = "prefer"

func parsePreferences(text []byte) (map[rib.VNI]config.Prefer, error) {
	var file map[string]map[string]string
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	said := map[rib.VNI]config.Prefer{}
	for number, name := range file[preferKey] {
		vni, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is no VNI", number)
		}
		if said[rib.VNI(vni)], err = config.ParsePrefer(name); err != nil {
			return nil, fmt.Errorf("vni %d: %w", vni, err)
		}
	}
	return said, nil
}

// save writes what was said, so that after a crash the file is the old or the new
// one.
func (x *preferring) save(said map[rib.VNI]config.Prefer) error {
	if x.path == "" {
		return nil
	}
	names := map[string]string{}
	for vni, p := range said {
		names[strconv.FormatUint(uint64(vni), 10)] = p.String()
	}
	text, err := json.MarshalIndent(map[string]any{preferKey: names}, "", "\t")
	if err != nil {
		return err
	}
	return writeFile(x.path, append(text, '\n'))
}

// mark notes in a view which VNIs prefer BGP, and of which that was said by
// command. What was said counts more than what is configured, until that says the
// same.
func (x *preferring) mark(v *view) {
	v.deferred, v.overridden = map[rib.VNI]bool{}, map[rib.VNI]bool{}
	agreed := false
	for _, n := range v.sorted {
		prefer := n.config.Prefer
		switch said, ok := x.said[n.vni]; {
		case ok && (said == prefer || n.config.Lossless()):
			delete(x.said, n.vni)
			agreed = true
		case ok:
			prefer, v.overridden[n.vni] = said, true
		}
		v.deferred[n.vni] = prefer == config.PreferBGP
	}
	if agreed {
		if err := x.save(x.said); err != nil {
			x.log.WithError(err).Warn("what VNIs prefer could not be written")
		}
	}
}

// Preferred returns what a VNI prefers; by default that is MetalBond.
func (b *Bridge) Preferred(vni rib.VNI) Preferred {
	v := b.current()
	p := Preferred{Overridden: v.overridden[vni], Kept: b.prefers.path != "", Fixed: v.fixed(vni)}
	if n := v.networks[vni]; n != nil {
		p.Configured = n.config.Prefer
	}
	if v.deferred[vni] {
		p.Prefer = config.PreferBGP
	}
	return p
}

// fixed returns why a VNI cannot prefer something else, nil if it can.
func (v *view) fixed(vni rib.VNI) error {
	switch n := v.networks[vni]; {
	case n == nil:
		return ErrNotConfigured
	case n.config.Lossless():
		return ErrLossless
	}
	return nil
}

// Prefer makes a VNI prefer one control plane from now on, whatever the
// configuration says, and until both say the same. With a state directory it is
// kept over restarts. When Prefer returns, the table has followed. With an error
// nothing has changed.
func (b *Bridge) Prefer(vni rib.VNI, prefer config.Prefer) error {
	b.applying.Lock()
	defer b.applying.Unlock()
	was := b.current()
	if err := was.fixed(vni); err != nil {
		return err
	}
	said := maps.Clone(b.prefers.said)
	said[vni] = prefer
	if was.networks[vni].config.Prefer == prefer {
		delete(said, vni)
	}
	if err := b.prefers.save(said); err != nil {
		return err
	}
	b.prefers.said = said
	now := *was
	b.prefers.mark(&now)
	b.view.Store(&now)
	b.prefer(was, &now)
	return nil
}
