package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"mbbgp/plugin/api"
	pb "mbbgp/plugin/api/v1"
	"mbbgp/rib"
)

const explainHelp = `Say why a route is, or is not, on either side of a running bridge: which next
hops of the prefix the VNI has, who announces them and whether they go to BGP;
and which BGP paths of the prefix there are and whether the VNI imports them. A
refused one comes with the rule that refused it and the values that decided. Of a
VNI that has a table in the kernel it also says whether the route is installed
there, with which next hops, and how the underlay reaches them.

PREFIX is an exact prefix, or an address for that host's one. All of BGP waits
while its tables are searched, about a second for a million paths. The exit code
is 1 if there is nothing of the prefix on either side, nor in the configuration.`

func explainCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain --vni N PREFIX",
		Short: "Say why a route is, or is not, in MetalBond, BGP and the kernel",
		Long:  explainHelp,
		Example: `  mbbgp explain --vni 200 10.1.0.7
  mbbgp explain --vni 100 0.0.0.0/0 --api /run/mbbgp/other.sock
  mbbgp explain --vni 200 2001:db8:7::/64 -j | jq '.paths[].import'`,
		Args: cobra.ExactArgs(1),
	}
	asks := addAskFlags(c)
	asks.addJSONFlag(c)
	vnis := addVNIFlag(c, asks, "`VNI` of the route, 0 to 4294967295; required")
	c.ValidArgsFunction = asks.completePrefixes(vnis)
	c.RunE = func(c *cobra.Command, args []string) error {
		switch len(*vnis) {
		case 0:
			return usageError{errors.New("--vni is missing: name the VNI of the route")}
		case 1:
		default:
			return usageError{fmt.Errorf("--vni: %v, want one", vnis)}
		}
		prefix, err := api.ParsePrefix(args[0])
		if err != nil {
			return usageError{err}
		}
		e, err := call(c, asks, pb.BridgeClient.Explain, &pb.ExplainRequest{Vni: (*vnis)[0], Prefix: prefix.String()})
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if asks.json {
			text.Write(indented(api.JSON(e)))
		} else {
			printExplanation(&text, e)
		}
		if _, err := c.OutOrStdout().Write(text.Bytes()); err != nil {
			return err
		}
		if len(e.GetNextHops())+len(e.GetPaths()) == 0 && e.GetOriginated() == nil && e.GetAggregate() == nil {
			return errNoRoute
		}
		return nil
	}
	return c
}

func printExplanation(w io.Writer, e *pb.ExplainResponse) {
	printf(w, "vni %d, %s\n", e.GetVni(), e.GetPrefix())
	if !e.GetConfigured() {
		printf(w, "The VNI is not in the configuration, so BGP has no part in it.\n")
	}
	if e.GetPrefer() == bgpPlane {
		printf(w, "The VNI prefers BGP: what MetalBond says of a prefix stands by as long as BGP tells of it.\n")
	}
	if e.GetNotAsked() {
		printf(w, "No hypervisor reads the VNI, so neighbors with route target constraint are not asked for its routes.\n")
	}
	if o := e.GetOriginated(); o != nil {
		printf(w, "The VNI originates it toward hypervisors: %s\n", originated(o))
	}
	if a := e.GetAggregate(); a != nil {
		printf(w, "It is an aggregate of the VNI: exported %s, %s inside it\n", yes(a.GetExported()), count(int(a.GetContributors()), "prefix"))
	}
	printf(w, "\nMetalBond\n")
	if len(e.GetNextHops()) == 0 {
		printf(w, "  no next hop\n")
	}
	for _, x := range e.GetNextHops() {
		printHop(w, x)
	}
	printf(w, "\nBGP\n")
	if len(e.GetPaths()) == 0 {
		printf(w, "  no path\n")
	}
	for _, x := range e.GetPaths() {
		printPath(w, x)
	}
	if e.GetKernel() != nil {
		printKernelRoute(w, e.GetKernel())
	}
}

func originated(o *pb.Originated) string {
	switch {
	case o.GetOffers() > 0:
		return "offered by " + count(int(o.GetOffers()), "BGP path")
	case o.GetPresent():
		return "no BGP path offers it any more, in its hold-down"
	}
	return "no BGP path offers it"
}

func printHop(w io.Writer, x *pb.ExplainedNextHop) {
	hop := x.GetNextHop()
	printf(w, "  via %s\n", hop.GetTarget())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush() // to memory
	kind := hop.GetType()
	if hop.GetNatTo() != 0 {
		kind += fmt.Sprintf(", ports %d to %d", hop.GetNatFrom(), hop.GetNatTo())
	}
	printf(t, "    type\t%s\n", kind)
	if hop.GetTargetVni() != 0 {
		printf(t, "    target vni\t%d\n", hop.GetTargetVni())
	}
	for _, c := range x.GetClaims() {
		printf(t, "    said by\t%s %s, %s\n", c.GetSource(), c.GetName(), preference(int(c.GetPreference())))
	}
	printf(t, "    clients see it\t%s\n", yes(x.GetVisible()))
	printf(t, "    to BGP\t%s\n", outcome(x.GetExport()))
}

// preference is the preference of a claim with the word for it.
func preference(n int) string {
	switch rib.Preference(n) {
	case rib.Native:
		return fmt.Sprintf("native (%d)", n)
	case rib.Deferred:
		return fmt.Sprintf("native, and BGP is preferred (%d)", n)
	case rib.Redistributed:
		return fmt.Sprintf("redistributed (%d)", n)
	case rib.Relayed:
		return fmt.Sprintf("relayed (%d)", n)
	}
	return fmt.Sprintf("preference %d", n)
}

func printPath(w io.Writer, x *pb.BGPPath) {
	printf(w, "  %s %s\n", x.GetKind(), x.GetNlri())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush() // to memory
	from := "this bridge"
	if x.GetNeighbor() != "" {
		from = x.GetNeighbor()
	}
	if x.GetStale() {
		from += ", stale"
	}
	printf(t, "    from\t%s\n", from)
	printf(t, "    best\t%s\n", yes(x.GetBest()))
	printf(t, "    next hop\t%s\n", x.GetNextHop())
	if x.GetSid() != "" {
		printf(t, "    SID\t%s\n", x.GetSid())
	}
	if x.GetLabel() != 0 {
		printf(t, "    label\t%d\n", x.GetLabel())
	}
	for _, list := range []struct {
		name   string
		values []string
	}{
		{"route targets", x.GetRouteTargets()},
		{"site of origin", x.GetSiteOfOrigin()},
		{"communities", x.GetCommunities()},
		{"large communities", x.GetLargeCommunities()},
		{"d-path", x.GetDPath()},
	} {
		if len(list.values) > 0 {
			printf(t, "    %s\t%s\n", list.name, strings.Join(list.values, " "))
		}
	}
	if x.LocalPreference != nil {
		printf(t, "    local preference\t%d\n", *x.LocalPreference)
	}
	if x.Med != nil {
		printf(t, "    MED\t%d\n", *x.Med)
	}
	for _, v := range x.GetImport() {
		printf(t, "    to MetalBond\t%s\n", outcome(v))
	}
}

// outcome is a verdict in words.
func outcome(v *pb.Verdict) string {
	text := "refused: " + v.GetReason()
	if v.GetAccepted() {
		text = "accepted, via " + v.GetNextHop()
	}
	if v.GetVia() != "" {
		text += ", and on to " + v.GetVia()
	}
	if v.GetDetail() != "" {
		text += ": " + v.GetDetail()
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
