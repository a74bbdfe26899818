package gobgp

import (
	"errors"
	"fmt"
	"slices"

	gobgpconfig "github.com/osrg/gobgp/v4/pkg/config"
	"github.com/osrg/gobgp/v4/pkg/config/oc"

	"mbbgp/config"
)

// A gobgpd configuration is read and applied by GoBGP's own code, so it means
// here what it means there. The reader refuses unknown keys, and dynamic
// neighbours without their peer group, which would be a panic later. What
// applies it logs most of what it dislikes and goes on, so the log is watched
// meanwhile.

// readFile reads a gobgpd file: TOML, YAML or JSON by its extension, TOML for
// any other, as gobgpd does.
func readFile(name string, cfg *config.Config) (*oc.BgpConfigSet, error) {
	set, err := gobgpconfig.ReadConfigFile(name, "toml")
	if err != nil {
		return nil, fmt.Errorf("bgp.gobgp-config: %s: %w", name, err)
	}
	errs := checkFile(set, cfg)
	for i := range errs {
		errs[i] = fmt.Errorf("bgp.gobgp-config: %s: %w", name, errs[i])
	}
	return set, errors.Join(errs...)
}

// checkFile fills in our AS and router-id where the file has none, and finds
// what GoBGP would stumble over.
func checkFile(set *oc.BgpConfigSet, cfg *config.Config) (errs []error) {
	g := &set.Global.Config
	switch g.As {
	case 0:
		g.As = cfg.ASN
	case cfg.ASN:
	default:
		errs = append(errs, fmt.Errorf("global.config.as: %d is not our asn, %d", g.As, cfg.ASN))
	}
	switch {
	case !g.RouterId.IsValid():
		g.RouterId = cfg.RouterID
	case g.RouterId != cfg.RouterID:
		errs = append(errs, fmt.Errorf("global.config.router-id: %v is not our router-id, %v", g.RouterId, cfg.RouterID))
	}
	for i, a := range g.LocalAddressList {
		if !a.IsValid() {
			errs = append(errs, fmt.Errorf("global.config.local-address-list[%d]: no address", i))
		}
	}
	if !slices.ContainsFunc(set.Global.AfiSafis, isCarried) {
		errs = append(errs, errors.New("global.afi-safis: none of evpn, VPN and unicast is there, no route could be carried"))
	}
	groups := make(map[string]bool, len(set.PeerGroups))
	for _, p := range set.PeerGroups {
		groups[p.Config.PeerGroupName] = true
	}
	for i, n := range set.Neighbors {
		if name := n.Config.PeerGroup; name != "" && !groups[name] {
			errs = append(errs, fmt.Errorf("neighbors[%d].config.peer-group: %q is not in peer-groups", i, name))
		}
	}
	return errs
}

// isCarried reports whether VNIs can have routes in the family.
func isCarried(f oc.AfiSafi) bool {
	for i, rf := range families {
		if string(f.Config.AfiSafiName) == rf.String() {
			return config.Family(i) <= config.FamilyIPv6
		}
	}
	return false
}
