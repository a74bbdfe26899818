package api

// The inspections answer with JSON whose types are here; the command
// line reads the same types back. Every list is there, if only as [].

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"mbbgp/rib"
)

// The paths of the inspections.
const (
	ExplainPath   = "/explain.json"
	PolicyPath    = "/policy.json"
	NeighborsPath = "/neighbors.json"
)

// Explanation is what there is of a prefix in a VNI, on both sides, and what
// the policy between them says of each.
type Explanation struct {
	VNI        rib.VNI        `json:"vni"`
	Configured bool           `json:"configured"`         // otherwise the VNI is MetalBond's only
	NotAsked   bool           `json:"notAsked,omitempty"` // nobody reads the VNI, and neighbors send only what they are asked for
	Prefix     netip.Prefix   `json:"prefix"`
	Originated *Originated    `json:"originated,omitempty"` // if the VNI originates it toward hypervisors
	Aggregate  *Aggregate     `json:"aggregate,omitempty"`  // if it is an aggregate of the VNI
	NextHops   []ExplainedHop `json:"nextHops"`             // in the table, MetalBond's side
	Paths      []ExplainedBGP `json:"paths"`                // in BGP
	Kernel     *KernelRoute   `json:"kernel,omitempty"`     // if the VNI has a table there
}

// Originated is a prefix that a VNI originates toward hypervisors.
type Originated struct {
	Present bool `json:"present"` // hypervisors have it
	Offers  int  `json:"offers"`  // BGP routes that offer it; 0 while it is present: it is in its hold-down
}

// Aggregate is an aggregate of a VNI.
type Aggregate struct {
	Exported     bool `json:"exported"`
	Contributors int  `json:"contributors"` // exportable prefixes inside it
}

// ExplainedHop is a next hop in the table.
type ExplainedHop struct {
	Target    netip.Addr `json:"target"`
	TargetVNI rib.VNI    `json:"targetVNI,omitempty"` // 0: the VNI itself
	Type      string     `json:"type"`
	NATFrom   uint16     `json:"natFrom,omitempty"`
	NATTo     uint16     `json:"natTo,omitempty"`
	Visible   bool       `json:"visible"` // no next hop of its type is preferred
	Claims    []Claim    `json:"claims"`
	Export    Verdict    `json:"export"`
}

// Claim is who announces a next hop.
type Claim struct {
	Source     string `json:"source"`
	Name       string `json:"name"`
	Preference int    `json:"preference"`
}

// ExplainedBGP is a BGP path of the prefix.
type ExplainedBGP struct {
	Kind             string     `json:"kind"`
	NLRI             string     `json:"nlri"`
	Neighbor         netip.Addr `json:"neighbor,omitzero"` // absent: it is our own
	Best             bool       `json:"best"`
	Stale            bool       `json:"stale,omitempty"`
	Since            time.Time  `json:"since,omitzero"`
	NextHop          netip.Addr `json:"nextHop"`
	Label            uint32     `json:"label"`
	SID              netip.Addr `json:"sid,omitzero"`
	RouteTargets     []string   `json:"routeTargets,omitempty"`
	SiteOfOrigin     []string   `json:"siteOfOrigin,omitempty"`
	Communities      []string   `json:"communities,omitempty"`
	LargeCommunities []string   `json:"largeCommunities,omitempty"`
	DPath            []string   `json:"dPath,omitempty"`
	LocalPreference  *uint32    `json:"localPreference,omitempty"`
	MED              *uint32    `json:"med,omitempty"`
	Import           []Verdict  `json:"import"` // of the VNI, or of the path as a whole; none of our own
}

// Verdict is what a policy says.
type Verdict struct {
	Accepted bool   `json:"accepted"`
	NextHop  string `json:"nextHop,omitempty"` // that it gets on the other side, if it is accepted; "self" is our address of each session
	Via      string `json:"via,omitempty"`     // where the kernel sends packets on that come to this gateway
	Reason   string `json:"reason,omitempty"`  // why it is not
	Detail   string `json:"detail,omitempty"`  // for people
}

