// Listeners use MPTCP by default, on which Linux refuses TCP MD5 signatures
// (RFC 2385). BGP sessions with a password need plain TCP.
//go:debug multipathtcp=0

// Command mbbgp is a bridge between MetalBond, the route distribution protocol
// of IronCore's hypervisors, and BGP: EVPN, VPN and unicast.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	// The first signal ends everything in order, the second at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	stderr := &backlog{to: os.Stderr}
	log.SetOutput(stderr) // net/http's own lines
	code := execute(ctx, os.Args[1:], os.Stdout, stderr)
	stderr.flush(time.Second)
	os.Exit(code)
}
