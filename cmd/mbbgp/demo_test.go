package main

import (
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mbbgp/rib"
)

// gobgpLeak is a goroutine of a BGP session that GoBGP forgets now and then
// when it stops: the buffer of a channel that nobody closes.
func gobgpLeak() goleak.Option {
	return goleak.IgnoreTopFunction("github.com/eapache/channels.(*InfiniteChannel).infiniteBuffer")
}

// quietly runs a demo without pauses.
func quietly(t *testing.T, patience time.Duration, before func(*demo, int)) (string, error) {
	t.Helper()
	var out strings.Builder
	err := runDemo(t.Context(), demoOptions{out: &out, log: io.Discard, patience: patience, before: before})
	return out.String(), err
}

func TestDemoShowsEverything(t *testing.T) {
	defer goleak.VerifyNone(t, gobgpLeak())
	out, err := quietly(t, 10*time.Second, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(out, "Everything was seen at the far end") || strings.Contains(out, "FAILED") {
		t.Error(out)
	}
}

// One demo at a time: each start of a GoBGP server writes settings that all
// servers of the process read.
func TestDemoFailsWhenSomethingIsNotSeen(t *testing.T) {
	rows := map[string]struct {
		step int
		do   func(*demo)
		want string
	}{
		"a hypervisor cannot connect": {1, func(d *demo) { d.b.link.sever() },
			"step 1 (The sessions come up): not seen within 1s: hypervisor-b: "},
		"the link is cut before a virtual machine starts": {2, func(d *demo) { d.a.link.sever() },
			"step 2 (A virtual machine starts on hypervisor-a): not seen within 1s: hypervisor-b: "},
		"somebody else announces what the dead hypervisor did": {7, func(d *demo) {
			hop := rib.NextHop{Target: netip.MustParseAddr(hostB)}
			if err := d.bridge.bridge.Open(rib.Static, "somebody else").Announce(tenantA, netip.MustParsePrefix(vmB), hop); err != nil {
				t.Error(err)
			}
		}, "step 7 (hypervisor-b dies): not seen within 1s: leaf: "},
		"a NAT route has left MetalBond": {5, func(d *demo) {
			d.board.put(sight{d.leaf.name, tenantA, netip.MustParsePrefix(natA), "RD"}, detail{})
		},
			"step 5 (What belongs to MetalBond stays there): leaf: not so: VNI 200  198.51.100.9/32 never comes"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			out, err := quietly(t, 4*time.Second, func(d *demo, n int) {
				if n == row.step {
					d.patience = time.Second
					row.do(d)
				}
			})
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want %s", err, row.want)
			}
			if !strings.Contains(out, "FAILED") || strings.Contains(out, "Everything was seen") {
				t.Error(out)
			}
		})
	}
}

func TestDemoEndsWhenItIsInterrupted(t *testing.T) {
	defer goleak.VerifyNone(t, gobgpLeak())
	ctx, cancel := context.WithCancel(t.Context())
	err := runDemo(ctx, demoOptions{out: io.Discard, log: io.Discard, patience: time.Minute, pause: time.Minute, before: func(_ *demo, n int) {
		if n == 1 {
			cancel()
		}
	}})
	if err == nil || err.Error() != "demo: interrupted" {
		t.Errorf("error %v", err)
	}
}
