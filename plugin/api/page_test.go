package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"mbbgp/rib"
)

// asked answers a request with a header.
func asked(t *testing.T, s State, method, path, key, value string) *httptest.ResponseRecorder {
	t.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, nil)
	if key != "" {
		r.Header.Set(key, value)
	}
	New("", s, quiet()).Handler().ServeHTTP(w, r)
	return w
}

func TestPageComesWithWhatKeepsItToItself(t *testing.T) {
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8",
		"/table.js": "text/javascript; charset=utf-8", "/icon.svg": "image/svg+xml",
	} {
		w := get(t, full(), path)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != kind || w.Body.Len() == 0 {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		for key, want := range map[string]string{
			"Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
			"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache",
		} {
			if got := w.Header().Get(key); got != want {
				t.Errorf("%s: %s: %s, want %s", path, key, got, want)
			}
		}
		if again := asked(t, full(), http.MethodGet, path, "If-None-Match", w.Header().Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("%s: %d with its own ETag", path, again.Code)
		}
		if head := asked(t, full(), http.MethodHead, path, "", ""); head.Code != http.StatusOK || head.Body.Len() > 0 {
			t.Errorf("HEAD %s: %d, %d bytes", path, head.Code, head.Body.Len())
		}
	}
}

func TestPageNeedsNothingFromElsewhere(t *testing.T) {
	for _, path := range []string{"/", "/page.css", "/page.js", "/table.js", "/search.js", "/explain.js", "/story.js"} {
		body := strings.ReplaceAll(get(t, full(), path).Body.String(), "http://www.w3.org/2000/svg", "")
		for _, bad := range []string{"http:", "https:", "innerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=", "onclick"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %q", path, bad)
			}
		}
	}
}

