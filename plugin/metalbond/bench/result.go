package bench

import (
	"cmp"
	"slices"
	"time"
)

// Result is what one phase of a load took. Of a server whose process is not
// known, CPU and memory are 0.
type Result struct {
	Load    string `json:"load"`    // "fanout"
	Phase   string `json:"phase"`   // "announce"
	Routes  int    `json:"routes"`  // in the table, or announced again and again
	Clients int    `json:"clients"` // that are told

	Wall       Seconds `json:"seconds"`
	Updates    uint64  `json:"updates"`    // said to the server
	Deliveries uint64  `json:"deliveries"` // heard from it

	CPU     Seconds `json:"cpuSeconds"` // the server's, user and system
	RSS     int64   `json:"rss"`        // bytes, resident, behind the phase
	Growth  int64   `json:"rssGrowth"`  // bytes, since before it
	Peak    int64   `json:"rssPeak"`    // bytes, since the server began
	Sockets int64   `json:"sockets"`    // bytes in TCP's buffers, most of both ends

	// Each is how long each client waited until it knew everything; for
	// latency, how long each route took.
	Each Spread `json:"each"`

	Lost  int `json:"lost"`  // sessions that the server ended
	Wrong int `json:"wrong"` // clients that know something wrong in the end
}

// use notes what the server used.
func (r *Result) use(before, after usage) {
	r.CPU = seconds(after.cpu - before.cpu)
	r.RSS, r.Growth, r.Peak = after.rss, after.rss-before.rss, after.peak
}

// Seconds is a time in seconds.
type Seconds float64

// Spread is a distribution.
type Spread struct {
	P50 Seconds `json:"p50"`
	P99 Seconds `json:"p99"`
	Max Seconds `json:"max"`
}

func seconds(d time.Duration) Seconds { return Seconds(d.Seconds()) }

// spread sorts the list.
func spread(list []time.Duration) Spread {
	if len(list) == 0 {
		return Spread{}
	}
	slices.Sort(list)
	at := func(percent int) Seconds { return seconds(list[(len(list)-1)*percent/100]) }
	return Spread{at(50), at(99), at(100)}
}

// Rate returns the deliveries per second.
func (r *Result) Rate() float64 { return ratio(float64(r.Deliveries), float64(r.Wall)) }

// PerMillion returns the server's CPU seconds for a million deliveries.
func (r *Result) PerMillion() float64 { return ratio(float64(r.CPU)*1e6, float64(r.Deliveries)) }

// PerRoute returns the bytes that a route made the server grow by.
func (r *Result) PerRoute() float64 { return ratio(float64(r.Growth), float64(r.Routes)) }

// PerClient returns the bytes that a client made the server grow by.
func (r *Result) PerClient() float64 { return ratio(float64(r.Growth), float64(r.Clients)) }

// ratio returns 0 where there is nothing to divide by.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Median returns the median of each figure of each phase. Every run has the
// same phases.
func Median(runs [][]Result) []Result {
	if len(runs) == 0 {
		return nil
	}
	list := slices.Clone(runs[0])
	for i := range list {
		r := &list[i]
		of := func(run int) *Result { return &runs[run][i] }
		r.Wall = median(len(runs), func(n int) Seconds { return of(n).Wall })
		r.Updates = median(len(runs), func(n int) uint64 { return of(n).Updates })
		r.Deliveries = median(len(runs), func(n int) uint64 { return of(n).Deliveries })
		r.CPU = median(len(runs), func(n int) Seconds { return of(n).CPU })
		r.RSS = median(len(runs), func(n int) int64 { return of(n).RSS })
		r.Growth = median(len(runs), func(n int) int64 { return of(n).Growth })
		r.Peak = median(len(runs), func(n int) int64 { return of(n).Peak })
		r.Sockets = median(len(runs), func(n int) int64 { return of(n).Sockets })
		r.Each.P50 = median(len(runs), func(n int) Seconds { return of(n).Each.P50 })
		r.Each.P99 = median(len(runs), func(n int) Seconds { return of(n).Each.P99 })
		r.Each.Max = median(len(runs), func(n int) Seconds { return of(n).Each.Max })
		r.Lost = median(len(runs), func(n int) int { return of(n).Lost })
		r.Wrong = median(len(runs), func(n int) int { return of(n).Wrong })
	}
	return list
}

// median returns the upper one of the two in the middle of an even number.
func median[T cmp.Ordered](n int, at func(int) T) T {
	list := make([]T, n)
	for i := range list {
		list[i] = at(i)
	}
	slices.Sort(list)
	return list[n/2]
}