// PolicyRule is a rule of a VNI with what it did since the start.
type PolicyRule struct {
	VNI       rib.VNI `json:"vni"`
	Direction string  `json:"direction"` // import or export
	Name      string  `json:"name"`
	When      string  `json:"when"` // for people, as are the next two
	Set       string  `json:"set"`
	Then      string  `json:"then"`
	Matched   uint64  `json:"matched"`
	Refused   uint64  `json:"refused"`
}

// explain answers GET /explain.json?vni=N&prefix=P. One at a time: each may
// copy the tables of BGP.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	vni, prefix, err := explainQuery(r.URL.RawQuery)
	if err != nil {
		answer(w, http.StatusBadRequest, problem{err.Error()})
		return
	}
	if s.state.Explain == nil {
		answer(w, http.StatusNotFound, problem{"there is nothing to explain"})
		return
	}
	s.explaining.Lock()
	defer s.explaining.Unlock()
	e, err := s.state.Explain(vni, prefix)
	if err != nil {
		answer(w, http.StatusServiceUnavailable, problem{err.Error()})
		return
	}
	answer(w, http.StatusOK, e)
}

func (s *Server) policy(w http.ResponseWriter, r *http.Request) {
	rules := []PolicyRule{}
	if s.state.Policy != nil {
		rules = append(rules, s.state.Policy()...)
	}
	plainAnswer(w, r, rules)
}

func (s *Server) neighbors(w http.ResponseWriter, r *http.Request) {
	neighbors := []Neighbor{}
	if s.state.Neighbors != nil {
		neighbors = append(neighbors, s.state.Neighbors()...)
	}
	plainAnswer(w, r, neighbors)
}

// plainAnswer answers a request that has no parameters.
func plainAnswer(w http.ResponseWriter, r *http.Request, v any) {
	if _, err := query(r.URL.RawQuery); err != nil {
		answer(w, http.StatusBadRequest, problem{err.Error()})
		return
	}
	answer(w, http.StatusOK, v)
}

// problem is the answer to a request that cannot be met.
type problem struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the reader went away
}

// explainQuery reads the parameters of /explain.json.
func explainQuery(raw string) (vni rib.VNI, p netip.Prefix, err error) {
	q, err := query(raw, "vni", "prefix")
	if err != nil {
		return 0, p, err
	}
	if vni, err = ParseVNI(q["vni"]); err != nil {
		return 0, p, fmt.Errorf("vni: %w", err)
	}
	if p, err = ParsePrefix(q["prefix"]); err != nil {
		return 0, p, fmt.Errorf("prefix: %w", err)
	}
	return vni, p, nil
}

// query reads a query of exactly these parameters.
func query(raw string, names ...string) (map[string]string, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, err
	}
	q := make(map[string]string, len(names))
	for name, list := range values {
		switch {
		case len(names) == 0:
			return nil, fmt.Errorf("%q: unknown parameter, there are none", name)
		case !slices.Contains(names, name):
			return nil, fmt.Errorf("%q: unknown parameter, want %s", name, strings.Join(names, " and "))
		case len(list) > 1:
			return nil, fmt.Errorf("%s: %q and %q, want one", name, list[0], list[1])
		}
		q[name] = list[0]
	}
	return q, nil
}

// ParseVNI reads a VNI. The error says what s is and what is allowed.
func ParseVNI(s string) (rib.VNI, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is not a VNI (0 to 4294967295)", s)
	}
	return rib.VNI(n), nil
}

// ParsePrefix reads a prefix, or an address as that host's prefix. The error
// says what s is and what is allowed.
func ParsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		return p, fmt.Errorf("%q is not a prefix, such as 10.1.0.0/24 or 2001:db8::/32", s)
	case p != p.Masked():
		return p, fmt.Errorf("%s has bits behind its length, want %v", s, p.Masked())
	}
	return p, nil
}

// Problem returns what the answer to a failed request says.
func Problem(body []byte) error {
	var p problem
	if err := json.Unmarshal(body, &p); err != nil || p.Error == "" {
		return errors.New(strings.TrimSpace(string(body)))
	}
	return errors.New(p.Error)
}
