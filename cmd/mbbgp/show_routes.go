package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mbbgp/plugin/api"
	pb "mbbgp/plugin/api/v1"
)

func showRoutesCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "routes",
		Short: "Show the MetalBond table",
		Long: `Show every next hop of the MetalBond table with everybody who announces it and
the preference in brackets. Clients see those of the highest preference, which
have a "*". Lists of up to 10000 lines are sorted.

With --watch it is told first what clients see, a line for each prefix, and then
each prefix that changes. A lost connection is made again, and only what has
changed meanwhile is told then; if that is not known any more, all is told again.

The exit code is 1 if there is no route of --prefix.`,
		Example: `  mbbgp show routes --vni 200
  mbbgp show routes --prefix 10.0.0.0/8
  mbbgp show routes --vni 100 --watch
  mbbgp show routes -j | jq -r '.[] | select(.visible) | .prefix'`,
		Args: cobra.NoArgs,
	}
	asks := addAskFlags(c)
	asks.addJSONFlag(c)
	vnis := addVNIFlag(c, asks, "routes of this `VNI` only, 0 to 4294967295; may be given more than once, or as a list with commas")
	prefix := addPrefixFlag(c, asks, vnis)
	watch := c.Flags().BoolP("watch", "w", false, "tell what changes, until the command is ended; with -j in a line each time")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *watch {
			return watchRoutes(c, asks, *vnis, prefix.Prefix)
		}
		return listRoutes(c, asks, &pb.ListRoutesRequest{Vnis: *vnis, Prefix: prefix.String()})
	}
	return c
}

// prefixFlag is a prefix on the command line.
type prefixFlag struct{ netip.Prefix }

func addPrefixFlag(c *cobra.Command, a *asking, vnis *vniFlag) *prefixFlag {
	f := &prefixFlag{}
	c.Flags().Var(f, "prefix", "this `PREFIX` and those inside it only")
	_ = c.RegisterFlagCompletionFunc("prefix", a.completePrefixes(vnis))
	return f
}

// Set reads a prefix, or an address for that host's.
func (f *prefixFlag) Set(text string) (err error) {
	f.Prefix, err = api.ParsePrefix(text)
	return err
}

// String returns the prefix, "" for none.
func (f *prefixFlag) String() string {
	if !f.IsValid() {
		return ""
	}
	return f.Prefix.String()
}

// Type is the word that help shows.
func (f *prefixFlag) Type() string { return "prefix" }

func listRoutes(c *cobra.Command, a *asking, question *pb.ListRoutesRequest) error {
	out := newRows(c.OutOrStdout(), a.json, "", "VNI", "PREFIX", "NEXT HOP", "ANNOUNCED BY")
	return listRows(c, a, pb.BridgeClient.ListRoutes, question, question.GetPrefix() != "", out, func(answer *pb.ListRoutesResponse) {
		for _, r := range answer.GetRoutes() {
			out.add(r, rowKey{vni: r.GetVni(), prefix: prefixOf(r)},
				star(r.GetVisible()), fmt.Sprint(r.GetVni()), r.GetPrefix(), hopText(r.GetNextHop()), claimsText(r.GetClaims()))
		}
	})
}

func star(on bool) string {
	if on {
		return "*"
	}
	return ""
}

// hopText is a next hop as announcements write it.
func hopText(h *pb.NextHop) string {
	text := h.GetTarget()
	switch h.GetType() {
	case "standard":
	case "nat":
		text += fmt.Sprintf("#nat#%d#%d", h.GetNatFrom(), h.GetNatTo())
	case "loadbalancer-target":
		text += "#lb"
	default:
		text += "#" + h.GetType()
	}
	if h.GetTargetVni() != 0 {
		text += fmt.Sprintf(" (vni %d)", h.GetTargetVni())
	}
	return text
}

func claimsText(list []*pb.Claim) string {
	var all []string
	for _, c := range list {
		all = append(all, fmt.Sprintf("%s %s (%d)", c.GetSource(), c.GetName(), c.GetPreference()))
	}
	return strings.Join(all, ", ")
}

// watchRoutes tells changes until the command is ended.
func watchRoutes(c *cobra.Command, a *asking, vnis []uint32, within netip.Prefix) error {
	client, conn, err := a.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	question := &pb.WatchRoutesRequest{Vnis: vnis}
	for {
		err := watchOnce(c, client, question, func(answer *pb.WatchRoutesResponse) error {
			_, err := c.OutOrStdout().Write(changesText(answer, a.json, within))
			return err
		})
		switch {
		case c.Context().Err() != nil:
			return nil
		case status.Code(err) != codes.Unavailable || question.GetResume() == "":
			return a.failed(err)
		}
		_, _ = fmt.Fprintf(c.ErrOrStderr(), "mbbgp: %v; trying again\n", a.failed(err))
		select {
		case <-c.Context().Done():
		case <-time.After(again):
		}
	}
}

// watchOnce tells changes until the connection is lost, and leaves in question
// where to go on.
func watchOnce(c *cobra.Command, client pb.BridgeClient, question *pb.WatchRoutesRequest, tell func(*pb.WatchRoutesResponse) error) error {
	stream, err := client.WatchRoutes(c.Context(), question)
	if err != nil {
		return err
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := tell(answer); err != nil {
			return err
		}
		question.Resume = answer.GetCookie()
	}
}

// changesText is an answer of a watch, of prefixes inside a prefix only.
func changesText(answer *pb.WatchRoutesResponse, asJSON bool, within netip.Prefix) []byte {
	var text bytes.Buffer
	if asJSON {
		chosen := &pb.WatchRoutesResponse{Cookie: answer.GetCookie(), Reset_: answer.GetReset_(), Synced: answer.GetSynced()}
		for _, change := range answer.GetChanges() {
			if inside(change.GetPrefix(), within) {
				chosen.Changes = append(chosen.Changes, change)
			}
		}
		text.Write(api.JSON(chosen))
		text.WriteByte('\n')
		return text.Bytes()
	}
	if answer.GetReset_() {
		printf(&text, "all routes\n")
	}
	for _, change := range answer.GetChanges() {
		if !inside(change.GetPrefix(), within) {
			continue
		}
		var hops []string
		for _, p := range change.GetNextHops() {
			hops = append(hops, hopText(p.GetNextHop()))
		}
		if len(hops) == 0 {
			printf(&text, "- vni %d  %s\n", change.GetVni(), change.GetPrefix())
			continue
		}
		printf(&text, "+ vni %d  %s  via %s\n", change.GetVni(), change.GetPrefix(), strings.Join(hops, ", "))
	}
	return text.Bytes()
}

// inside reports whether the text of a prefix is the outer one or inside it;
// without one it is.
func inside(prefix string, outer netip.Prefix) bool {
	if !outer.IsValid() {
		return true
	}
	p, err := netip.ParsePrefix(prefix)
	return err == nil && outer.Contains(p.Addr()) && p.Bits() >= outer.Bits()
}