func TestPageOnlyReads(t *testing.T) {
	for _, path := range []string{"/", "/page.js", "/api/events", "/api/routes", "/api/explain"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			if w := asked(t, full(), method, path, "", ""); w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
	for _, path := range []string{"/index.html", "/page/", "/page/page.js", "/api/", "/..%2fpage.go"} {
		if w := get(t, full(), path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestOtherSitesCannotMakeABrowserAsk(t *testing.T) {
	for _, path := range []string{"/api/events", "/api/routes", "/api/explain?vni=1&prefix=10.0.0.0/8"} {
		for _, site := range []string{"cross-site", "same-site"} {
			if w := asked(t, full(), http.MethodGet, path, "Sec-Fetch-Site", site); w.Code != http.StatusForbidden {
				t.Errorf("%s from %s: %d", path, site, w.Code)
			}
		}
	}
	if w := asked(t, full(), http.MethodGet, "/api/routes", "Sec-Fetch-Site", "same-origin"); w.Code != http.StatusOK {
		t.Errorf("from the page: %d %s", w.Code, w.Body)
	}
}

// section decodes a part of the board.
func readSection[T any](t *testing.T, s State, name string) (v T) {
	t.Helper()
	for _, x := range s.sections() {
		if x.name == name {
			if err := json.Unmarshal(x.data, &v); err != nil {
				t.Fatalf("%s: %v in %s", name, err, x.data)
			}
			return v
		}
	}
	t.Fatalf("no section %s", name)
	return v
}

func TestBoardOfNothingIsEmpty(t *testing.T) {
	var names []string
	for _, x := range (&State{Version: "v1"}).sections() {
		names = append(names, x.name)
		if !json.Valid(x.data) || strings.Contains(string(x.data), "null") {
			t.Errorf("%s: %s", x.name, x.data)
		}
	}
	if got, want := strings.Join(names, " "), "redistribution vnis problems status"; got != want {
		t.Errorf("sections %s, want %s", got, want)
	}
}

func TestBoardHasHostileTextAsItIs(t *testing.T) {
	const hostile = "<script>\"'\n\ndata: \xff"
	s := State{Neighbors: func() []Neighbor {
		return []Neighbor{{Address: netip.MustParseAddr("192.0.2.1"), Description: hostile}}
	}}
	l := readSection[struct {
		Rows []struct{ Description string }
	}](t, s, "neighbors")
	if want := strings.ReplaceAll(hostile, "\xff", "\ufffd"); len(l.Rows) != 1 || l.Rows[0].Description != want {
		t.Errorf("%+v, want %q", l, want)
	}
	for _, x := range s.sections() {
		if strings.ContainsAny(string(x.data), "\r\n") {
			t.Errorf("%s has more than one line: %q", x.name, x.data)
		}
	}
}

func TestLongListsAreCutBehindWhatIsAmiss(t *testing.T) {
	s := State{Sessions: func() (all []Session) {
		for i := range 2 * maxRows {
			all = append(all, Session{Name: fmt.Sprintf("[2001:db8::%x]:4711", i), State: "established", Established: true, FramesIn: uint64(i)})
		}
		return append(all, Session{Name: "[2001:db8:ffff::1]:4711", State: "hello-wait"})
	}}
	l := readSection[struct {
		Total, Bad int
		Rows       []struct{ Peer, State string }
	}](t, s, "sessions")
	if l.Total != 2*maxRows+1 || l.Bad != 1 || len(l.Rows) != maxRows || l.Rows[0].State != "hello-wait" {
		t.Errorf("%d, %d bad, %d rows, first %v", l.Total, l.Bad, len(l.Rows), l.Rows[0])
	}
}

func TestProblemsAreWhatAnOperatorHasToKnow(t *testing.T) {
	s := State{Sessions: func() []Session {
		return []Session{
			{Name: "[2001:db8::5]:40000", State: "hello-wait"}, // a client: it comes and goes as it likes
			{Name: "[2001:db8::a]:4711", Server: true, State: "down"},
			{Name: "[2001:db8::b]:4711", Server: true, State: "established", Established: true, Held: 7},
		}
	}}
	s.Neighbors = func() []Neighbor {
		return []Neighbor{{Address: netip.MustParseAddr("192.0.2.1"), State: "active", LastError: "refused"}, {Address: netip.MustParseAddr("192.0.2.2"), Dynamic: true, State: "idle", MaxRoutes: 5, Refused: 2}}
	}
	s.Kernel = func() Kernel {
		k := gateway()
		k.Synced = false
		return k
	}
	s.Counters = func() []Counter {
		labels := func(prefix string) []Label { return []Label{{"vni", "100"}, {"prefix", prefix}} }
		return []Counter{
			{Name: "originated", Labels: labels("::/0")}, {Name: "originated_offers", Labels: labels("::/0")},
			{Name: "originated", Labels: labels("0.0.0.0/0"), Value: 1}, {Name: "originated_offers", Labels: labels("0.0.0.0/0")},
			{Name: "originated", Labels: labels("10.0.0.0/8"), Value: 1}, {Name: "originated_offers", Labels: labels("10.0.0.0/8"), Value: 2},
			{Name: "vni_export_waiting_prefixes", Labels: labels(""), Value: 3},
		}
	}
	l := readSection[problemList](t, s, "problems")
	var got strings.Builder
	for _, p := range l.Rows {
		fmt.Fprintf(&got, "%t %s: %s\n", p.Down, p.Text, p.Detail)
	}
	want := `true The kernel is out of step with the tables: 2 prefixes: 10.0.0.0/24: EINVAL
true rule from mb100 is not as it should be: file exists
true VNI 100 has no default route ::/0: no BGP route offers it, so hypervisors have none
true BGP neighbor 192.0.2.1 is down: active: refused
true BGP neighbor 192.0.2.2 is down: idle
true MetalBond server [2001:db8::a]:4711 is down: down
false Table 200: 4 prefixes with a route of somebody else in our place: VNI 200
false VNI 200: hypervisors claim the same ports of 5 NAT addresses: 
false The underlay has no way to 1 of 3 next hops: 
false VNI 100 is about to lose its default route 0.0.0.0/0: no BGP route offers it any more; it stays for its hold-down
false VNI 100: 3 prefixes kept from BGP: its export has no room for more
false BGP neighbor 192.0.2.2: 2 routes refused: max-prefixes is 5
false 7 routes of [2001:db8::b]:4711 held: its session was lost, and it has not repeated what it said
`
	if got.String() != want || l.Total != 13 {
		t.Errorf("%d problems:\n%swant:\n%s", l.Total, got.String(), want)
	}
}

func TestManyProblemsAreCounted(t *testing.T) {
	s := State{Neighbors: func() (all []Neighbor) {
		for i := range 3 * maxProblems {
			all = append(all, Neighbor{Address: numbered(i).Addr(), State: "active"})
		}
		return all
	}}
	if l := readSection[problemList](t, s, "problems"); l.Total != 3*maxProblems || len(l.Rows) != maxProblems {
		t.Errorf("%d problems, %d shown", l.Total, len(l.Rows))
	}
}

func TestRedistributionSaysWhatWasRefusedAndWhy(t *testing.T) {
	s := full()
	s.Counters = func() []Counter {
		of := func(vni, reason string) []Label { return []Label{{"vni", vni}, {"reason", reason}} }
		return []Counter{
			{Name: "vni_export_refused_total", Labels: of("1000", "from-bgp"), Value: 2},
			{Name: "vni_import_refused_total", Labels: of("200", "no-gateway"), Value: 0},
			{Name: "vni_import_refused_total", Labels: of("200", "policy"), Value: 1},
			{Name: "vni_import_refused_total", Labels: of("200", "d-path"), Value: 4},
			{Name: "vni_export_refused_total", Labels: of("200", "policy"), Value: 3},
			{Name: "import_refused_total", Labels: []Label{{"reason", "no-target"}}, Value: 5},
			{Name: "something_else_total", Value: 5},
		}
	}
	got := ""
	for _, r := range readSection[redistribution](t, s, "redistribution").Refused {
		got += fmt.Sprintf("%s %s %s %v, ", r.VNI, r.Direction, r.Reason, r.Count)
	}
	if want := " import no-target 5, 200 import d-path 4, 200 import policy 1, 200 export policy 3, 1000 export from-bgp 2, "; got != want {
		t.Errorf("refused %s, want %s", got, want)
	}
}

func TestExplanationIsTheOneOfTheAPI(t *testing.T) {
	var s State
	explained := Explanation{VNI: 200, Prefix: netip.MustParsePrefix("10.1.0.7/32"), Configured: true}
	s.Explain = func(vni rib.VNI, p netip.Prefix) (Explanation, error) {
		if vni == 9 {
			return Explanation{}, fmt.Errorf("BGP is not running")
		}
		if p != explained.Prefix {
			t.Errorf("explain %v", p)
		}
		return explained, nil
	}
	for _, row := range []struct {
		path string
		code int
		want string
	}{
		{"?vni=200&prefix=10.1.0.7", 200, string(JSON(explanationMessage(&explained)))},
		{"?vni=200&prefix=10.1.0.7/24", 400, `{"error":"prefix: 10.1.0.7/24 has bits behind its length, want 10.1.0.0/24"}`},
		{"?prefix=10.1.0.7", 400, `{"error":"vni: \"\" is not a VNI (0 to 4294967295)"}`},
		{"?vni=200", 400, `{"error":"prefix: \"\" is not a prefix, such as 10.1.0.0/24 or 2001:db8::/32"}`},
		{"?vni=9&prefix=::/0", 503, `{"error":"BGP is not running"}`},
	} {
		w := get(t, s, "/api/explain"+row.path)
		if got := strings.TrimSpace(w.Body.String()); w.Code != row.code || got != row.want || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s, want %d %s", row.path, w.Code, got, row.code, row.want)
		}
	}
	if w := get(t, State{}, "/api/explain?vni=1&prefix=::/0"); w.Code != http.StatusNotFound {
		t.Errorf("nothing to explain: %d %s", w.Code, w.Body)
	}
}
