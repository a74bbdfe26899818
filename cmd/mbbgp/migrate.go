package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/spf13/cobra"

	pb "mbbgp/plugin/api/v1"
)

const migrateHelp = `Move VNIs of a running bridge from BGP to MetalBond while both tell of their
prefixes, one VNI after the other or all, and back.

Which of the two counts is what a VNI prefers. A VNI that is to move begins with
'prefer: bgp' in the configuration: the kernel forwards, and hypervisors are told,
what BGP says of a prefix, as long as BGP says anything. 'cutover' makes it prefer
MetalBond, from one moment to the next and without a packet lost: each route of
the kernel is replaced where it is, after what it needs is there. BGP then stands
by. 'rollback' is the way back. What only one of the two tells of is used either
way. What was said here counts more than the file, over restarts, until the file
says the same.

  plan      what both tell of, what differs, what cutover would change
  verify    whether everything is as it should be, once or for a while
  cutover   prefer MetalBond
  rollback  prefer BGP`

func migrateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Move VNIs from BGP to MetalBond, and back, without loss",
		Long:  migrateHelp,
		Example: `  mbbgp migrate plan --vni 200
  mbbgp migrate cutover --vni 200 --report tenant-a.txt
  mbbgp migrate verify --vni 200 --for 10m
  mbbgp migrate rollback --vni 200`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(migratePlanCommand(), migrateVerifyCommand(), migrateSwitchCommand(cutover), migrateSwitchCommand(rollback))
	return c
}

// The control planes, in the words of the API.
const (
	metalBondPlane = "metalbond"
	bgpPlane       = "bgp"
)

// errBlocked is what a plan ends with that names the reasons itself.
var errBlocked = reported{errors.New("something blocks it")}

func migratePlanCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "plan",
		Short: "Show what both control planes tell of VNIs, and what a cutover would change",
		Long: `Show of VNIs how many prefixes both control planes tell of, or only one; which
would get other next hops if the VNI preferred the other one, and which; whether
the kernel has what is in force now; and what there is to know before. What is
'blocking' would lose packets or leave the VNI in another state than the plan says,
and a cutover refuses; a 'note' is only that. The exit code is 1 if something
blocks.`,
		Example: `  mbbgp migrate plan
  mbbgp migrate plan --vni 200 --prefixes
  mbbgp migrate plan --vni 200 --to bgp
  mbbgp migrate plan -j | jq '.[].prefixes[] | select(.side == "bgp") | .prefix'`,
		Args: cobra.NoArgs,
	}
	asks := addAskFlags(c)
	asks.addJSONFlag(c)
	vnis := addVNIFlag(c, asks, "this `VNI` only; may be given more than once, or as a list with commas (default all that are configured)")
	to := c.Flags().String("to", metalBondPlane, "`PLANE` to plan for: metalbond or bgp")
	complete := addCompleteFlag(c)
	all := c.Flags().BoolP("prefixes", "p", false, "show every prefix, not only the first that change")
	c.RunE = func(c *cobra.Command, _ []string) error {
		list, err := asks.compare(c.Context(), &pb.CompareRequest{Vnis: *vnis, Prefer: *to, Complete: *complete})
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if asks.json {
			text.Write(indented(jsonList(list)))
		} else {
			for i, v := range list {
				if i > 0 {
					printf(&text, "\n")
				}
				printPlan(&text, v, *all)
			}
		}
		if _, err := c.OutOrStdout().Write(text.Bytes()); err != nil {
			return err
		}
		for _, v := range list {
			if blocks(v.GetVni()) {
				return errBlocked
			}
		}
		return nil
	}
	return c
}

func addCompleteFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("complete", false, "it blocks if a prefix is told of only by the control plane that is not to be preferred")
}

// compare asks for comparisons, one answer for each VNI.
func (a *asking) compare(ctx context.Context, question *pb.CompareRequest) (list []*pb.CompareResponse, err error) {
	conn, err := a.open()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stream, err := pb.NewMigrationClient(conn).Compare(ctx, question)
	if err != nil {
		return nil, a.failed(err)
	}
	one := &pb.CompareResponse{}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, a.failed(err)
		}
		one.Prefixes = append(one.Prefixes, answer.GetPrefixes()...)
		if one.Vni = answer.GetVni(); one.Vni != nil {
			slices.SortFunc(one.Prefixes, comparePrefixes)
			list = append(list, one)
			one = &pb.CompareResponse{}
		}
	}
}

