package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	pb "mbbgp/plugin/api/v1"
)

// mostChanges is how many prefixes a plan shows if not all are wanted.
const mostChanges = 10

// printPlan shows a comparison, with the first prefixes that change or all there
// are.
func printPlan(w io.Writer, v *pb.CompareResponse, all bool) {
	x := v.GetVni()
	printf(w, "%s: prefers %s", vniTitle(x), x.GetPreferred())
	if x.GetPreferred() != x.GetConfigured() {
		printf(w, " (the file says %s)", x.GetConfigured())
	}
	if x.GetPlanned() != x.GetPreferred() {
		printf(w, ", to prefer %s", x.GetPlanned())
	}
	printf(w, "\n")
	printCounts(w, x)
	shown := v.GetPrefixes()
	if !all {
		shown = slices.DeleteFunc(slices.Clone(shown), func(p *pb.ComparedPrefix) bool { return !p.GetChanges() && p.GetProblem() == "" })
	}
	more := 0
	if !all && len(shown) > mostChanges {
		more = len(shown) - mostChanges
		shown = shown[:mostChanges]
	}
	printPrefixes(w, shown)
	if more > 0 {
		printf(w, "  and %d more (--prefixes shows all)\n", more)
	}
	printFound(w, x)
}

// vniTitle is the VNI with its name.
func vniTitle(v *pb.ComparedVNI) string {
	if v.GetName() == "" {
		return fmt.Sprintf("vni %d", v.GetVni())
	}
	return fmt.Sprintf("vni %d %s", v.GetVni(), v.GetName())
}

func printCounts(w io.Writer, v *pb.ComparedVNI) {
	kernel := "no table"
	if v.GetTable() != 0 {
		kernel = fmt.Sprintf("%d of %d in table %d", v.GetPrefixes()-v.GetAstray(), v.GetPrefixes(), v.GetTable())
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printf(t, "  PREFIXES\tBOTH\tONLY BGP\tONLY METALBOND\tNEITHER\tCHANGE\tKERNEL\n")
	printf(t, "  %d\t%d\t%d\t%d\t%d\t%d\t%s\n", v.GetPrefixes(), v.GetBoth(), v.GetOnlyBgp(), v.GetOnlyMetalbond(), v.GetNeither(), v.GetChanges(), kernel)
	_ = t.Flush() // to memory
}

// printPrefixes shows prefixes with their next hops before and after.
func printPrefixes(w io.Writer, list []*pb.ComparedPrefix) {
	if len(list) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printf(t, "  PREFIX\tTOLD BY\tNOW\tTHEN\tREMARK\n")
	for _, p := range list {
		then := "the same"
		if p.GetChanges() {
			then = way(p, p.GetThen())
		}
		printf(t, "  %s\t%s\t%s\t%s\t%s\n", p.GetPrefix(), p.GetSide(), way(p, p.GetNow()), then, dash(p.GetProblem()))
	}
	_ = t.Flush() // to memory
}

// way is a list of next hops, and of those of BGP that are this gateway, where
// packets go on to.
func way(p *pb.ComparedPrefix, hops []string) string {
	text := dash(strings.Join(hops, ", "))
	if len(p.GetVia()) > 0 && slices.Equal(hops, p.GetBgp()) {
		text += ", on to " + strings.Join(p.GetVia(), ", ")
	}
	return text
}

func printFound(w io.Writer, v *pb.ComparedVNI) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range v.GetFindings() {
		printf(t, "  %s\t%s\t%s\n", f.GetLevel(), f.GetCheck(), f.GetText())
	}
	_ = t.Flush() // to memory
}

func printStep(w io.Writer, vni uint32, s *pb.SwitchStep) {
	printf(w, "vni %d: %-8s %-7s %s\n", vni, s.GetName(), s.GetState(), s.GetDetail())
}

// resultText is what became of a switch.
func resultText(r *pb.SwitchResult) string {
	switch {
	case r.GetOk():
		return "prefers " + r.GetPreferred()
	case r.GetRolledBack():
		return fmt.Sprintf("failed and was taken back, prefers %s: %s", r.GetPreferred(), r.GetReason())
	}
	return fmt.Sprintf("failed, prefers %s: %s", r.GetPreferred(), r.GetReason())
}

// printReport is the report for people, to be kept.
func printReport(w io.Writer, r *pb.MigrationReport) {
	outcome := "done"
	if !r.GetOk() {
		outcome = "failed"
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printf(t, "command\tmbbgp migrate %s\n", r.GetCommand())
	printf(t, "outcome\t%s\n", outcome)
	printf(t, "who\t%s\n", r.GetWho())
	printf(t, "bridge\t%s\n", r.GetBridge())
	printf(t, "begun\t%s\n", r.GetBegun().AsTime().Format(time.RFC3339))
	printf(t, "ended\t%s\n", r.GetEnded().AsTime().Format(time.RFC3339))
	_ = t.Flush() // to memory
	for _, v := range r.GetVnis() {
		printf(w, "\nvni %d: %s\n", v.GetVni(), resultText(v.GetResult()))
		for _, at := range []struct {
			when string
			what *pb.ComparedVNI
		}{{"before", v.GetBefore()}, {"after", v.GetAfter()}} {
			if at.what != nil {
				printf(w, "%s: preferred %s\n", at.when, at.what.GetPreferred())
				printCounts(w, at.what)
				printFound(w, at.what)
			}
		}
		printf(w, "steps\n")
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, s := range v.GetSteps() {
			printf(t, "  %s\t%s\t%s\t%s\n", s.GetAt().AsTime().Format(time.RFC3339Nano), s.GetName(), s.GetState(), s.GetDetail())
		}
		_ = t.Flush() // to memory
		printf(w, "changes\n")
		printPrefixes(w, v.GetChanges())
	}
}
