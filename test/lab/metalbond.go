package lab

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Hypervisor is a MetalBond client (or server) made of the stock library.
type Hypervisor struct {
	*steered
	mu         sync.Mutex
	routes     map[string]int    // guarded by mu; route -> how many peers say it
	heard      int               // guarded by mu; announcements and withdrawals
	duplicates int               // guarded by mu; announcements of what was there
	states     map[string]string // guarded by mu; by peer
	sessions   map[string]int    // guarded by mu; how often one was established, by peer
	story      map[string]string // guarded by mu; what was told, in order, by VNI and prefix
}

// Hypervisor starts a client without servers; commands connect it.
func (n *Node) Hypervisor(args ...string) *Hypervisor {
	n.t.Helper()
	h := &Hypervisor{
		routes: make(map[string]int), states: make(map[string]string), sessions: make(map[string]int),
		story: make(map[string]string),
	}
	h.steered = n.steer(h.hear, "hypervisor", args...)
	return h
}

func (h *Hypervisor) hear(line []byte) error {
	var r struct{ Event, Route, Peer, State string }
	if err := json.Unmarshal(line, &r); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch r.Event {
	case "add":
		h.heard++
		h.routes[r.Route]++
		h.tell("+", r.Route)
	case "remove":
		h.heard++
		h.tell("-", r.Route)
		h.routes[r.Route]--
		if h.routes[r.Route] <= 0 {
			delete(h.routes, r.Route)
		}
	case "duplicate":
		h.duplicates++
	case "state":
		h.states[r.Peer] = r.State
		if r.State == "ESTABLISHED" {
			h.sessions[r.Peer]++
		}
	}
	return nil
}

// tell adds to the story of a prefix.
func (h *Hypervisor) tell(sign, route string) {
	end := strings.LastIndex(route, "/")
	end += strings.Index(route[end:], "#")
	h.story[route[:end]] += sign + route[end+1:] + " "
}

// Story returns all that was told of a prefix ("200#10.0.0.0/8") in order, such
// as "+2001:db8::a -2001:db8::a".
func (h *Hypervisor) Story(prefix string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.TrimSpace(h.story[prefix])
}

// Routes returns the present table, sorted.
func (h *Hypervisor) Routes() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]string, 0, len(h.routes))
	for r := range h.routes {
		list = append(list, r)
	}
	slices.Sort(list)
	return list
}

// Holds returns an error unless the route is in the table.
func (h *Hypervisor) Holds(route string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.routes[route] == 0 {
		return fmt.Errorf("%s is not there", route)
	}
	return nil
}

// Count returns the number of routes in the table.
func (h *Hypervisor) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.routes)
}

// Heard returns how many announcements and withdrawals have come so far.
func (h *Hypervisor) Heard() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.heard + h.duplicates
}

// Duplicates returns how many announcements were of a route that the same peer
// had announced already.
func (h *Hypervisor) Duplicates() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.duplicates
}

// Sessions returns how often a session with the peer was established.
func (h *Hypervisor) Sessions(peer string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[peer]
}

// Connect adds servers and waits for the sessions.
func (h *Hypervisor) Connect(servers ...string) {
	h.t.Helper()
	for _, s := range servers {
		h.Do("connect %s", s)
	}
	for _, s := range servers {
		h.WaitState(s, "ESTABLISHED", 20*time.Second)
	}
}

// WaitState waits for a session's state, in the library's words.
func (h *Hypervisor) WaitState(peer, state string, within time.Duration) {
	h.t.Helper()
	Eventually(h.t, within, h.Name, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.states[peer] != state {
			return fmt.Errorf("session with %s is %q, not %s", peer, h.states[peer], state)
		}
		return nil
	})
}

// WaitRoutes waits until the table is exactly this.
func (h *Hypervisor) WaitRoutes(within time.Duration, want ...string) {
	h.t.Helper()
	Eventually(h.t, within, "table of "+h.Name, func() error { return Differ(h.Routes(), want) })
}

