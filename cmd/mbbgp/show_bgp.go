package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	pb "mbbgp/plugin/api/v1"
)

func showBGPCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bgp",
		Short: "Show the paths in BGP",
		Long: `Show the paths that BGP has, the best one of each route with a "*", and with --vni
those of a VNI: that it exports, and that its import is asked about, with what
becomes of them. A neighbor "-" is this bridge itself. 'mbbgp explain' says all
there is of a path, as -j does. Lists of up to 10000 lines are sorted.

BGP waits while its tables are copied, about a second for a million paths. The
exit code is 1 if there is no path of --prefix.`,
		Example: `  mbbgp show bgp --vni 200
  mbbgp show bgp --prefix 10.0.0.0/8
  mbbgp show bgp -j | jq '.[] | select(.stale) | .nlri'`,
		Args: cobra.NoArgs,
	}
	asks := addAskFlags(c)
	asks.addJSONFlag(c)
	vnis := addVNIFlag(c, asks, "paths of this `VNI` only, 1 to 4294967295")
	prefix := addPrefixFlag(c, asks, vnis)
	c.RunE = func(c *cobra.Command, _ []string) error {
		question := &pb.ListPathsRequest{Prefix: prefix.String()}
		switch {
		case len(*vnis) > 1 || len(*vnis) == 1 && (*vnis)[0] == 0:
			return usageError{errors.New("--vni: want one, 1 to 4294967295")}
		case len(*vnis) == 1:
			question.Vni = (*vnis)[0]
		}
		return listPaths(c, asks, question)
	}
	return c
}

func listPaths(c *cobra.Command, a *asking, question *pb.ListPathsRequest) error {
	heads := []string{"", "KIND", "ROUTE", "NEIGHBOR", "NEXT HOP", "ROUTE TARGETS"}
	if question.GetVni() != 0 {
		heads = append(heads, "TO METALBOND")
	}
	out := newRows(c.OutOrStdout(), a.json, heads...)
	return listRows(c, a, pb.BridgeClient.ListPaths, question, question.GetPrefix() != "", out, func(answer *pb.ListPathsResponse) {
		for _, p := range answer.GetPaths() {
			values := []string{pathMark(p), p.GetKind(), p.GetNlri(), dash(p.GetNeighbor()), dash(p.GetNextHop()), dash(strings.Join(p.GetRouteTargets(), " "))}
			if question.GetVni() != 0 {
				values = append(values, importText(p))
			}
			out.add(p, rowKey{prefix: prefixOf(p), route: p.GetNlri()}, values...)
		}
	})
}

// pathMark says of a path that it is the best, and that it is stale.
func pathMark(p *pb.BGPPath) string {
	mark := star(p.GetBest())
	if p.GetStale() {
		mark += "S"
	}
	return mark
}

// importText is what becomes of a path, in a word.
func importText(p *pb.BGPPath) string {
	var all []string
	for _, v := range p.GetImport() {
		if v.GetAccepted() {
			all = append(all, "via "+v.GetNextHop())
		} else {
			all = append(all, v.GetReason())
		}
	}
	return dash(strings.Join(all, ", "))
}
