package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"mbbgp/plugin/api"
	pb "mbbgp/plugin/api/v1"
	"mbbgp/plugin/metalbond"
)

func announceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "announce ROUTE...",
		Short: "Announce routes through a running bridge",
		Long: `Put routes into the MetalBond table of a running bridge, all of them or none. They
stay until 'mbbgp withdraw' takes them back or the bridge ends, and with --keep
they are there again after its next start. Announced again, a route gets the
preference and is kept or not as it is said then.

A route is written in either program's way:
  VNI#PREFIX#NEXTHOP[#STD|LB|NAT[#FROM#TO]]     metalbond
  VNI#PREFIX@NEXTHOP[#std|lb|nat[#FROM#TO]]     rustbond

The preference says which next hops of a prefix and type clients see: those with
the highest one. What hypervisors announce has 200, what comes from BGP 52 to
199, what other gateways announce 50.`,
		Example: `  mbbgp announce 200#10.1.0.7/32#2001:db8:1::7
  mbbgp announce --preference 40 --keep 100#0.0.0.0/0#2001:db8:f::100`,
		Args: cobra.MinimumNArgs(1),
	}
	asks := addAskFlags(c)
	preference := c.Flags().Uint8("preference", 0, "1 to 255, the higher the better (default 200, or 50 through a gateway)")
	keep := c.Flags().Bool("keep", false, "over restarts of the bridge, too")
	c.ValidArgsFunction = cobra.NoFileCompletions
	c.RunE = func(c *cobra.Command, args []string) error {
		if c.Flags().Changed("preference") && *preference == 0 {
			return usageError{errors.New("--preference: 0 is out of range (1 to 255)")}
		}
		question := &pb.AnnounceRequest{Keep: *keep}
		for _, text := range args {
			route, err := parseRoute(text)
			if err != nil {
				return usageError{err}
			}
			route.Preference = uint32(*preference)
			question.Routes = append(question.Routes, route)
		}
		_, err := call(c, asks, pb.BridgeClient.Announce, question)
		return err
	}
	return c
}

func withdrawCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "withdraw ROUTE...",
		Short: "Withdraw routes that were announced through a running bridge",
		Long: `Take back what 'mbbgp announce' has put into the MetalBond table of a running
bridge, kept ones too. A route is written as there, or as VNI#PREFIX, which
stands for all next hops of the prefix that were announced so.

The exit code is 1 if there was none of them.`,
		Example: `  mbbgp withdraw 200#10.1.0.7/32#2001:db8:1::7
  mbbgp withdraw 200#10.1.0.7/32`,
		Args: cobra.MinimumNArgs(1),
	}
	asks := addAskFlags(c)
	c.ValidArgsFunction = asks.completeStatic
	c.RunE = func(c *cobra.Command, args []string) error {
		question := &pb.WithdrawRequest{}
		for _, text := range args {
			route, err := parseWithdrawn(text)
			if err != nil {
				return usageError{err}
			}
			question.Routes = append(question.Routes, route)
		}
		answer, err := call(c, asks, pb.BridgeClient.Withdraw, question)
		if err == nil && answer.GetWithdrawn() == 0 {
			err = errors.New("no such route was announced through the bridge")
		}
		return err
	}
	return c
}

// parseRoute reads an announcement.
func parseRoute(text string) (*pb.StaticRoute, error) {
	vni, prefix, hop, err := metalbond.ParseAnnouncement(text)
	if err != nil {
		return nil, err
	}
	return &pb.StaticRoute{Vni: uint32(vni), Prefix: prefix.String(), NextHop: &pb.NextHop{
		Target: hop.Target.String(), Type: hop.Type.String(), NatFrom: uint32(hop.NATFrom), NatTo: uint32(hop.NATTo),
	}}, nil
}

// parseWithdrawn reads an announcement, or VNI#PREFIX.
func parseWithdrawn(text string) (*pb.StaticRoute, error) {
	number, rest, found := strings.Cut(text, "#")
	if !found || strings.ContainsAny(rest, "#@") {
		return parseRoute(text)
	}
	vni, err := api.ParseVNI(number)
	if err != nil {
		return nil, err
	}
	prefix, err := api.ParsePrefix(rest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	return &pb.StaticRoute{Vni: uint32(vni), Prefix: prefix.String()}, nil
}
