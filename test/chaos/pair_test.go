package chaos

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mbbgp/test/lab"
)

var page = flag.String("table", "", "harm all four of all pairs, and write times into this `FILE`")

// pairs are the combinations of two servers and two bridges that have one
// gateway address; with half of them every kind is there once.
var pairs = []setting{
	{anycast: true},
	{anycast: true, stock: [2]bool{true, false}},
	{anycast: true, single: true, stock: [2]bool{true, true}},
	{anycast: true, stock: [2]bool{true, true}},
	{anycast: true, single: true},
	{anycast: true, single: true, stock: [2]bool{true, false}},
}

// Of two servers and two bridges each is killed, frozen and cut off in turn.
// What a path offers that is not hurt is never withdrawn from anybody, and what
// nobody offers any more goes.
func TestPairKeepsWhatALivingPathOffers(t *testing.T) {
	var mu sync.Mutex
	rows := make(map[setting][]string)
	t.Cleanup(func() {
		if *page == "" || t.Failed() {
			return
		}
		text := pageHead
		for _, s := range pairs {
			text += strings.Join(rows[s], "")
		}
		if err := os.WriteFile(*page, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	})
	some := pairs
	if *page == "" {
		some = pairs[:len(pairs)/2]
	}
	for _, s := range some {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s)
			for i, h := range w.hypervisors[:2] {
				say(h, h.announced, fmt.Sprintf("10.1.%d.0/24", i+1), fmt.Sprintf("fd00:1:%d::/64", i+1))
			}
			say(w.fabric, w.fabric.announced, "10.9.1.0/24", "fd00:9:1::/64")
			w.check()
			victims := []*part{&w.servers[0].part, &w.bridges[0].part}
			if *page != "" {
				victims = append(victims, &w.servers[1].part, &w.bridges[1].part)
			}
			for _, victim := range victims {
				for _, how := range []condition{dead, frozen, apart} {
					row := w.hurt(victim, how)
					t.Log(row)
					mu.Lock()
					rows[s] = append(rows[s], fmt.Sprintf("| %v %s", s, row))
					mu.Unlock()
				}
			}
		})
	}
}

// say lets a part announce prefixes.
func say(v voice, announced map[string]bool, prefixes ...string) {
	for _, p := range prefixes {
		announced[p] = true
	}
	v.announce(prefixes...)
}

const pageHead = `# Convergence of pairs

Two bridges with one gateway address between a GoBGP fabric and two MetalBond
servers, of which one or both are metalbond's; hypervisors are clients of both
servers, bridges of both or of one each. Each of the four is killed (-9), frozen
(SIGSTOP) and cut off in turn. Keepalives of MetalBond are 1 s (silence of 2.5 s
ends a session), BGP's hold time is 6 s; clients come back after 5 s to 10 s. A
machine of two cores that other tests used as well; made by

    go test ./test/chaos -run Pair -timeout 0 -table ../CONVERGENCE.md

"Right" is when no table of a hypervisor, of the fabric and of a bridge's kernel
has a route too much or too few. "Lost" are routes that a hypervisor or the
fabric was without at any moment although a path that was not hurt offered them.

| pair | hurt | right after | lost | made whole, right after | lost |
|---|---|--:|--:|--:|--:|
`

// hurt harms a part, makes it whole again, and returns how long it took until
// all was right both times, as columns of a table.
func (w *world) hurt(victim *part, how condition) string {
	w.t.Helper()
	columns := []string{fmt.Sprintf("| %s %v", victim.name, how)}
	for _, act := range []func(){victim.becomes(how).do, func() { w.repairs()[0].do() }} {
		watch := w.watch()
		begun := time.Now()
		act()
		w.compare()
		right := time.Since(begun)
		lab.Settled(w.t, 3*time.Second, patience, "number of messages", w.heard)
		if w.differs() != nil { // what was found right was so by chance, before anybody had noticed
			w.compare()
			right = time.Since(begun)
		}
		lost := watch.end()
		if len(lost) > 0 {
			w.t.Errorf("%s %v: %v", victim.name, how, lost)
		}
		columns = append(columns, fmt.Sprintf("%.1f s | %d", right.Seconds(), len(lost)))
	}
	return strings.Join(columns, " | ") + " |\n"
}

// watch looks for routes that are lost.
type watch struct {
	w     *world
	told  map[*stockClient]map[string]int // how long the story of a prefix was
	known []string                        // prefixes that the fabric has
	stop  chan struct{}
	ended chan []string
}

func (w *world) watch() *watch {
	x := &watch{w, make(map[*stockClient]map[string]int), nil, make(chan struct{}), make(chan []string)}
	for _, h := range w.hypervisors {
		if c, stock := h.client.(*stockClient); stock {
			x.told[c] = make(map[string]int)
			for _, r := range c.Routes() {
				x.told[c][storied(r)] = len(c.Story(storied(r)))
			}
		}
	}
	speaker := w.fabric.speaker.(gobgpSpeaker)
	x.known = speaker.Prefixes()
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		var lost []string
		for {
			select {
			case <-x.stop:
				x.ended <- lost
				return
			case <-tick.C:
			}
			now := speaker.Prefixes()
			for _, prefix := range x.known {
				if text := "fabric: " + prefix; !slices.Contains(now, prefix) && !slices.Contains(lost, text) {
					lost = append(lost, text)
				}
			}
		}
	}()
	return x
}

// storied is the name of a route's prefix in stories: VNI#PREFIX.
func storied(route string) string { return route[:strings.LastIndex(route, "#")] }

// end returns what was lost since.
func (x *watch) end() []string {
	close(x.stop)
	lost := <-x.ended
	for c, prefixes := range x.told {
		for prefix, before := range prefixes {
			story := strings.Fields(c.Story(prefix))
			copies := 0
			for i, n := 0, 0; i < len(story); i++ {
				n += len(story[i]) + 1
				if copies += map[byte]int{'+': 1, '-': -1}[story[i][0]]; copies == 0 && n > before {
					lost = append(lost, fmt.Sprintf("%s: %s: %v", c.h.name, prefix, story))
					break
				}
			}
		}
	}
	return lost
}
