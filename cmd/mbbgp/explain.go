package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"mbbgp/plugin/api"
	"mbbgp/rib"
)

const explainHelp = `Say why a route is, or is not, on either side of a running bridge: which next
hops of the prefix the VNI has, who announces them and whether they go to BGP;
and which BGP paths of the prefix there are and whether the VNI imports them. A
refused one comes with the rule that refused it and the values that decided. Of a
VNI that has a table in the kernel it also says whether the route is installed
there, with which next hops, and how the underlay reaches them.

PREFIX is an exact prefix, or an address for that host's one. All of BGP waits
while its tables are searched, about a second for a million paths.`

func explainCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain --vni N PREFIX",
		Short: "Say why a route is, or is not, in MetalBond, BGP and the kernel",
		Long:  explainHelp,
		Example: `  mbbgp explain --vni 200 10.1.0.7
  mbbgp explain --vni 100 0.0.0.0/0 --http 192.0.2.1:4712
  mbbgp explain --vni 200 2001:db8:7::/64 -j | jq '.paths[].import'`,
		Args: cobra.ExactArgs(1),
	}
	vni := c.Flags().String("vni", "", "`VNI` of the route, 0 to 4294967295; required")
	asks := addAskFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if *vni == "" {
			return usageError{errors.New("--vni is missing: name the VNI of the route")}
		}
		number, err := api.ParseVNI(*vni)
		if err != nil {
			return usageError{fmt.Errorf("--vni: %w", err)}
		}
		prefix, err := api.ParsePrefix(args[0])
		if err != nil {
			return usageError{err}
		}
		query := url.Values{"vni": {strconv.FormatUint(uint64(number), 10)}, "prefix": {prefix.String()}}
		var e api.Explanation
		return asks.answer(c.Context(), c.OutOrStdout(), api.ExplainPath, query, &e, func(w io.Writer) { printExplanation(w, &e) })
	}
	return c
}

func printExplanation(w io.Writer, e *api.Explanation) {
	printf(w, "vni %d, %v\n", e.VNI, e.Prefix)
	if !e.Configured {
		printf(w, "The VNI is not in the configuration, so BGP has no part in it.\n")
	}
	if e.NotAsked {
		printf(w, "No hypervisor reads the VNI, so neighbors with route target constraint are not asked for its routes.\n")
	}
	if o := e.Originated; o != nil {
		printf(w, "The VNI originates it toward hypervisors: %s\n", originated(o))
	}
	if a := e.Aggregate; a != nil {
		printf(w, "It is an aggregate of the VNI: exported %s, %s inside it\n", yes(a.Exported), count(a.Contributors, "prefix"))
	}
	printf(w, "\nMetalBond\n")
	if len(e.NextHops) == 0 {
		printf(w, "  no next hop\n")
	}
	for i := range e.NextHops {
		printHop(w, &e.NextHops[i])
	}
	printf(w, "\nBGP\n")
	if len(e.Paths) == 0 {
		printf(w, "  no path\n")
	}
	for i := range e.Paths {
		printPath(w, &e.Paths[i])
	}
	if e.Kernel != nil {
		printKernelRoute(w, e.Kernel)
	}
}

func originated(o *api.Originated) string {
	switch {
	case o.Offers > 0:
		return "offered by " + count(o.Offers, "BGP path")
	case o.Present:
		return "no BGP path offers it any more, in its hold-down"
	}
	return "no BGP path offers it"
}

func printHop(w io.Writer, x *api.ExplainedHop) {
	printf(w, "  via %s\n", x.Target)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush() // to memory
	kind := x.Type
	if x.NATTo != 0 {
		kind += fmt.Sprintf(", ports %d to %d", x.NATFrom, x.NATTo)
	}
	printf(t, "    type\t%s\n", kind)
	if x.TargetVNI != 0 {
		printf(t, "    target vni\t%d\n", x.TargetVNI)
	}
	for _, c := range x.Claims {
		printf(t, "    said by\t%s %s, %s\n", c.Source, c.Name, preference(c.Preference))
	}
	printf(t, "    clients see it\t%s\n", yes(x.Visible))
	printf(t, "    to BGP\t%s\n", outcome(&x.Export))
}

// preference is the preference of a claim with the word for it.
func preference(n int) string {
	switch rib.Preference(n) {
	case rib.Native:
		return fmt.Sprintf("native (%d)", n)
	case rib.Redistributed:
		return fmt.Sprintf("redistributed (%d)", n)
	case rib.Relayed:
		return fmt.Sprintf("relayed (%d)", n)
	}
	return fmt.Sprintf("preference %d", n)
}

func printPath(w io.Writer, x *api.ExplainedBGP) {
	printf(w, "  %s %s\n", x.Kind, x.NLRI)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush() // to memory
	from := "this bridge"
	if x.Neighbor.IsValid() {
		from = x.Neighbor.String()
	}
	if x.Stale {
		from += ", stale"
	}
	printf(t, "    from\t%s\n", from)
	printf(t, "    best\t%s\n", yes(x.Best))
	printf(t, "    next hop\t%s\n", x.NextHop)
	if x.SID.IsValid() {
		printf(t, "    SID\t%s\n", x.SID)
	}
	if x.Label != 0 {
		printf(t, "    label\t%d\n", x.Label)
	}
	for _, list := range []struct {
		name   string
		values []string
	}{
		{"route targets", x.RouteTargets},
		{"site of origin", x.SiteOfOrigin},
		{"communities", x.Communities},
		{"large communities", x.LargeCommunities},
		{"d-path", x.DPath},
	} {
		if len(list.values) > 0 {
			printf(t, "    %s\t%s\n", list.name, strings.Join(list.values, " "))
		}
	}
	if x.LocalPreference != nil {
		printf(t, "    local preference\t%d\n", *x.LocalPreference)
	}
	if x.MED != nil {
		printf(t, "    MED\t%d\n", *x.MED)
	}
	for i := range x.Import {
		printf(t, "    to MetalBond\t%s\n", outcome(&x.Import[i]))
	}
}

// outcome is a verdict in words.
func outcome(v *api.Verdict) string {
	text := "refused: " + v.Reason
	if v.Accepted {
		text = "accepted, via " + v.NextHop
	}
	if v.Via != "" {
		text += ", and on to " + v.Via
	}
	if v.Detail != "" {
		text += ": " + v.Detail
	}
	return text
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// printf writes to memory.
func printf(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}
