package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/plugin/api"
	"mbbgp/plugin/gobgp"
	"mbbgp/rib"
)

// notPreferred is the reason why a next hop is not exported that nobody sees.
const notPreferred = "not-preferred"

// explain collects what there is of a prefix in a VNI, and what the policy
// says of it. To find the BGP paths it walks the tables of the speaker.
func (d *daemon) explain(vni rib.VNI, p netip.Prefix) (api.Explanation, error) {
	e := api.Explanation{VNI: vni, Prefix: p, Prefer: d.bridge.Preferred(vni).Prefer.String()}
	g := d.bridge.BGP()
	for _, info := range d.table.Lookup(vni, p) {
		e.NextHops = append(e.NextHops, explainHop(g, vni, info))
	}
	for _, v := range g.Stats().VNIs {
		if v.VNI == vni {
			e.Configured = true
			explainConfigured(&e, &v)
		}
	}
	e.Kernel = d.explainKernel(vni, p)
	m := g.Memberships()
	e.NotAsked = m.Spoken && !slices.Contains(m.VNIs, vni) && slices.ContainsFunc(d.vnis(), func(v config.VNI) bool {
		return rib.VNI(v.VNI) == vni && len(v.Import.Targets) > 0
	})
	if d.speaker == nil {
		return e, nil
	}
	own := ownRDs(g, vni)
	err := d.speaker.Table(func(path gobgp.Path) bool {
		if path.NLRI.Prefix == p {
			if x, about := explainPath(g, vni, &path, own); about {
				e.Paths = append(e.Paths, x)
			}
		}
		return true
	})
	if err != nil {
		return e, fmt.Errorf("BGP: %w", err)
	}
	slices.SortFunc(e.Paths, func(a, b api.ExplainedBGP) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.NLRI, b.NLRI), a.Neighbor.Compare(b.Neighbor))
	})
	return e, nil
}

// explainConfigured adds what the configuration of the VNI makes of the prefix
// itself.
func explainConfigured(e *api.Explanation, v *bridge.VNIStats) {
	for _, o := range v.Originated {
		if o.Prefix == e.Prefix {
			e.Originated = &api.Originated{Present: o.Present, Offers: o.Offers}
		}
	}
	for _, a := range v.Exported.Aggregates {
		if a.Prefix == e.Prefix {
			e.Aggregate = &api.Aggregate{Exported: a.Exported, Contributors: a.Contributors}
		}
	}
}

func explainHop(g *bridge.BGP, vni rib.VNI, info rib.RouteInfo) api.ExplainedHop {
	nh := info.NextHop
	x := api.ExplainedHop{
		Target:    nh.Target,
		TargetVNI: nh.TargetVNI,
		Type:      nh.Type.String(),
		NATFrom:   nh.NATFrom,
		NATTo:     nh.NATTo,
		Visible:   info.Visible,
	}
	best := info.Claims[0]
	for _, c := range info.Claims {
		x.Claims = append(x.Claims, api.Claim{Source: c.Source.String(), Name: c.Name, Preference: int(c.Preference)})
		if c.Preference > best.Preference || c.Preference == best.Preference && c.Source < best.Source {
			best = c
		}
	}
	if !info.Visible {
		x.Export = api.Verdict{Reason: notPreferred, Detail: "another next hop of the type has a higher preference"}
		return x
	}
	x.Export = verdict(g.ExplainExport(vni, info.Prefix, rib.Path{NextHop: nh, Source: best.Source, Preference: best.Preference}))
	return x
}

// paths visits the paths of BGP, or with a VNI other than 0 those that are about
// it, and says then whether it imports them.
func (d *daemon) paths(vni rib.VNI, visit func(*api.ExplainedBGP) bool) error {
	g := d.bridge.BGP()
	own := ownRDs(g, vni)
	err := d.speaker.Table(func(path gobgp.Path) bool {
		if vni == 0 {
			x := describePath(&path)
			return visit(&x)
		}
		x, about := explainPath(g, vni, &path, own)
		return !about || visit(&x)
	})
	if err != nil {
		return fmt.Errorf("BGP: %w", err)
	}
	return nil
}

// ownRDs are the route distinguishers that a VNI exports with.
func ownRDs(g *bridge.BGP, vni rib.VNI) map[bridge.RD]bool {
	own := make(map[bridge.RD]bool)
	for _, v := range g.Stats().VNIs {
		if v.VNI == vni {
			for _, rd := range v.Exported.RDs {
				own[rd] = true
			}
		}
	}
	return own
}

// explainPath explains a BGP path to a VNI. It is not about the VNI if only
// others import it, or, of our own ones, if another one exports it.
func explainPath(g *bridge.BGP, vni rib.VNI, path *gobgp.Path, own map[bridge.RD]bool) (x api.ExplainedBGP, about bool) {
	x = describePath(path)
	if !path.Neighbor.IsValid() {
		return x, path.NLRI.RD == (bridge.RD{}) || own[path.NLRI.RD]
	}
	u := bridge.Update{NLRI: path.NLRI, Label: path.Label, Attributes: path.Attributes, Neighbor: path.Neighbor}
	for _, v := range g.ExplainImport(u) {
		if v.VNI == vni || v.VNI == 0 {
			x.Import = append(x.Import, verdict(v))
		}
	}
	return x, len(x.Import) > 0
}

// describePath says what a BGP path is.
func describePath(path *gobgp.Path) api.ExplainedBGP {
	x := api.ExplainedBGP{
		Kind:     path.NLRI.Kind.String(),
		NLRI:     path.NLRI.String(),
		Prefix:   path.NLRI.Prefix,
		Neighbor: path.Neighbor,
		Best:     path.Best,
		Stale:    path.Stale,
		Since:    path.Since,
		Label:    path.Label,
	}
	if a := path.Attributes; a != nil {
		x.NextHop, x.SID, x.LocalPreference, x.MED = a.NextHop, a.SRv6.SID, a.LocalPref, a.MED
		x.RouteTargets, x.SiteOfOrigin = texts(a.RouteTargets), texts(a.SiteOfOrigin)
		for _, c := range a.Communities {
			x.Communities = append(x.Communities, config.Community(c).String())
		}
		for _, c := range a.Large {
			x.LargeCommunities = append(x.LargeCommunities, config.LargeCommunity(c).String())
		}
		for _, domain := range a.DPath {
			x.DPath = append(x.DPath, domain.ID.String())
		}
	}
	return x
}

func verdict(v bridge.Verdict) api.Verdict {
	if v.Reason != bridge.Accepted {
		return api.Verdict{Reason: string(v.Reason), Detail: v.Detail}
	}
	x := api.Verdict{Accepted: true, NextHop: v.NextHop.String(), Detail: v.Detail}
	if v.NextHop.Target.IsUnspecified() {
		x.NextHop = "self" // our address of each session
	}
	if v.Via.Target.IsValid() {
		x.Via = v.Via.String()
	}
	return x
}

// texts returns the texts of a list, nil of an empty one.
func texts[T fmt.Stringer](list []T) (all []string) {
	for _, x := range list {
		all = append(all, x.String())
	}
	return all
}
