package api

import (
	"cmp"
	"slices"
	"strconv"
)

// redistribution is what did not cross between MetalBond and BGP, by the figures
// of State.Counters, and the prefixes that the configuration names.
type redistribution struct {
	Refused    []refused    `json:"refused"`
	Waiting    []waiting    `json:"waiting"`
	Originated []originated `json:"originated"`
	Aggregates []aggregate  `json:"aggregates"`
}

// refused counts what a rule kept from crossing, since the start.
type refused struct {
	VNI       string  `json:"vni"` // empty: before a VNI was asked
	Direction string  `json:"direction"`
	Reason    string  `json:"reason"`
	Count     float64 `json:"count"`
}

// waiting is how many prefixes of a VNI its export limit keeps from BGP.
type waiting struct {
	VNI   string `json:"vni"`
	Count int    `json:"count"`
}

// originated is a prefix that a VNI originates toward hypervisors.
type originated struct {
	VNI     string `json:"vni"`
	Prefix  string `json:"prefix"`
	Present bool   `json:"present"`
	Offers  int    `json:"offers"`
}

// aggregate is a prefix that a VNI exports while others lie inside.
type aggregate struct {
	VNI          string `json:"vni"`
	Prefix       string `json:"prefix"`
	Exported     bool   `json:"exported"`
	Contributors int    `json:"contributors"`
}

func (s *State) redistribution() redistribution {
	r := redistribution{Refused: []refused{}, Waiting: []waiting{}, Originated: []originated{}, Aggregates: []aggregate{}}
	if s.Counters == nil {
		return r
	}
	values := map[[3]string]float64{} // by name, VNI and prefix
	all := s.Counters()
	for i := range all {
		c := &all[i]
		values[[3]string{c.Name, c.label("vni"), c.label("prefix")}] = c.Value
	}
	for i := range all {
		c := &all[i]
		vni, prefix := c.label("vni"), c.label("prefix")
		other := func(name string) int { return int(values[[3]string{name, vni, prefix}]) }
		switch c.Name {
		case "import_refused_total", "vni_import_refused_total":
			r.refuse(c, "import")
		case "vni_export_refused_total":
			r.refuse(c, "export")
		case "vni_export_waiting_prefixes":
			if c.Value > 0 {
				r.Waiting = append(r.Waiting, waiting{vni, int(c.Value)})
			}
		case "originated":
			r.Originated = append(r.Originated, originated{vni, prefix, c.Value > 0, other("originated_offers")})
		case "aggregate":
			r.Aggregates = append(r.Aggregates, aggregate{vni, prefix, c.Value > 0, other("aggregate_contributors")})
		}
	}
	slices.SortFunc(r.Refused, func(a, b refused) int {
		return cmp.Or(compareNumbers(a.VNI, b.VNI), cmp.Compare(b.Direction, a.Direction), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	slices.SortFunc(r.Originated, func(a, b originated) int {
		return cmp.Or(compareNumbers(a.VNI, b.VNI), cmp.Compare(a.Prefix, b.Prefix))
	})
	slices.SortFunc(r.Aggregates, func(a, b aggregate) int {
		return cmp.Or(compareNumbers(a.VNI, b.VNI), cmp.Compare(a.Prefix, b.Prefix))
	})
	return r
}

func (r *redistribution) refuse(c *Counter, direction string) {
	if c.Value > 0 {
		r.Refused = append(r.Refused, refused{c.label("vni"), direction, c.label("reason"), c.Value})
	}
}

// label returns the value of a label, "" if there is none of the name.
func (c *Counter) label(name string) string {
	for _, l := range c.Labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// compareNumbers compares the texts of VNIs; none comes first.
func compareNumbers(a, b string) int {
	x, _ := strconv.ParseUint(a, 10, 32)
	y, _ := strconv.ParseUint(b, 10, 32)
	return cmp.Compare(x, y)
}
