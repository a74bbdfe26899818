package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"mbbgp/plugin/metalbond/bench"
)

// match is one load of one size, for every server.
type match struct {
	load    string
	routes  int
	clients int
	last    time.Duration // how long, if it has no end of its own
}

// bareLoads are those that the bare writer can do: it never forgets a route and
// tells a client its own ones.
var bareLoads = []string{"fanout", "sync", "latency", "idle"}

// matches returns all that is to be played.
func (c *comparison) matches() (list []match) {
	each := func(load string, clients ...int) {
		for _, routes := range c.routes {
			for _, n := range clients {
				list = append(list, match{load: load, routes: routes, clients: n})
			}
		}
	}
	for _, load := range c.loads {
		switch load {
		case "fanout":
			each(load, c.clients...)
		case "sync":
			each(load, 1)
			list = append(list, match{load: load, routes: c.routes[0], clients: 200})
		case "churn":
			list = append(list, match{load: load, routes: 5_000, clients: 50, last: c.churn})
		case "drop":
			each(load, 50)
		case "slow":
			each(load, 10)
		case "latency":
			list = append(list, match{load: load, routes: 5_000, clients: 1}, match{load: load, routes: 1_000, clients: 50})
		case "memory":
			list = append(list, match{load: load, routes: c.memoryRoutes, clients: 2})
		case "idle":
			list = append(list, match{load: load, routes: 1, clients: c.idleSessions, last: c.idle})
		}
	}
	return list
}

// of returns the match as a server can play it.
func (m match) of(c *comparison, server string) match {
	if server == "metalbond" {
		m.routes, m.clients = min(m.routes, c.stockRoutes), min(m.clients, c.stockClients)
	}
	return m
}

// play plays a match and prints a line for each phase and server. What fails is
// a line, too.
func (c *comparison) play(ctx context.Context, m match) error {
	runs := make(map[string][][]bench.Result)
	failed := make(map[string]error)
	for n := range c.runs {
		for _, server := range c.servers {
			if server == "bare" && !slices.Contains(bareLoads, m.load) || failed[server] != nil {
				continue
			}
			fmt.Fprintf(os.Stderr, "%s  %s, %d routes, %d clients: %s, run %d of %d\n",
				time.Now().Format(time.TimeOnly), m.load, m.routes, m.clients, server, n+1, c.runs)
			results, err := c.once(ctx, server, m.of(c, server))
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				failed[server] = err
				continue
			}
			runs[server] = append(runs[server], results)
		}
	}
	floor := bench.Median(runs["bare"])
	var medians [][]bench.Result
	for _, server := range c.servers {
		medians = append(medians, bench.Median(runs[server]))
	}
	for phase := range slices.Max(append(lengths(medians), 0)) {
		for i, server := range c.servers {
			if phase < len(medians[i]) {
				var under *bench.Result
				if phase < len(floor) {
					under = &floor[phase]
				}
				fmt.Fprintln(c.markdown, line(server, &medians[i][phase], under))
			}
		}
	}
	for _, server := range c.servers {
		if err := failed[server]; err != nil {
			x := m.of(c, server)
			fmt.Fprintf(c.markdown, "| %s | %d | %d | %s | failed: %s |\n", m.load, x.routes, x.clients, server, strings.ReplaceAll(err.Error(), "|", "/"))
		}
	}
	return nil
}

func lengths(list [][]bench.Result) (all []int) {
	for _, x := range list {
		all = append(all, len(x))
	}
	return all
}

// once plays one run on a new process.
func (c *comparison) once(ctx context.Context, name string, m match) ([]bench.Result, error) {
	server, err := c.start(ctx, name)
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	options := c.options
	options.Routes.Count, options.Clients, options.Duration = m.routes, m.clients, m.last
	for _, l := range bench.Loads() {
		if l.Name == m.load {
			return l.Run(ctx, server, options)
		}
	}
	return nil, fmt.Errorf("there is no load %q", m.load)
}

const header = `| load | routes | clients | server | time s | deliveries/s | CPU s | CPU-s/M deliveries | x bare | RSS MB (grew) | sockets MB | each p50 / p99 / max ms | lost |
|--|--|--|--|--|--|--|--|--|--|--|--|--|`

// line writes a result. floor is the bare writer's, nil if it has none.
func line(server string, r, floor *bench.Result) string {
	perMillion, times := "-", "-"
	if r.Deliveries > 0 {
		perMillion = fmt.Sprintf("%.3f", r.PerMillion())
		if floor != nil && floor.PerMillion() > 0 {
			times = fmt.Sprintf("%.1f", r.PerMillion()/floor.PerMillion())
		}
	}
	grew := fmt.Sprintf("%.1f", float64(r.Growth)/1e6)
	switch r.Load {
	case "memory":
		grew = fmt.Sprintf("%.0f B/route", r.PerRoute())
	case "idle":
		grew = fmt.Sprintf("%.1f kB/session", r.PerClient()/1e3)
	}
	each := "-"
	if r.Each.Max > 0 {
		each = fmt.Sprintf("%.3g / %.3g / %.3g", r.Each.P50*1e3, r.Each.P99*1e3, r.Each.Max*1e3)
	}
	return fmt.Sprintf("| %s: %s | %d | %d | %s | %.2f | %.0f | %.2f | %s | %s | %.1f (%s) | %.1f | %s | %d |",
		r.Load, r.Phase, r.Routes, r.Clients, server, r.Wall, r.Rate(), r.CPU, perMillion, times,
		float64(r.RSS)/1e6, grew, float64(r.Sockets)/1e6, each, r.Lost)
}
