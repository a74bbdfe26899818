package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"mbbgp/rib"
)

// searched is the answer to a search, its routes as text.
func searched(t *testing.T, s State, q, vni string) (routes string, answer found) {
	t.Helper()
	w := get(t, s, "/api/routes?"+url.Values{"q": {q}, "vni": {vni}}.Encode())
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%q: %d %s", q, w.Code, w.Body)
	}
	for _, raw := range answer.Rows {
		var r struct {
			VNI     int
			Prefix  string
			NextHop struct{ Target string }
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		routes += fmt.Sprintf("%d %s %s, ", r.VNI, r.Prefix, r.NextHop.Target)
	}
	return routes, answer
}

func TestSearchFindsRoutesByWhatAnOperatorHas(t *testing.T) {
	table := rib.New(rib.Options{})
	add := func(o rib.Origin, vni rib.VNI, prefix, hop string) {
		table.Add(o, rib.Route{VNI: vni, Prefix: netip.MustParsePrefix(prefix), NextHop: target(hop), Preference: rib.Native})
	}
	a := table.NewOrigin(rib.OriginInfo{Source: rib.Client, Name: "[2001:db8::5]:4000"})
	b := table.NewOrigin(rib.OriginInfo{Source: rib.BGP, Name: "<b>Spine</b>"})
	add(a, 200, "10.1.0.7/32", "2001:db8:1::1")
	add(a, 200, "10.1.0.0/16", "2001:db8:1::1")
	add(b, 200, "0.0.0.0/0", "2001:db8:f::200")
	add(a, 7, "10.0.0.0/8", "2001:db8:1::2")
	add(a, 7, "2001:db8:9::/48", "2001:db8:1::2")
	s := State{Table: table}
	for _, row := range []struct{ name, q, vni, want string }{
		{"nothing: all", "", "", "7 10.0.0.0/8 2001:db8:1::2, 7 2001:db8:9::/48 2001:db8:1::2, 200 0.0.0.0/0 2001:db8:f::200, 200 10.1.0.0/16 2001:db8:1::1, 200 10.1.0.7/32 2001:db8:1::1, "},
		{"an address: all that hold it", "10.1.0.7", "", "7 10.0.0.0/8 2001:db8:1::2, 200 0.0.0.0/0 2001:db8:f::200, 200 10.1.0.0/16 2001:db8:1::1, 200 10.1.0.7/32 2001:db8:1::1, "},
		{"an address of a VNI", " 10.1.0.8 ", "200", "200 0.0.0.0/0 2001:db8:f::200, 200 10.1.0.0/16 2001:db8:1::1, "},
		{"a prefix: around and inside", "10.1.0.0/24", "200", "200 0.0.0.0/0 2001:db8:f::200, 200 10.1.0.0/16 2001:db8:1::1, 200 10.1.0.7/32 2001:db8:1::1, "},
		{"a prefix with bits behind its length", "10.1.0.9/16", "200", "200 0.0.0.0/0 2001:db8:f::200, 200 10.1.0.0/16 2001:db8:1::1, 200 10.1.0.7/32 2001:db8:1::1, "},
		{"a next hop", "2001:db8:1::2", "", "7 10.0.0.0/8 2001:db8:1::2, 7 2001:db8:9::/48 2001:db8:1::2, "},
		{"next hops in a prefix", "2001:db8:f::/48", "", "200 0.0.0.0/0 2001:db8:f::200, "},
		{"the beginning of a prefix", "10.1.", "", "200 10.1.0.0/16 2001:db8:1::1, 200 10.1.0.7/32 2001:db8:1::1, "},
		{"who announces it", "spine", "", "200 0.0.0.0/0 2001:db8:f::200, "},
		{"where it comes from", "BGP", "", "200 0.0.0.0/0 2001:db8:f::200, "},
		{"a VNI that is not there", "", "9", ""},
		{"nonsense", "<img src=x>", "", ""},
	} {
		if got, answer := searched(t, s, row.q, row.vni); got != row.want || answer.More || answer.Partial {
			t.Errorf("%s: %s, more %t, partial %t, want %s", row.name, got, answer.More, answer.Partial, row.want)
		}
	}
	for path, want := range map[string]string{
		"?vni=x":                          `{"error":"vni: \"x\" is not a VNI (0 to 4294967295)"}`,
		"?q=" + strings.Repeat("1", 1000): `{"error":"q: 1000 bytes are too long (at most 200)"}`,
	} {
		if w := get(t, s, "/api/routes"+path); w.Code != http.StatusBadRequest || w.Body.String() != want {
			t.Errorf("%.20s: %d %s, want %s", path, w.Code, w.Body, want)
		}
	}
	if got, _ := searched(t, State{}, "10.0.0.0/8", ""); got != "" {
		t.Errorf("without a table: %s", got)
	}
}

func TestSearchOfManyRoutesIsBounded(t *testing.T) {
	const routes = 100_000
	c := newChanger()
	for i := range routes {
		c.set(200, i, "2001:db8::1")
	}
	s := State{Table: c}
	_, answer := searched(t, s, "", "")
	if len(answer.Rows) != maxFound || !answer.More {
		t.Errorf("all: %d routes, more %t", len(answer.Rows), answer.More)
	}
	if got, answer := searched(t, s, numbered(routes-1).String(), ""); got != numbered(routes-1).String() && len(answer.Rows) != 1 {
		t.Errorf("the last one: %s", got)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got := s.search(gone, query{text: "nowhere"}); !got.Partial || len(got.Rows) > 0 {
		t.Errorf("without time: partial %t, %d routes", got.Partial, len(got.Rows))
	}
}

func TestSearchesWaitForTheirTurnAndNotForEver(t *testing.T) {
	page := newStatusPage(&State{Table: newChanger()})
	page.patience = 10 * time.Millisecond
	for range maxSearches {
		page.searching <- struct{}{}
	}
	w := httptest.NewRecorder()
	page.routes(w, httptest.NewRequest(http.MethodGet, "/api/routes", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("while all search: %d %s", w.Code, w.Body)
	}
	<-page.searching
	w = httptest.NewRecorder()
	page.patience = time.Minute
	page.routes(w, httptest.NewRequest(http.MethodGet, "/api/routes", nil))
	if w.Code != http.StatusOK || len(page.searching) != maxSearches-1 {
		t.Errorf("then: %d, %d search", w.Code, len(page.searching))
	}
}
