package api

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// problem is something that an operator should know before anything else, beside
// the conditions of being ready.
type problem struct {
	Down   bool   `json:"down"` // something does not work; otherwise it may be on its way there
	Text   string `json:"text"`
	Detail string `json:"detail"`
}

// problemList is the first problems, and how many there are.
type problemList struct {
	Total int       `json:"total"`
	Rows  []problem `json:"rows"`
}

// maxProblems is how many problems the page gets.
const maxProblems = 50

func listProblems(all []problem) problemList {
	slices.SortStableFunc(all, func(a, b problem) int {
		rank := map[bool]int{true: 0, false: 1}
		return rank[a.Down] - rank[b.Down]
	})
	return problemList{Total: len(all), Rows: append([]problem{}, all[:min(len(all), maxProblems)]...)}
}

// prefixProblems are missing default routes, and whatever else VNIs originate.
func prefixProblems(r redistribution) (all []problem) {
	for _, o := range r.Originated {
		what := "route " + o.Prefix
		if strings.HasSuffix(o.Prefix, "/0") {
			what = "default route " + o.Prefix
		}
		switch {
		case !o.Present:
			all = append(all, problem{Down: true, Text: fmt.Sprintf("VNI %s has no %s", o.VNI, what), Detail: "no BGP route offers it, so hypervisors have none"})
		case o.Offers == 0:
			all = append(all, problem{Text: fmt.Sprintf("VNI %s is about to lose its %s", o.VNI, what), Detail: "no BGP route offers it any more; it stays for its hold-down"})
		}
	}
	for _, w := range r.Waiting {
		all = append(all, problem{Text: fmt.Sprintf("VNI %s: %s kept from BGP", w.VNI, counted(w.Count, "prefix")), Detail: "its export has no room for more"})
	}
	return all
}

func neighborProblems(n *Neighbor) (all []problem) {
	name := "BGP neighbor " + n.Address.String()
	if n.Description != "" {
		name += " (" + n.Description + ")"
	}
	if !n.Established() {
		all = append(all, problem{Down: true, Text: name + " is down", Detail: details(n.State, n.LastError)})
	}
	if n.Refused > 0 {
		all = append(all, problem{Text: fmt.Sprintf("%s: %s refused", name, counted(n.Refused, "route")), Detail: fmt.Sprintf("max-prefixes is %d", n.MaxRoutes)})
	}
	for _, f := range n.Stale {
		kind := "stale"
		if f.LongLived {
			kind = "long-lived stale"
		}
		all = append(all, problem{Text: fmt.Sprintf("%s: its routes of %s are %s", name, f.Family, kind), Detail: "they are kept until it repeats them or their time is over"})
	}
	return all
}

// sessionProblems are of servers: a client comes and goes as it likes.
func sessionProblems(m *Session) (all []problem) {
	if m.Server && !m.Established {
		all = append(all, problem{Down: true, Text: fmt.Sprintf("MetalBond server %s is down", m.Name), Detail: details(m.State, m.LastError)})
	}
	if m.Held > 0 {
		all = append(all, problem{Text: fmt.Sprintf("%s of %s held", counted(m.Held, "route"), m.Name), Detail: "its session was lost, and it has not repeated what it said"})
	}
	return all
}

func kernelProblems(k *Kernel) (all []problem) {
	pending, last := 0, ""
	for _, t := range k.Tables {
		pending += t.Pending
		last = cmp.Or(last, t.LastError)
	}
	if !k.Synced {
		text := "The kernel is out of step with the tables"
		if pending > 0 {
			text += ": " + counted(pending, "prefix")
		}
		all = append(all, problem{Down: true, Text: text, Detail: last})
	}
	for _, d := range k.Devices {
		if !d.OK {
			all = append(all, problem{Down: true, Text: fmt.Sprintf("%s %s is not as it should be", d.Kind, d.Name), Detail: d.Problem})
		}
	}
	for _, t := range k.Tables {
		if t.Conflicts > 0 {
			all = append(all, problem{Text: fmt.Sprintf("Table %d: %s with a route of somebody else in our place", t.Table, counted(t.Conflicts, "prefix")), Detail: fmt.Sprintf("VNI %d", t.VNI)})
		}
		if t.Contested > 0 {
			all = append(all, problem{Text: fmt.Sprintf("VNI %d: hypervisors claim the same ports of %s", t.VNI, counted(t.Contested, "NAT address"))})
		}
	}
	unreachable := 0
	for _, h := range k.NextHops {
		if h.Target.IsValid() && !h.Reachable {
			unreachable++
		}
	}
	if unreachable > 0 {
		all = append(all, problem{Text: fmt.Sprintf("The underlay has no way to %d of %s", unreachable, counted(len(k.NextHops), "next hop"))})
	}
	return all
}

// details joins those that say something.
func details(list ...string) string {
	return strings.Join(slices.DeleteFunc(list, func(s string) bool { return s == "" }), ": ")
}

// counted returns a number with its noun.
func counted[N int | uint64](n N, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "x") || strings.HasSuffix(noun, "s"):
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