func comparePrefixes(a, b *pb.ComparedPrefix) int {
	x, _ := netip.ParsePrefix(a.GetPrefix()) // the bridge has made them of prefixes
	y, _ := netip.ParsePrefix(b.GetPrefix())
	return cmp.Or(x.Addr().Compare(y.Addr()), cmp.Compare(x.Bits(), y.Bits()))
}

// blocks reports whether something is found that blocks.
func blocks(v *pb.ComparedVNI) bool {
	for _, f := range v.GetFindings() {
		if f.GetLevel() == "blocking" {
			return true
		}
	}
	return false
}

// direction is one of the two ways that a VNI can be switched.
type direction struct {
	name, plane, short, long string
	rollback                 bool // what fails is taken back by default
}

var (
	cutover = direction{
		name: "cutover", plane: metalBondPlane, rollback: true,
		short: "Make VNIs prefer MetalBond",
		long: `Make VNIs prefer MetalBond: where both control planes tell of a prefix, what
MetalBond says of it counts from now on, in the kernel, toward hypervisors and
toward BGP. What BGP says stands by and takes over where MetalBond falls silent.

It goes step by step, one VNI after the other, and ends with the first that fails:
check (as 'plan', and what blocks ends it unless --force), switch, kernel (wait
until the kernel has every change), verify (compare once more). If the kernel or the
verification fails, the VNI goes back to what it preferred before, unless
--rollback-on-failure=false. Once begun, a VNI is brought to its end even if this
command is interrupted.`,
	}
	rollback = direction{
		name: "rollback", plane: bgpPlane,
		short: "Make VNIs prefer BGP again",
		long: `Make VNIs prefer BGP again, as before their cutover: every prefix that BGP tells
of goes the way that BGP says. The steps are those of 'cutover'. Only what would
lose packets blocks it, such as a next hop that the underlay does not lead to;
sessions that are down do not.`,
	}
)

func migrateSwitchCommand(d direction) *cobra.Command {
	c := &cobra.Command{
		Use:   d.name,
		Short: d.short,
		Long:  d.long,
		Example: fmt.Sprintf(`  mbbgp migrate %[1]s --vni 200
  mbbgp migrate %[1]s --all --report %[1]s.json`, d.name),
		Args: cobra.NoArgs,
	}
	asks := addAskFlags(c)
	asks.addJSONFlag(c)
	s := switcher{asking: asks, direction: d}
	s.vnis = addVNIFlag(c, asks, "`VNI` to switch; may be given more than once, or as a list with commas")
	c.Flags().BoolVar(&s.all, "all", false, "all VNIs that are configured, in order")
	c.Flags().BoolVar(&s.request.Force, "force", false, "whatever is found")
	s.complete = addCompleteFlag(c)
	c.Flags().BoolVar(&s.request.RollbackOnFailure, "rollback-on-failure", d.rollback, "prefer what was preferred before if the kernel does not follow, or the verification fails")
	c.Flags().StringVar(&s.report, "report", "", "new `FILE` to keep what was done in: text, or JSON if its name ends with .json")
	_ = c.MarkFlagFilename("report")
	c.RunE = func(c *cobra.Command, _ []string) error { return s.run(c) }
	return c
}

// vniList returns the VNIs to switch.
func (s *switcher) vniList(ctx context.Context) ([]uint32, error) {
	if s.all == (len(*s.vnis) > 0) {
		return nil, usageError{errors.New("name the VNIs with --vni, or say --all")}
	}
	if !s.all {
		return *s.vnis, nil
	}
	client, conn, err := s.connect()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stream, err := client.ListVNIs(ctx, &pb.ListVNIsRequest{})
	if err != nil {
		return nil, s.failed(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		return nil, s.failed(err)
	}
	var list []uint32
	for _, v := range answer.GetVnis() {
		if v.GetConfigured() {
			list = append(list, v.GetVni())
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no VNI is configured")
	}
	return list, nil
}
