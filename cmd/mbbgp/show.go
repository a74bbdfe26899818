package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"mbbgp/plugin/api"
)

func showCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "show",
		Short: "Show what a running bridge knows",
		Long: `Show what a running bridge knows. It is asked over HTTP, where its configuration
says (http).`,
		Example: `  mbbgp show neighbors
  mbbgp show policy --http 192.0.2.1:4712
  mbbgp show kernel --vni 200
  mbbgp show neighbors -j | jq '.[].state'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(showPolicyCommand(), showNeighborsCommand(), showKernelCommand())
	return c
}

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
	asks := addAskFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var rules []api.PolicyRule
		return asks.answer(c.Context(), c.OutOrStdout(), api.PolicyPath, nil, &rules, func(w io.Writer) { printPolicy(w, rules) })
	}
	return c
}

func printPolicy(w io.Writer, rules []api.PolicyRule) {
	if len(rules) == 0 {
		printf(w, "no VNI has rules\n")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printf(t, "VNI\tDIRECTION\tRULE\tMATCHED\tREFUSED\tTHEN\tWHEN\tSET\n")
	for _, r := range rules {
		printf(t, "%d\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", r.VNI, r.Direction, r.Name, r.Matched, r.Refused, r.Then, r.When, dash(r.Set))
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
	asks := addAskFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var list []api.Neighbor
		return asks.answer(c.Context(), c.OutOrStdout(), api.NeighborsPath, nil, &list, func(w io.Writer) { printNeighbors(w, list, time.Now()) })
	}
	return c
}

func printNeighbors(w io.Writer, list []api.Neighbor, now time.Time) {
	if len(list) == 0 {
		printf(w, "no BGP neighbors\n")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printf(t, "NEIGHBOR\tAS\tSTATE\tFOR\tIMPORTED\tFAMILIES\tREMARK\n")
	for i := range list {
		n := &list[i]
		age := "-"
		if n.Established() {
			age = now.Sub(n.Since).Truncate(time.Second).String()
		}
		imported := fmt.Sprint(n.Routes)
		if n.MaxRoutes > 0 {
			imported += fmt.Sprintf(" of %d", n.MaxRoutes)
		}
		printf(t, "%v\t%d\t%s\t%s\t%s\t%s\t%s\n", n.Address, n.ASN, n.State, age, imported, dash(familiesOf(n)), dash(remark(n)))
	}
	_ = t.Flush() // to memory
}

func familiesOf(n *api.Neighbor) string {
	var all []string
	for _, f := range n.Families {
		name := f.Family
		if f.EndOfRIB {
			name += "+"
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

// remark says what else is worth knowing of a neighbor.
func remark(n *api.Neighbor) string {
	var all []string
	if n.Description != "" {
		all = append(all, n.Description)
	}
	for _, f := range n.Stale {
		word := "stale"
		if f.LongLived {
			word = "long-lived stale"
		}
		all = append(all, f.Family+" "+word)
	}
	if n.Refused > 0 {
		all = append(all, fmt.Sprintf("%d refused by max-prefixes", n.Refused))
	}
	if !n.Established() && n.LastError != "" {
		all = append(all, n.LastError)
	}
	return strings.Join(all, "; ")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