// WaitCount waits until the table has this many routes.
func (h *Hypervisor) WaitCount(within time.Duration, want int) {
	h.t.Helper()
	Eventually(h.t, within, "table of "+h.Name, func() error {
		if got := h.Count(); got != want {
			return fmt.Errorf("%d routes, want %d", got, want)
		}
		return nil
	})
}

// MetalBond is a stock MetalBond program with its page of routes, or mbbgp
// standing in for one.
type MetalBond struct {
	*Process
	node *Node
	http string
}

// MetalBondServer starts the stock server on [::]:4711, its routes on
// [::]:4712.
func (n *Node) MetalBondServer(args ...string) *MetalBond {
	n.t.Helper()
	args = append([]string{"server", "--listen", "[::]:4711", "--http", "[::]:4712"}, args...)
	m := &MetalBond{n.Start(Program("metalbond"), args...), n, "http://[::1]:4712"}
	m.WaitLog("Listening on", 10*time.Second)
	return m
}

// MetalBondClient starts the stock client of some servers, its routes on
// [::]:4713.
func (n *Node) MetalBondClient(args ...string) *MetalBond {
	n.t.Helper()
	args = append([]string{"client", "--http", "[::]:4713"}, args...)
	return &MetalBond{n.Start(Program("metalbond"), args...), n, "http://[::1]:4713"}
}

// Routes fetches the program's table, in the form that Hypervisor.Routes has.
func (m *MetalBond) Routes() ([]string, error) {
	body, err := m.node.Get(m.http + "/routes.json")
	if err != nil {
		return nil, err
	}
	var page struct {
		VNet map[string]map[string][]struct {
			TargetAddress    string
			TargetVNI        uint32
			Type             int
			NATPortRangeFrom uint16
			NATPortRangeTo   uint16
		} `json:"vnet"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, fmt.Errorf("%w in %s", err, body)
	}
	var list []string
	for vni, destinations := range page.VNet {
		for text, hops := range destinations {
			var d struct{ Prefix string } // a key that is JSON itself
			if err := json.Unmarshal([]byte(text), &d); err != nil {
				return nil, fmt.Errorf("%w in %s", err, text)
			}
			for _, h := range hops {
				s := vni + "#" + d.Prefix + "#" + h.TargetAddress
				switch h.Type {
				case 1:
					s += fmt.Sprintf("#NAT#%d#%d", h.NATPortRangeFrom, h.NATPortRangeTo)
				case 2:
					s += "#LB"
				}
				if h.TargetVNI != 0 {
					s += fmt.Sprintf("@%d", h.TargetVNI)
				}
				list = append(list, s)
			}
		}
	}
	slices.Sort(list)
	return list, nil
}

// WaitRoutes waits until the table is exactly this.
func (m *MetalBond) WaitRoutes(within time.Duration, want ...string) {
	m.t.Helper()
	Eventually(m.t, within, "routes of "+m.Name, func() error {
		got, err := m.Routes()
		if err != nil {
			return err
		}
		return Differ(got, want)
	})
}

// WaitCount waits until the table has this many routes.
func (m *MetalBond) WaitCount(within time.Duration, want int) {
	m.t.Helper()
	Eventually(m.t, within, "routes of "+m.Name, func() error {
		got, err := m.Routes()
		if err != nil {
			return err
		}
		if len(got) != want {
			return fmt.Errorf("%d routes, want %d", len(got), want)
		}
		return nil
	})
}

// Holds returns an error unless all these are among the program's routes.
func (m *MetalBond) Holds(want ...string) error {
	got, err := m.Routes()
	if err != nil {
		return err
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			return fmt.Errorf("%s is not among %s", w, few(got))
		}
	}
	return nil
}

// Times returns how often a text is in the log.
func (m *MetalBond) Times(text string) int { return strings.Count(m.Log(), text) }
