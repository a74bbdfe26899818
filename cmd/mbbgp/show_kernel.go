package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mbbgp/plugin/api"
	pb "mbbgp/plugin/api/v1"
)

func showKernelCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "kernel",
		Short: "Show what the VNIs have in the kernel",
		Long: `Show the routing tables of the VNIs in the kernel, the next hops that their routes
use with the way of the underlay to each, and the devices, addresses, rules and
segments that are not as they should be.

UNCLAIMED are routes that an earlier run left and nobody has announced yet,
PENDING prefixes whose change failed and is tried again, CONFLICTS prefixes where
a route of somebody else has our metric and stays. -j shows all devices.`,
		Example: `  mbbgp show kernel
  mbbgp show kernel --vni 200
  mbbgp show kernel -j | jq '.devices[] | select(.ok | not)'`,
		Args: cobra.NoArgs,
	}
	w := addWatchFlags(c)
	vnis := addVNIFlag(c, w.asking, "this `VNI` only, 0 to 4294967295, and what all have in common; may be given more than once, or as a list with commas")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return show(c, w, pb.BridgeClient.GetKernel, &pb.GetKernelRequest{Vnis: *vnis, Every: w.interval()}, shown[pb.GetKernelResponse]{
			text: func(w io.Writer, k *pb.GetKernelResponse) { printKernel(w, k, time.Now()) },
			json: func(k *pb.GetKernelResponse) []byte { return api.JSON(k) },
		})
	}
	return c
}

func printKernel(w io.Writer, k *pb.GetKernelResponse, now time.Time) {
	printf(w, "%s\n\n", kernelSummary(k, now))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printf(t, "VNI\tTABLE\tVRF\tROUTES\tUNCLAIMED\tPENDING\tCONFLICTS\tNAT RANGES\tLAST ERROR\n")
	for _, x := range k.GetTables() {
		printf(t, "%d\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", x.GetVni(), x.GetTable(), dash(x.GetVrf()), x.GetRoutes(), x.GetUnclaimed(), x.GetPending(), x.GetConflicts(), x.GetSteeredRanges(), dash(x.GetLastError()))
	}
	if len(k.GetNextHops()) > 0 {
		printf(t, "\nNEXT HOP\tKIND\tROUTES\tUNDERLAY\n")
		for _, x := range k.GetNextHops() {
			printf(t, "%s\t%s\t%d\t%s\n", hopTarget(x), x.GetKind(), x.GetRoutes(), underlay(x))
		}
	}
	bad := 0
	for _, x := range k.GetDevices() {
		if x.GetOk() {
			continue
		}
		if bad++; bad == 1 {
			printf(t, "\nDEVICE\tKIND\tVNI\tPROBLEM\n")
		}
		of := "-"
		if x.GetVni() != 0 {
			of = fmt.Sprint(x.GetVni())
		}
		printf(t, "%s\t%s\t%s\t%s\n", x.GetName(), x.GetKind(), of, x.GetProblem())
	}
	_ = t.Flush() // to memory
	if bad == 0 && len(k.GetDevices()) > 0 {
		printf(w, "\ndevices, addresses, rules and segments: %d, all as they should be\n", len(k.GetDevices()))
	}
}

// kernelSummary is the state of the whole in a line.
func kernelSummary(k *pb.GetKernelResponse, now time.Time) string {
	parts := []string{"not in step with the tables"}
	if k.GetSynced() {
		parts[0] = "in step with the tables for " + age(k.GetSince(), now)
	}
	if !k.GetNextHopObjects() {
		parts = append(parts, "no next hop objects")
	}
	if !k.GetSwept() {
		parts = append(parts, "routes of an earlier run stay until they are claimed or settle is over")
	}
	if n := k.GetCounters().GetRestored(); n > 0 {
		parts = append(parts, fmt.Sprintf("%d restored", n))
	}
	return strings.Join(parts, "; ")
}

// hopTarget is where a next hop leads to, with what it needs beside an address.
func hopTarget(x *pb.KernelNextHop) string {
	if x.GetTarget() == "" {
		return "-"
	}
	text := x.GetTarget()
	if x.GetVni() != 0 {
		text += fmt.Sprintf(" vni %d", x.GetVni())
	}
	if x.GetLabel() != 0 {
		text += fmt.Sprintf(" label %d", x.GetLabel())
	}
	if x.GetRouterMac() != "" {
		text += " mac " + x.GetRouterMac()
	}
	return text
}

// underlay is the way to a next hop.
func underlay(x *pb.KernelNextHop) string {
	switch {
	case x.GetTarget() == "":
		return "-"
	case !x.GetReachable():
		return "unreachable"
	case x.GetGateway() != "":
		return fmt.Sprintf("dev %s via %s", x.GetDevice(), x.GetGateway())
	}
	return "dev " + x.GetDevice()
}

// printKernelRoute is the kernel's part of an explanation.
func printKernelRoute(w io.Writer, r *pb.KernelRoute) {
	state := "installed"
	switch {
	case !r.GetInstalled():
		state = "not installed: " + r.GetProblem()
	case r.GetProblem() != "":
		state = "installed as it was before: " + r.GetProblem()
	}
	printf(w, "\nKernel\n  table %d, %s\n", r.GetTable(), state)
	for _, x := range r.GetNextHops() {
		printf(w, "  via %s\n", hopTarget(x))
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		printf(t, "    kind\t%s\n", x.GetKind())
		if x.GetId() != 0 {
			printf(t, "    next hop object\t%d\n", x.GetId())
		}
		printf(t, "    underlay\t%s\n", underlay(x))
		_ = t.Flush() // to memory
	}
}
