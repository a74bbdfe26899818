package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	pb "mbbgp/plugin/api/v1"
)

func showPolicyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Show the rules of all VNIs and what they matched",
		Long: `Show the rules of all VNIs, in the order in which they are asked, with how many
routes each matched and refused since the start. What changes is judged again,
so one route may count more than once.`,
		Example: `  mbbgp show policy
  mbbgp show policy -j | jq '.[] | select(.refused > 0)'`,
		Args: cobra.NoArgs,
	}
	w := addWatchFlags(c)
	vnis := addVNIFlag(c, w.asking, "the rules of this `VNI` only, 0 to 4294967295; may be given more than once, or as a list with commas")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return show(c, w, pb.BridgeClient.ListPolicy, &pb.ListPolicyRequest{Vnis: *vnis, Every: w.interval()}, shown[pb.ListPolicyResponse]{
			text: func(w io.Writer, r *pb.ListPolicyResponse) { printPolicy(w, r.GetRules()) },
			json: func(r *pb.ListPolicyResponse) []byte { return jsonList(r.GetRules()) },
		})
	}
	return c
}

func printPolicy(w io.Writer, rules []*pb.PolicyRule) {
	if len(rules) == 0 {
		printf(w, "no VNI has rules\n")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printf(t, "VNI\tDIRECTION\tRULE\tMATCHED\tREFUSED\tTHEN\tWHEN\tSET\n")
	for _, r := range rules {
		printf(t, "%d\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", r.GetVni(), r.GetDirection(), r.GetName(), r.GetMatched(), r.GetRefused(), r.GetThen(), r.GetWhen(), dash(r.GetSet()))
	}
	_ = t.Flush() // to memory
}

func showNeighborsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "neighbors",
		Short: "Show the BGP neighbors",
		Long: `Show the BGP neighbors with the families that both ends speak. A family with a
"+" behind it has had its End-of-RIB: the neighbor has said all that it has.`,
		Example: `  mbbgp show neighbors
  mbbgp show neighbors -j | jq '.[] | {address, state, lastError}'`,
		Args: cobra.NoArgs,
	}
	w := addWatchFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return show(c, w, pb.BridgeClient.ListNeighbors, &pb.ListNeighborsRequest{Every: w.interval()}, shown[pb.ListNeighborsResponse]{
			text: func(w io.Writer, r *pb.ListNeighborsResponse) { printNeighbors(w, r.GetNeighbors(), time.Now()) },
			json: func(r *pb.ListNeighborsResponse) []byte { return jsonList(r.GetNeighbors()) },
		})
	}
	return c
}

func printNeighbors(w io.Writer, list []*pb.Neighbor, now time.Time) {
	if len(list) == 0 {
		printf(w, "no BGP neighbors\n")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printf(t, "NEIGHBOR\tAS\tSTATE\tFOR\tIMPORTED\tFAMILIES\tREMARK\n")
	for _, n := range list {
		imported := fmt.Sprint(n.GetRoutes())
		if n.GetMaxRoutes() > 0 {
			imported += fmt.Sprintf(" of %d", n.GetMaxRoutes())
		}
		printf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", n.GetAddress(), n.GetAsn(), n.GetState(), age(n.GetSince(), now), imported, dash(familiesOf(n)), dash(remark(n)))
	}
	_ = t.Flush() // to memory
}

func familiesOf(n *pb.Neighbor) string {
	var all []string
	for _, f := range n.GetFamilies() {
		name := f.GetFamily()
		if f.GetEndOfRib() {
			name += "+"
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

// remark says what else is worth knowing of a neighbor.
func remark(n *pb.Neighbor) string {
	var all []string
	if n.GetDescription() != "" {
		all = append(all, n.GetDescription())
	}
	for _, f := range n.GetStale() {
		word := "stale"
		if f.GetLongLived() {
			word = "long-lived stale"
		}
		all = append(all, f.GetFamily()+" "+word)
	}
	if n.GetRefused() > 0 {
		all = append(all, fmt.Sprintf("%d refused by max-prefixes", n.GetRefused()))
	}
	if n.GetSince() == nil && n.GetLastError() != "" {
		all = append(all, n.GetLastError())
	}
	return strings.Join(all, "; ")
}
