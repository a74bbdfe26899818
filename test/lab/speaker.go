package lab

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Speaker is a BGP EVPN speaker made of GoBGP's library.
type Speaker struct {
	*steered
	mu     sync.Mutex
	paths  map[string]Path   // guarded by mu; what neighbours say, by key
	heard  int               // guarded by mu; paths announced and withdrawn
	states map[string]string // guarded by mu; by neighbour
}

// Path is an EVPN route as a neighbour sent it.
type Path struct {
	Peer    string
	Type    int // EVPN route type: 2, 5
	RD      string
	Prefix  string // type 2: the address
	Label   uint32
	Gateway string // "" if zero
	Tag     uint32
	NextHop string
	ASPath  string
	Ext     []string // extended communities in GoBGP's words, sorted
}

// Has reports whether the path carries an extended community.
func (p Path) Has(community string) bool { return slices.Contains(p.Ext, community) }

// Speaker starts a speaker. Neighbours are ADDRESS=AS,...; it waits for them to
// connect.
func (n *Node) Speaker(asn uint32, id, neighbors string, args ...string) *Speaker {
	n.t.Helper()
	s := &Speaker{paths: make(map[string]Path), states: make(map[string]string)}
	args = append([]string{"-asn", fmt.Sprint(asn), "-router-id", id, "-neighbors", neighbors}, args...)
	s.steered = n.steer(s.hear, "speaker", args...)
	return s
}

func (s *Speaker) hear(line []byte) error {
	var r struct {
		Event, State string
		Path
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("%s %d %s %s", r.Peer, r.Type, r.RD, r.Prefix)
	switch r.Event {
	case "add":
		s.heard++
		s.paths[key] = r.Path
	case "remove":
		s.heard++
		delete(s.paths, key)
	case "state":
		s.states[r.Peer] = r.State
	}
	return nil
}

// Paths returns what the neighbours say now, sorted by prefix, peer and RD.
func (s *Speaker) Paths() []Path {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Path, 0, len(s.paths))
	for _, p := range s.paths {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Path) int {
		return strings.Compare(a.Prefix+" "+a.Peer+" "+a.RD, b.Prefix+" "+b.Peer+" "+b.RD)
	})
	return list
}

// Prefixes returns the prefixes of all paths, sorted, each once.
func (s *Speaker) Prefixes() []string {
	var list []string
	for _, p := range s.Paths() {
		list = append(list, p.Prefix)
	}
	return slices.Compact(list)
}

// Count returns the number of paths.
func (s *Speaker) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.paths)
}

// Heard returns how many paths were announced and withdrawn so far.
func (s *Speaker) Heard() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
}

// WaitEstablished waits for the session with a neighbour.
func (s *Speaker) WaitEstablished(peer string, within time.Duration) {
	s.t.Helper()
	s.WaitState(peer, "ESTABLISHED", within)
}

// WaitState waits for a session's state, in GoBGP's words.
func (s *Speaker) WaitState(peer, state string, within time.Duration) {
	s.t.Helper()
	Eventually(s.t, within, s.Name, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !strings.Contains(strings.ToUpper(s.states[peer]), state) {
			return fmt.Errorf("session with %s is %q, not %s", peer, s.states[peer], state)
		}
		return nil
	})
}

// WaitPrefixes waits until the neighbours announce exactly these prefixes.
func (s *Speaker) WaitPrefixes(within time.Duration, want ...string) {
	s.t.Helper()
	Eventually(s.t, within, "table of "+s.Name, func() error { return Differ(s.Prefixes(), want) })
}

// WaitCount waits until there are this many paths.
func (s *Speaker) WaitCount(within time.Duration, want int) {
	s.t.Helper()
	Eventually(s.t, within, "table of "+s.Name, func() error {
		if got := s.Count(); got != want {
			return fmt.Errorf("%d paths, want %d", got, want)
		}
		return nil
	})
}
