package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"mbbgp/plugin/api"
	pb "mbbgp/plugin/api/v1"
)

func showCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "show",
		Short: "Show what a running bridge knows",
		Long: `Show what a running bridge knows. It is asked through its socket, or over TCP with
a certificate, where its configuration says (api).

With -j the answer is JSON whose names stay: those of plugin/api/v1/mbbgp.proto.
Lists are arrays.`,
		Example: `  mbbgp show vnis
  mbbgp show routes --vni 200 --prefix 10.0.0.0/8
  mbbgp show peers --watch
  mbbgp show neighbors -j | jq '.[].state'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(showVNIsCommand(), showRoutesCommand(), showPeersCommand(), showKernelCommand(), showBGPCommand(),
		showPolicyCommand(), showNeighborsCommand())
	return c
}

// vniFlag is a list of VNIs on the command line.
type vniFlag []uint32

func addVNIFlag(c *cobra.Command, a *asking, usage string) *vniFlag {
	f := &vniFlag{}
	c.Flags().Var(f, "vni", usage)
	_ = c.RegisterFlagCompletionFunc("vni", a.completeVNIs)
	return f
}

// Set reads a VNI, or several with commas.
func (f *vniFlag) Set(text string) error {
	for _, one := range strings.Split(text, ",") {
		vni, err := api.ParseVNI(one)
		if err != nil {
			return err
		}
		*f = append(*f, uint32(vni))
	}
	return nil
}

// String returns the VNIs with commas.
func (f *vniFlag) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]uint32(*f)), " ", ","), "[]")
}

// Type is the word that help shows.
func (f *vniFlag) Type() string { return "vni" }

func showVNIsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "vnis",
		Short: "Show the VNIs",
		Long: `Show the VNIs that are configured, have routes, or are read by somebody. IMPORTED
are routes from BGP, EXPORTED those to BGP; READERS are the sessions that
subscribe to the VNI, BGP, the kernel and watches; PREFER is whose next hops count
of a prefix that both sides tell of.`,
		Example: `  mbbgp show vnis
  mbbgp show vnis -j | jq '.[] | {vni, prefixes}'`,
		Args: cobra.NoArgs,
	}
	w := addWatchFlags(c)
	vnis := addVNIFlag(c, w.asking, "this `VNI` only, 0 to 4294967295; may be given more than once, or as a list with commas")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return show(c, w, pb.BridgeClient.ListVNIs, &pb.ListVNIsRequest{Vnis: *vnis, Every: w.interval()}, shown[pb.ListVNIsResponse]{
			text: printVNIs,
			json: func(r *pb.ListVNIsResponse) []byte { return jsonList(r.GetVnis()) },
		})
	}
	return c
}

func printVNIs(w io.Writer, r *pb.ListVNIsResponse) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printf(t, "VNI\tNAME\tFABRIC\tPREFER\tPREFIXES\tNEXT HOPS\tIMPORTED\tEXPORTED\tREADERS\tTABLE\tGATEWAY\n")
	for _, v := range r.GetVnis() {
		fabric, table := "-", "-"
		if v.GetConfigured() {
			fabric = v.GetFamily() + "/" + v.GetEncapsulation()
		}
		if v.GetTable() != 0 {
			table = fmt.Sprint(v.GetTable())
		}
		printf(t, "%d\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", v.GetVni(), dash(v.GetName()), fabric, dash(v.GetPrefer()), v.GetPrefixes(), v.GetNextHops(),
			v.GetImported(), v.GetExported(), v.GetReaders(), table, dash(v.GetGateway()))
	}
	_ = t.Flush() // to memory
}

func showPeersCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "peers",
		Short: "Show the MetalBond sessions and the BGP neighbors",
		Long: `Show the MetalBond sessions of both kinds, with hypervisors (client) and with
servers that this bridge is a client of (server), and the BGP neighbors. ROUTES
are those that the peer announces (of BGP: that are imported), BEHIND changes
that it has not been sent.`,
		Example: `  mbbgp show peers --watch
  mbbgp show peers -j | jq '.[] | select(.established | not) | .peer'`,
		Args: cobra.NoArgs,
	}
	w := addWatchFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return show(c, w, pb.BridgeClient.ListPeers, &pb.ListPeersRequest{Every: w.interval()}, shown[pb.ListPeersResponse]{
			text: func(w io.Writer, r *pb.ListPeersResponse) { printPeers(w, r.GetPeers(), time.Now()) },
			json: func(r *pb.ListPeersResponse) []byte { return jsonList(r.GetPeers()) },
		})
	}
	return c
}

func printPeers(w io.Writer, list []*pb.Peer, now time.Time) {
	if len(list) == 0 {
		printf(w, "no peers\n")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printf(t, "PROTOCOL\tROLE\tPEER\tSTATE\tFOR\tROUTES\tHELD\tBEHIND\tREFUSED\tVNIS\tREMARK\n")
	for _, p := range list {
		var vnis []string
		for _, vni := range p.GetVnis() {
			vnis = append(vnis, fmt.Sprint(vni))
		}
		remark := ""
		if !p.GetEstablished() {
			remark = p.GetLastError()
		}
		printf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\n", p.GetProtocol(), p.GetRole(), p.GetPeer(), p.GetState(), age(p.GetSince(), now),
			p.GetRoutes(), p.GetHeld(), p.GetBehind(), p.GetRefused(), dash(strings.Join(vnis, " ")), dash(remark))
	}
	_ = t.Flush() // to memory
}

// age is how long something is so.
func age(since *timestamppb.Timestamp, now time.Time) string {
	if since == nil {
		return "-"
	}
	return now.Sub(since.AsTime()).Truncate(time.Second).String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
