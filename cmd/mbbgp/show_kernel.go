package main

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mbbgp/plugin/api"
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
	vni := c.Flags().String("vni", "", "this `VNI` only, 0 to 4294967295, and what all have in common")
	asks := addAskFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		query := url.Values{}
		if c.Flags().Changed("vni") {
			if _, err := api.ParseVNI(*vni); err != nil {
				return usageError{fmt.Errorf("--vni: %w", err)}
			}
			query.Set("vni", *vni)
		}
		var k api.Kernel
		return asks.answer(c.Context(), c.OutOrStdout(), api.KernelPath, query, &k, func(w io.Writer) { printKernel(w, &k, time.Now()) })
	}
	return c
}

func printKernel(w io.Writer, k *api.Kernel, now time.Time) {
	printf(w, "%s\n\n", kernelSummary(k, now))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printf(t, "VNI\tTABLE\tVRF\tROUTES\tUNCLAIMED\tPENDING\tCONFLICTS\tNAT RANGES\tLAST ERROR\n")
	for _, x := range k.Tables {
		printf(t, "%d\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", x.VNI, x.Table, dash(x.VRF), x.Routes, x.Unclaimed, x.Pending, x.Conflicts, x.Steered, dash(x.LastError))
	}
	if len(k.NextHops) > 0 {
		printf(t, "\nNEXT HOP\tKIND\tROUTES\tUNDERLAY\n")
		for i := range k.NextHops {
			x := &k.NextHops[i]
			printf(t, "%s\t%s\t%d\t%s\n", hopTarget(x), x.Kind, x.Routes, underlay(x))
		}
	}
	bad := 0
	for _, x := range k.Devices {
		if x.OK {
			continue
		}
		if bad++; bad == 1 {
			printf(t, "\nDEVICE\tKIND\tVNI\tPROBLEM\n")
		}
		of := "-"
		if x.VNI != 0 {
			of = fmt.Sprint(x.VNI)
		}
		printf(t, "%s\t%s\t%s\t%s\n", x.Name, x.Kind, of, x.Problem)
	}
	_ = t.Flush() // to memory
	if bad == 0 && len(k.Devices) > 0 {
		printf(w, "\ndevices, addresses, rules and segments: %d, all as they should be\n", len(k.Devices))
	}
}

// kernelSummary is the state of the whole in a line.
func kernelSummary(k *api.Kernel, now time.Time) string {
	parts := []string{"not in step with the tables"}
	if k.Synced {
		parts[0] = "in step with the tables for " + now.Sub(k.Since).Truncate(time.Second).String()
	}
	if !k.NextHopObjects {
		parts = append(parts, "no next hop objects")
	}
	if !k.Swept {
		parts = append(parts, "routes of an earlier run stay until they are claimed or settle is over")
	}
	if n := k.Counters.Restored; n > 0 {
		parts = append(parts, fmt.Sprintf("%d restored", n))
	}
	return strings.Join(parts, "; ")
}

// hopTarget is where a next hop leads to, with what it needs beside an address.
func hopTarget(x *api.KernelNextHop) string {
	if !x.Target.IsValid() {
		return "-"
	}
	text := x.Target.String()
	if x.VNI != 0 {
		text += fmt.Sprintf(" vni %d", x.VNI)
	}
	if x.Label != 0 {
		text += fmt.Sprintf(" label %d", x.Label)
	}
	if x.RouterMAC != "" {
		text += " mac " + x.RouterMAC
	}
	return text
}

// underlay is the way to a next hop.
func underlay(x *api.KernelNextHop) string {
	switch {
	case !x.Target.IsValid():
		return "-"
	case !x.Reachable:
		return "unreachable"
	case x.Gateway.IsValid():
		return fmt.Sprintf("dev %s via %v", x.Device, x.Gateway)
	}
	return "dev " + x.Device
}

// printKernelRoute is the kernel's part of an explanation.
func printKernelRoute(w io.Writer, r *api.KernelRoute) {
	state := "installed"
	switch {
	case !r.Installed:
		state = "not installed: " + r.Problem
	case r.Problem != "":
		state = "installed as it was before: " + r.Problem
	}
	printf(w, "\nKernel\n  table %d, %s\n", r.Table, state)
	for i := range r.NextHops {
		x := &r.NextHops[i]
		printf(w, "  via %s\n", hopTarget(x))
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		printf(t, "    kind\t%s\n", x.Kind)
		if x.ID != 0 {
			printf(t, "    next hop object\t%d\n", x.ID)
		}
		printf(t, "    underlay\t%s\n", underlay(x))
		_ = t.Flush() // to memory
	}
}
