// Load carries many routes MetalBond -> BGP -> MetalBond through two bridges,
// and the same routes from one plain GoBGP to another, in one run and on one
// machine, so that the ratio of the two says what the bridge costs:
//
//	announcer -> mbbgp A -- BGP --> mbbgp B -> subscribers
//	                 carrier -- BGP --> carrier
//
// It builds the programs, works on loopback addresses only and leaves nothing
// behind. Run it from the top of the module:
//
//	go run ./test/load -routes 100000,1000000 -encapsulation srv6
//
// Times count from the first byte that the announcer sends (the first call of
// the carrier) to the last route that arrives. Memory is resident: what a
// process grew by, divided by the routes; a peak is the highest it ever was.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// load is one size and kind of routes.
type load struct {
	routes      int
	nexthops    int
	mixed       bool // next hops change from route to route
	subscribers int
	encap       string // ip-in-ip or srv6
	programs    string // folder
	work        string // folder
}

// result is what one of the two ways took.
type result struct {
	all, none time.Duration // until all routes came, until all were gone
	processes []usage       // in the order of the route
}

// usage is the memory of a process in bytes.
type usage struct {
	name string
	idle int64 // resident, before the routes
	full int64 // with all routes
	peak int64 // the most ever
	cpu  time.Duration
}

func main() {
	routes := flag.String("routes", "100000", "how many routes: a list of numbers")
	nexthops := flag.Int("nexthops", 1000, "hypervisors that they are spread over, 1 to 65536")
	encap := flag.String("encapsulation", "srv6", "srv6 (VPNv4) or ip-in-ip (EVPN)")
	mixed := flag.Bool("mixed", false, "announce the routes of all hypervisors mixed, not one hypervisor after another")
	subscribers := flag.Int("subscribers", 1, "MetalBond clients that hear of all of them, 1 to 1000")
	runs := flag.Int("runs", 1, "how often")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *routes, load{nexthops: *nexthops, mixed: *mixed, encap: *encap, subscribers: *subscribers}, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, list string, l load, runs int) error {
	if encap := l.encap; encap != "srv6" && encap != "ip-in-ip" {
		return fmt.Errorf("-encapsulation %q: want srv6 or ip-in-ip", encap)
	}
	if l.nexthops < 1 || l.nexthops > 1<<16 {
		return fmt.Errorf("-nexthops %d: want 1 to 65536", l.nexthops)
	}
	if l.subscribers < 1 || l.subscribers > 1000 {
		return fmt.Errorf("-subscribers %d: want 1 to 1000", l.subscribers)
	}
	var sizes []int
	for _, text := range strings.Split(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1<<24 {
			return fmt.Errorf("-routes %q: want numbers from 1 to 16777216", text)
		}
		sizes = append(sizes, n)
	}
	work, err := os.MkdirTemp("", "mbbgp-load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := build(ctx, work); err != nil {
		return err
	}
	fmt.Println("| routes | kind | bridges: all there / gone | plain GoBGP: all there / gone | ratio | bridges: bytes a route (peak) | GoBGP: bytes a route (peak) | CPU |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, n := range sizes {
		for range runs {
			l := l
			l.routes, l.nexthops, l.programs, l.work = n, min(l.nexthops, n), work, work
			bridged, err := l.bridges(ctx)
			if err != nil {
				return fmt.Errorf("bridges: %w", err)
			}
			plain, err := l.carriers(ctx)
			if err != nil {
				return fmt.Errorf("plain GoBGP: %w", err)
			}
			l.print(bridged, plain)
		}
	}
	return nil
}

func build(ctx context.Context, folder string) error {
	for _, b := range [][3]string{{"mbbgp", ".", "./cmd/mbbgp"}, {"carrier", "test/peers", "./carrier"}} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(folder, b[0]), b[2])
		cmd.Dir = b[1]
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return errors.Join(fmt.Errorf("build of %s", b[0]), err)
		}
	}
	return nil
}

// hop is the number of the hypervisor of a route.
func (l *load) hop(i int) int {
	if l.mixed {
		return i % l.nexthops
	}
	return i * l.nexthops / l.routes
}

func (l *load) print(bridged, plain result) {
	memory := func(r result) string {
		var s []string
		for _, u := range r.processes {
			s = append(s, fmt.Sprintf("%s %d (%d)", u.name, (u.full-u.idle)/int64(l.routes), (u.peak-u.idle)/int64(l.routes)))
		}
		return strings.Join(s, ", ")
	}
	cpu := func(r result) string {
		var s []string
		for _, u := range r.processes {
			s = append(s, fmt.Sprintf("%s %.1f s", u.name, u.cpu.Seconds()))
		}
		return strings.Join(s, ", ")
	}
	fmt.Printf("| %d | %s | %.1f s / %.1f s | %.1f s / %.1f s | %.2f / %.2f | %s | %s | %s, %s |\n",
		l.routes, l.encap,
		bridged.all.Seconds(), bridged.none.Seconds(), plain.all.Seconds(), plain.none.Seconds(),
		bridged.all.Seconds()/plain.all.Seconds(), bridged.none.Seconds()/plain.none.Seconds(),
		memory(bridged), memory(plain), cpu(bridged), cpu(plain))
}
