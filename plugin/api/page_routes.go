package api

// A search looks at a whole table only as long as it has found too little, and
// never for longer than the page's patience: a million routes take about a second
// of one processor. It holds no lock while it does.

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	pb "mbbgp/plugin/api/v1"
	"mbbgp/rib"
)

const (
	maxFound = 100 // routes in an answer
	maxQuery = 200 // bytes of a question
	rest     = 256 // routes between looks at the clock
)

// query is what is looked for: an address or a prefix, or else some text.
type query struct {
	vnis   []rib.VNI // nil: all
	prefix netip.Prefix
	text   string // in lower case; "": everything
}

// parseQuery reads the fields q and vni.
func parseQuery(v url.Values) (q query, err error) {
	text := strings.TrimSpace(v.Get("q"))
	if len(text) > maxQuery {
		return q, fmt.Errorf("q: %d bytes are too long (at most %d)", len(text), maxQuery)
	}
	if vni := v.Get("vni"); vni != "" {
		n, err := ParseVNI(vni)
		if err != nil {
			return q, fmt.Errorf("vni: %w", err)
		}
		q.vnis = []rib.VNI{n}
	}
	q.text = strings.ToLower(text)
	if p, err := netip.ParsePrefix(text); err == nil && !p.Addr().Is4In6() {
		q.prefix = p.Masked()
	} else if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" && !a.Is4In6() {
		q.prefix = netip.PrefixFrom(a, a.BitLen())
	}
	return q, nil
}

// explainQuestion reads the fields vni and prefix.
func explainQuestion(v url.Values) (*pb.ExplainRequest, error) {
	vni, err := ParseVNI(v.Get("vni"))
	if err != nil {
		return nil, fmt.Errorf("vni: %w", err)
	}
	return &pb.ExplainRequest{Vni: uint32(vni), Prefix: v.Get("prefix")}, nil
}

// matches reports whether a route is what is looked for. To a prefix these are
// the routes inside it, and next hops there; those around it are found without
// looking at all.
func (q *query) matches(r *rib.RouteInfo) bool {
	if q.prefix.IsValid() {
		return within(r.Prefix, q.prefix) || q.prefix.Contains(r.NextHop.Target)
	}
	if q.text == "" || strings.Contains(r.Prefix.String(), q.text) ||
		strings.Contains(r.NextHop.Target.String(), q.text) || strings.Contains(r.NextHop.Type.String(), q.text) {
		return true
	}
	return slices.ContainsFunc(r.Claims, func(c rib.Claim) bool {
		return strings.Contains(strings.ToLower(c.Name), q.text) || strings.Contains(c.Source.String(), q.text)
	})
}

// found is the answer to a search.
type found struct {
	Rows    []json.RawMessage `json:"rows"`    // by VNI and prefix
	More    bool              `json:"more"`    // there are more than these
	Partial bool              `json:"partial"` // it took too long; not all routes were looked at
}

// hit is a route that was found.
type hit struct {
	vni rib.VNI
	rib.RouteInfo
}

// routes answers api/routes.
func (p *statusPage) routes(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		writeProblem(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), p.patience)
	defer cancel()
	select {
	case p.searching <- struct{}{}:
		defer func() { <-p.searching }()
	case <-ctx.Done():
		writeProblem(w, http.StatusServiceUnavailable, fmt.Sprintf("%d others search at this moment", maxSearches))
		return
	}
	ctx, cancel = context.WithTimeout(r.Context(), p.patience)
	defer cancel()
	writeAnswer(w, http.StatusOK, encoded(p.state.search(ctx, q)))
}

// search looks until it has found enough or ctx ends.
func (s *State) search(ctx context.Context, q query) found {
	var hits []hit
	if q.vnis == nil {
		q.vnis = s.vnis()
	}
	answer := found{Rows: []json.RawMessage{}}
	if s.Table == nil {
		return answer
	}
	looked := 0
	goOn := func() bool {
		looked++
		answer.Partial = answer.Partial || looked%rest == 0 && ctx.Err() != nil
		answer.More = answer.More || len(hits) > maxFound
		return !answer.Partial && !answer.More
	}
	for bits := q.prefix.Bits() - 1; bits >= 0 && goOn(); bits-- {
		around := netip.PrefixFrom(q.prefix.Addr(), bits).Masked()
		for _, vni := range q.vnis {
			for _, info := range s.Table.Lookup(vni, around) {
				hits = append(hits, hit{vni, info})
			}
		}
	}
	for _, vni := range q.vnis {
		s.Table.Walk(vni, func(info rib.RouteInfo) bool {
			around := q.prefix.IsValid() && info.Prefix.Bits() < q.prefix.Bits() && within(q.prefix, info.Prefix)
			if !around && q.matches(&info) {
				hits = append(hits, hit{vni, info})
			}
			return goOn()
		})
	}
	slices.SortFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(a.vni, b.vni), a.Prefix.Addr().Compare(b.Prefix.Addr()), a.Prefix.Bits()-b.Prefix.Bits(), compareHops(a.NextHop, b.NextHop))
	})
	for _, h := range hits[:min(len(hits), maxFound)] {
		answer.Rows = append(answer.Rows, JSON(routeMessage(h.vni, &h.RouteInfo)))
	}
	return answer
}
