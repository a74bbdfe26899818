package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mbbgp/plugin/metalbond/bench"
)

// firstVNI is where routes go unless the command line says otherwise: no
// operator numbers tenants so high.
const firstVNI = 16_000_000

func benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Load a MetalBond server and measure it",
		Long: `Load a MetalBond server, any implementation, and measure what that takes it: time,
processor time and memory. At the end every client must know exactly what it
should, or the load has failed.

Without --server, a server of this program is started for each run, on loopback.
Of a server elsewhere only time is measured, unless it runs on this machine and
--pid names its process. Announcements go to VNIs from 16000000 on; in a network
that is in use, make sure that nobody else subscribes to them.`,
		Example: `  mbbgp bench fanout --routes 1000000 --subscribers 10
  mbbgp bench sync --runs 5 -j
  mbbgp bench churn --server [2001:db8::a]:4711 --clients 20 --duration 30s
  mbbgp bench drop --server [::1]:4711 --pid $(pidof metalbond)`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	for _, l := range bench.Loads() {
		c.AddCommand(loadCommand(l, loadDefaults[l.Name]))
	}
	return c
}

// loadDefault is what a load does unless the command line says otherwise.
type loadDefault struct {
	routes   int
	listener string // what its clients are called
	clients  int
	duration time.Duration // 0: it has an end of its own
}

var loadDefaults = map[string]loadDefault{
	"fanout":  {routes: 100_000, listener: "subscribers", clients: 50},
	"sync":    {routes: 100_000, listener: "subscribers", clients: 50},
	"churn":   {routes: 5_000, listener: "clients", clients: 50, duration: 10 * time.Second},
	"drop":    {routes: 100_000, listener: "subscribers", clients: 50},
	"slow":    {routes: 100_000, listener: "subscribers", clients: 10},
	"latency": {routes: 5_000, listener: "subscribers", clients: 1},
	"memory":  {routes: 1_000_000, listener: "origins", clients: 2},
	"idle":    {routes: 1, listener: "sessions", clients: 1_000, duration: time.Minute},
}

// benchFlags are what the command line says of a load.
type benchFlags struct {
	server  string
	pid     int
	runs    int
	pace    string
	family  string
	vni     uint32
	json    bool
	options bench.Options
}

func loadCommand(l bench.Load, d loadDefault) *cobra.Command {
	c := &cobra.Command{
		Use:     l.Name,
		Short:   "Measure: " + l.Does,
		Args:    cobra.NoArgs,
		Example: "  mbbgp bench " + l.Name + "\n  mbbgp bench " + l.Name + " --server [2001:db8::a]:4711 -j",
	}
	f := &benchFlags{}
	o := &f.options
	flags := c.Flags()
	flags.StringVarP(&f.server, "server", "s", "", "MetalBond server `HOST:PORT` (default: one that is started for each run)")
	flags.IntVar(&f.pid, "pid", 0, "process of --server, if it runs on this machine: measure that, too")
	flags.IntVar(&f.runs, "runs", 1, "how often; of several runs the medians are shown")
	flags.StringVar(&f.pace, "pace", string(bench.PaceAuto), "how fast to announce: auto (no more than a server of the stock library can stand) or off")
	flags.BoolVarP(&f.json, "json", "j", false, "print JSON, for programs: every phase of every run")
	flags.IntVar(&o.Routes.Count, "routes", d.routes, "how many routes, 1 to 16777216")
	flags.Uint32Var(&f.vni, "vni", firstVNI, "the first VNI")
	flags.IntVar(&o.Routes.VNIs, "vnis", 1, "VNIs that the routes are spread over, each client subscribes to all")
	flags.StringVar(&f.family, "family", string(bench.IPv4), "of the routes: ipv4, ipv6 or both")
	flags.IntVar(&o.Routes.NextHops, "nexthops", 1000, "next hops that the routes are spread over, 1 to 65536")
	flags.DurationVar(&o.Patience, "timeout", time.Minute, "how long nothing may come before the load has failed")
	flags.IntVar(&o.Clients, d.listener, d.clients, "how many")
	if d.duration > 0 {
		flags.DurationVar(&o.Duration, "duration", d.duration, "how long")
	}
	if l.Name == "idle" {
		_ = flags.MarkHidden("routes")
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := f.complete(d); err != nil {
			return usageError{err}
		}
		return f.run(c, l)
	}
	return c
}

// complete checks the flags and makes options of them.
func (f *benchFlags) complete(d loadDefault) error {
	o := &f.options
	o.Routes.VNI, o.Routes.Family, o.Pace = f.vni, bench.Family(f.family), bench.Pace(f.pace)
	o.Keepalive = 5 * time.Second
	if f.server != "" {
		server, err := parseServer(f.server)
		if err != nil {
			return err
		}
		f.server = server
	}
	for _, n := range []struct {
		flag       string
		value, max int
	}{
		{"runs", f.runs, 1000},
		{"routes", o.Routes.Count, bench.MaxRoutes},
		{"vnis", o.Routes.VNIs, 100_000},
		{"nexthops", o.Routes.NextHops, 1 << 16},
		{d.listener, o.Clients, 60_000},
	} {
		if n.value < 1 || n.value > n.max {
			return fmt.Errorf("--%s: %d is out of range (1 to %d)", n.flag, n.value, n.max)
		}
	}
	switch {
	case !slices.Contains([]bench.Pace{bench.PaceAuto, bench.PaceOff}, o.Pace):
		return fmt.Errorf("--pace: %s is not one of auto, off", f.pace)
	case !slices.Contains([]bench.Family{bench.IPv4, bench.IPv6, bench.Both}, o.Routes.Family):
		return fmt.Errorf("--family: %s is not one of ipv4, ipv6, both", f.family)
	case uint64(f.vni)+uint64(o.Routes.VNIs) > 1<<32:
		return fmt.Errorf("--vni: %d and %d more are beyond 4294967295", f.vni, o.Routes.VNIs-1)
	case f.pid < 0 || f.pid > 0 && f.server == "":
		return errors.New("--pid: names the process of --server")
	case o.Patience <= 0:
		return fmt.Errorf("--timeout: %v is no time", o.Patience)
	case d.duration > 0 && o.Duration <= 0:
		return fmt.Errorf("--duration: %v is no time", o.Duration)
	}
	return nil
}

// run puts the load on the server as often as was asked for.
func (f *benchFlags) run(c *cobra.Command, l bench.Load) error {
	// What the clients need is small and stays, so to collect garbage often
	// would only take time from the server.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	view := newBenchView(c.ErrOrStderr(), l.Name, f.runs)
	var runs [][]bench.Result
	for n := range f.runs {
		view.run = n + 1
		f.options.Progress = view.progress
		results, err := f.once(c, l)
		view.clear()
		if err != nil {
			return fmt.Errorf("%s: run %d: %w", l.Name, n+1, err)
		}
		runs = append(runs, results)
	}
	if f.json {
		return printBenchJSON(c.OutOrStdout(), runs)
	}
	return printBench(c.OutOrStdout(), runs)
}

// once runs the load once, on a server of its own if none is named.
func (f *benchFlags) once(c *cobra.Command, l bench.Load) ([]bench.Result, error) {
	server := &bench.Server{Address: f.server, PID: f.pid}
	if f.server == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		server, err = bench.Start(c.Context(), os.Stderr, self, "server", "--listen", "%", "--log-level", "error")
		if err != nil {
			return nil, err
		}
		defer server.Stop()
	}
	return l.Run(c.Context(), server, f.options)
}
