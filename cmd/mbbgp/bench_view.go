package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"mbbgp/plugin/metalbond/bench"
)

// benchView shows on a terminal how far a load is: one line, drawn anew.
type benchView struct {
	out  io.Writer // nil: nobody looks
	load string
	run  int
	runs int

	last       time.Time
	deliveries uint64
}

func newBenchView(out io.Writer, load string, runs int) *benchView {
	if !isTerminal(out) {
		out = nil
	}
	return &benchView{out: out, load: load, runs: runs}
}

func (v *benchView) progress(what string, deliveries uint64) {
	now := time.Now()
	took := now.Sub(v.last)
	if v.out == nil || took < 200*time.Millisecond {
		return
	}
	rate := max(float64(deliveries)-float64(v.deliveries), 0) / took.Seconds()
	v.last, v.deliveries = now, deliveries
	printf(v.out, "\r\x1b[K%s, run %d of %d: %s, %s updates heard, %s/s", v.load, v.run, v.runs, what, short(float64(deliveries)), short(rate))
}

func (v *benchView) clear() {
	if v.out != nil {
		printf(v.out, "\r\x1b[K")
	}
}

// benchJSON is what -j prints.
type benchJSON struct {
	Runs   [][]bench.Result `json:"runs"`
	Median []bench.Result   `json:"median"`
}

func printBenchJSON(w io.Writer, runs [][]bench.Result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(benchJSON{runs, bench.Median(runs)})
}

// printBench prints the medians of all runs, a phase a line.
func printBench(w io.Writer, runs [][]bench.Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printf(t, "PHASE\tROUTES\tCLIENTS\tTIME\tDELIVERIES\tPER SECOND\tSERVER CPU\tPER MILLION\tMEMORY\tGREW\tP50\tP99\tMAX\tLOST\n")
	for _, r := range bench.Median(runs) {
		cpu, perMillion, rss, growth := "-", "-", "-", "-"
		if r.RSS > 0 {
			cpu, rss, growth = fmt.Sprintf("%.2f s", r.CPU), size(r.RSS), size(r.Growth)
			if r.Deliveries > 0 {
				perMillion = fmt.Sprintf("%.3f s", r.PerMillion())
			}
		}
		each := [3]string{"-", "-", "-"}
		if r.Each.Max > 0 {
			for i, s := range []bench.Seconds{r.Each.P50, r.Each.P99, r.Each.Max} {
				each[i] = duration(time.Duration(float64(s) * float64(time.Second)))
			}
		}
		printf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n",
			r.Phase, short(float64(r.Routes)), r.Clients, duration(time.Duration(float64(r.Wall)*float64(time.Second))),
			short(float64(r.Deliveries)), short(r.Rate()), cpu, perMillion, rss, growth, each[0], each[1], each[2], r.Lost)
	}
	return t.Flush()
}

// short writes a number with its thousands or millions.
func short(n float64) string {
	switch {
	case n >= 1e7:
		return fmt.Sprintf("%.1fM", n/1e6)
	case n >= 1e6:
		return fmt.Sprintf("%.2fM", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.0fk", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}

// size writes bytes.
func size(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
