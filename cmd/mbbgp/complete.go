package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	pb "mbbgp/plugin/api/v1"
)

// Completion asks the bridge for the names that there are. A shell waits for it,
// so a bridge that does not answer at once is none.
const (
	completeWithin = time.Second
	mostCompleted  = 200
)

// completeVNIs completes a VNI, with its name behind it.
func (a *asking) completeVNIs(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	done, last := "", begun
	if i := strings.LastIndex(begun, ","); i >= 0 {
		done, last = begun[:i+1], begun[i+1:]
	}
	return a.complete(c, func(ctx context.Context, client pb.BridgeClient, add func(string) bool) error {
		stream, err := client.ListVNIs(ctx, &pb.ListVNIsRequest{})
		if err != nil {
			return err
		}
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, v := range answer.GetVnis() {
			if number := fmt.Sprint(v.GetVni()); strings.HasPrefix(number, last) {
				add(strings.TrimSuffix(done+number+"\t"+v.GetName(), "\t"))
			}
		}
		return nil
	})
}

// completePrefixes completes a prefix of the VNIs.
func (a *asking) completePrefixes(vnis *vniFlag) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return a.completeRoutes(c, &pb.ListRoutesRequest{Vnis: *vnis}, func(r *pb.Route) string { return r.GetPrefix() }, begun)
	}
}

// completeStatic completes a route that an operator has announced.
func (a *asking) completeStatic(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return a.completeRoutes(c, &pb.ListRoutesRequest{}, func(r *pb.Route) string {
		for _, claim := range r.GetClaims() {
			if claim.GetSource() == "static" && claim.GetName() == operatorName {
				return fmt.Sprintf("%d#%s#%s", r.GetVni(), r.GetPrefix(), hopText(r.GetNextHop()))
			}
		}
		return ""
	}, begun)
}

func (a *asking) completeRoutes(c *cobra.Command, question *pb.ListRoutesRequest, text func(*pb.Route) string, begun string) ([]string, cobra.ShellCompDirective) {
	last := ""
	return a.complete(c, func(ctx context.Context, client pb.BridgeClient, add func(string) bool) error {
		stream, err := client.ListRoutes(ctx, question)
		if err != nil {
			return err
		}
		for {
			answer, err := stream.Recv()
			if err != nil {
				return err
			}
			for _, r := range answer.GetRoutes() {
				if s := text(r); s != "" && s != last && strings.HasPrefix(s, begun) {
					last = s
					if !add(s) {
						return nil
					}
				}
			}
		}
	})
}

// complete collects what ask finds in time; add reports whether there is room
// for more.
func (a *asking) complete(c *cobra.Command, ask func(context.Context, pb.BridgeClient, func(string) bool) error) ([]string, cobra.ShellCompDirective) {
	client, conn, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer conn.Close()
	parent := c.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, completeWithin)
	defer cancel()
	var found []string
	err = ask(ctx, client, func(s string) bool {
		found = append(found, s)
		return len(found) < mostCompleted
	})
	if err != nil && !errors.Is(err, io.EOF) {
		cobra.CompDebugln(err.Error(), false)
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}
