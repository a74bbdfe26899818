// Bench puts the same loads on mbbgp, on the stock MetalBond server and on a bare
// writer, in one run on one machine, and prints what they took as a Markdown
// table. The bare writer is the floor: it writes the bytes that it reads, as they
// are, to every subscriber (see bench.Bare).
//
//	announcers -> server -> subscribers     all on loopback, clients in this process
//
// It builds the programs and leaves nothing behind. Run it from the top of the
// module; the full set takes hours, most of them metalbond's:
//
//	go run ./test/bench
//	go run ./test/bench -loads fanout,sync -routes 100000 -clients 50 -runs 3
//
// A server gets the size that it can do: metalbond fails or takes minutes where
// the others take a second, so its routes are bounded by -stock-routes and its
// clients by -stock-clients. What is compared is the server's CPU time for a
// million deliveries. Each load runs on a new process; the servers take turns, so
// that what else the machine does meets all of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mbbgp/plugin/metalbond/bench"
)

// comparison is what is measured.
type comparison struct {
	servers      []string
	loads        []string
	routes       []int // of fanout, sync, drop and slow
	clients      []int // of fanout
	runs         int
	stockRoutes  int
	stockClients int
	memoryRoutes int
	idleSessions int
	idle, churn  time.Duration
	bareWrite    int // bytes
	options      bench.Options
	programs     string // folder
	markdown     *os.File
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := func() error {
		if len(os.Args) == 4 && os.Args[1] == "bare" {
			return bare(ctx, os.Args[2], os.Args[3])
		}
		c, err := parse()
		if err != nil {
			return err
		}
		return c.run(ctx)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bare is the bare writer's process.
func bare(ctx context.Context, listen, write string) error {
	at, err := netip.ParseAddrPort(listen)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(write)
	if err != nil {
		return err
	}
	b, err := bench.NewBare(at, n)
	if err != nil {
		return err
	}
	return b.Run(ctx)
}

func parse() (*comparison, error) {
	c := &comparison{markdown: os.Stdout}
	servers := flag.String("servers", "mbbgp,metalbond,bare", "what to measure")
	loads := flag.String("loads", "fanout,sync,churn,drop,slow,latency,memory,idle", "which loads")
	routes := flag.String("routes", "100000,1000000", "of fanout, sync, drop and slow: a list of numbers")
	clients := flag.String("clients", "1,10,50,500", "subscribers of fanout: a list of numbers")
	flag.IntVar(&c.runs, "runs", 5, "how often; the medians count")
	flag.IntVar(&c.stockRoutes, "stock-routes", 10_000, "at most for metalbond")
	flag.IntVar(&c.stockClients, "stock-clients", 50, "at most for metalbond")
	flag.IntVar(&c.memoryRoutes, "memory-routes", 1_000_000, "routes of memory")
	flag.IntVar(&c.idleSessions, "idle-sessions", 5_000, "sessions of idle")
	flag.DurationVar(&c.idle, "idle", time.Minute, "how long idle lasts")
	flag.DurationVar(&c.churn, "churn", 10*time.Second, "how long churn lasts")
	flag.IntVar(&c.bareWrite, "bare-write", 32<<10, "bytes in one write of the bare writer")
	flag.IntVar(&c.options.Routes.NextHops, "nexthops", 1000, "hypervisors that the routes are spread over")
	pace := flag.String("pace", string(bench.PaceAuto), "of announcers: auto or off (metalbond survives auto only)")
	flag.DurationVar(&c.options.Patience, "timeout", time.Minute, "how long nothing may come before a load has failed")
	flag.Parse()

	c.servers, c.loads = strings.Split(*servers, ","), strings.Split(*loads, ",")
	c.options.Routes.VNI, c.options.Routes.VNIs, c.options.Routes.Family = 100, 1, bench.IPv4
	c.options.Pace, c.options.Keepalive = bench.Pace(*pace), 5*time.Second
	for _, s := range c.servers {
		if !slices.Contains([]string{"mbbgp", "metalbond", "bare"}, s) {
			return nil, fmt.Errorf("-servers: %q is not one of mbbgp, metalbond, bare", s)
		}
	}
	for _, l := range c.loads {
		if !slices.ContainsFunc(bench.Loads(), func(x bench.Load) bool { return x.Name == l }) {
			return nil, fmt.Errorf("-loads: there is no load %q", l)
		}
	}
	var err error
	if c.routes, err = numbers("-routes", *routes, bench.MaxRoutes); err != nil {
		return nil, err
	}
	c.clients, err = numbers("-clients", *clients, 60_000)
	return c, err
}

func numbers(name, list string, most int) (all []int, err error) {
	for _, text := range strings.Split(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > most {
			return nil, fmt.Errorf("%s %q: want numbers from 1 to %d", name, list, most)
		}
		all = append(all, n)
	}
	return all, nil
}

func (c *comparison) run(ctx context.Context) (err error) {
	if c.programs, err = os.MkdirTemp("", "mbbgp-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(c.programs)
	if err := c.build(ctx); err != nil {
		return err
	}
	fmt.Fprintf(c.markdown, "%d runs of each, medians; announcers at pace %s; bare writes %d bytes at a time.\n\n", c.runs, c.options.Pace, c.bareWrite)
	fmt.Fprintln(c.markdown, header)
	for _, m := range c.matches() {
		if err := c.play(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) build(ctx context.Context) error {
	for _, b := range [][3]string{
		{"mbbgp", ".", "./cmd/mbbgp"}, {"metalbond", "test/peers", "github.com/ironcore-dev/metalbond/cmd"},
	} {
		if !slices.Contains(c.servers, b[0]) {
			continue
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(c.programs, b[0]), b[2])
		cmd.Dir = b[1]
		cmd.Env = append(os.Environ(), "GONOSUMDB=github.com/ironcore-dev/metalbond")
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return errors.Join(fmt.Errorf("build of %s", b[0]), err)
		}
	}
	return nil
}

// start starts a server. What it logs is thrown away: metalbond logs a line a
// route.
func (c *comparison) start(ctx context.Context, name string) (*bench.Server, error) {
	switch name {
	case "bare":
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		return bench.Start(ctx, os.Stderr, self, "bare", "%", strconv.Itoa(c.bareWrite))
	case "mbbgp":
		return bench.Start(ctx, os.Stderr, filepath.Join(c.programs, name), "server", "--listen", "%", "--log-level", "error")
	}
	return bench.Start(ctx, nil, filepath.Join(c.programs, name), "server", "--listen", "%")
}
