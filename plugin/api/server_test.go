package api

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"mbbgp/rib"
)

// fixed is a table that shows fixed contents.
type fixed struct {
	*rib.Table
	routes map[rib.VNI][]rib.RouteInfo
}

func (f fixed) VNIs() []rib.VNI {
	var list []rib.VNI
	for _, vni := range []rib.VNI{7, 100} {
		if _, ok := f.routes[vni]; ok {
			list = append(list, vni)
		}
	}
	return list
}

func (f fixed) Stats(vni rib.VNI) rib.Stats {
	return rib.Stats{Prefixes: len(f.routes[vni]), NextHops: len(f.routes[vni]), Claims: len(f.routes[vni]), Readers: 2, Version: 9,
		Sources: [rib.Leaked + 1]int{rib.Server: len(f.routes[vni])}}
}

func (f fixed) Walk(vni rib.VNI, visit func(rib.RouteInfo) bool) {
	for _, r := range f.routes[vni] {
		if !visit(r) {
			return
		}
	}
}

func route(prefix string, hop rib.NextHop) rib.RouteInfo {
	return rib.RouteInfo{Prefix: netip.MustParsePrefix(prefix), NextHop: hop, Visible: true}
}

func target(address string) rib.NextHop { return rib.NextHop{Target: netip.MustParseAddr(address)} }

// full is a state with something of everything.
func full() State {
	nat := target("2001:db8::1")
	nat.Type, nat.NATFrom, nat.NATTo = rib.NAT, 5, 9
	balanced := target("2001:db8::1")
	balanced.Type = rib.LoadBalancerTarget
	elsewhere := target("2001:db8::1")
	elsewhere.TargetVNI = 7
	hidden := route("10.0.0.0/24", target("2001:db8::99"))
	hidden.Visible = false
	return State{
		Version: "v1",
		Table: fixed{rib.New(rib.Options{}), map[rib.VNI][]rib.RouteInfo{
			100: {
				route("2001:db8:1::/64", elsewhere),
				route("10.0.0.0/24", balanced),
				hidden,
				route("10.0.0.0/24", nat),
			},
			7: {},
		}},
		Sessions: func() []Session {
			return []Session{
				{Peer: "2001:db8::5", Established: true, Keepalive: 5 * time.Second, Routes: 3, FramesIn: 7, Refused: map[string]uint64{"own-gateway": 1}},
				{Peer: "2001:db8::5", Established: false, Routes: 2, FramesIn: 4, Refused: map[string]uint64{"own-gateway": 2}},
				{Peer: "[2001:db8::a]:4711", Server: true},
				{Peer: "[2001:db8::b]:4711", Server: true, Established: true, VNIs: []rib.VNI{7, 100}, Said: []int{1, 3}},
			}
		},
		Neighbors: func() []Neighbor {
			return []Neighbor{{
				Address: netip.MustParseAddr("192.0.2.254"), ASN: 65000, State: "established", Since: time.Unix(1, 0), Sessions: 1, Routes: 10, MaxRoutes: 50, Updates: 12, Withdrawals: 2,
				Families: []NeighborFamily{{Family: "evpn", EndOfRIB: true}},
				Stale:    []StaleFamily{{Family: "vpnv4", LongLived: true}},
			}}
		},
		Counters: func() []Counter {
			return []Counter{
				{Name: "bgp_refused_total", Help: "Routes refused.", Labels: []Label{{"reason", "no-target"}}, Value: 2},
				{Name: "bgp_refused_total", Help: "Routes refused.", Labels: []Label{{"reason", "own-domain"}}, Value: 1},
			}
		},
		Ready: func() []Condition { return []Condition{{Name: "bgp-speaker", OK: true}} },
	}
}

func quiet() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

func get(t *testing.T, s State, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	New("", s, quiet()).Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestMetricsFollowTheConventions(t *testing.T) {
	s := full()
	s.Kernel = gateway
	problems, err := testutil.GatherAndLint(registry(&s))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "mbbgp_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestMetricsSayWhatTheStateSays(t *testing.T) {
	body := get(t, full(), "/metrics").Body.String()
	for _, want := range []string{
		`mbbgp_build_info{version="v1"} 1`,
		`mbbgp_vni_prefixes{vni="100"} 4`,
		`mbbgp_vni_changes_total{vni="7"} 9`,
		`mbbgp_vni_source_nexthops{source="server",vni="100"} 4`,
		`mbbgp_vni_source_nexthops{source="bgp",vni="100"} 0`,
		`mbbgp_metalbond_session_up{peer="[2001:db8::a]:4711",role="server"} 0`,
		`mbbgp_metalbond_server_routes{peer="[2001:db8::b]:4711",vni="100"} 3`,
		`mbbgp_metalbond_server_missing_routes{peer="[2001:db8::b]:4711",vni="100"} 1`,
		`mbbgp_metalbond_server_missing_routes{peer="[2001:db8::b]:4711",vni="7"} 0`,
		`mbbgp_bgp_neighbor_up{asn="65000",neighbor="192.0.2.254"} 1`,
		`mbbgp_bgp_neighbor_imported_routes{neighbor="192.0.2.254"} 10`,
		`mbbgp_bgp_neighbor_limit_routes{neighbor="192.0.2.254"} 50`,
		`mbbgp_bgp_neighbor_end_of_rib{family="evpn",neighbor="192.0.2.254"} 1`,
		`mbbgp_bgp_neighbor_stale{family="vpnv4",long_lived="true",neighbor="192.0.2.254"} 1`,
		`mbbgp_bgp_refused_total{reason="no-target"} 2`,
		`mbbgp_ready{condition="bgp-speaker"} 1`,
		"go_goroutines ",
		"process_start_time_seconds ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(body, "10.0.0.0") {
		t.Error("a prefix is in the metrics")
	}
}

func TestTwoSessionsFromOneAddressAreOneSeries(t *testing.T) {
	body := get(t, full(), "/metrics").Body.String()
	for _, want := range []string{
		`mbbgp_metalbond_session_up{peer="2001:db8::5",role="client"} 1`,
		`mbbgp_metalbond_session_routes{peer="2001:db8::5",role="client"} 5`,
		`mbbgp_metalbond_session_messages_total{direction="in",peer="2001:db8::5",role="client"} 11`,
		`mbbgp_metalbond_session_refused_total{peer="2001:db8::5",reason="own-gateway",role="client"} 3`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestEmptyStateStillHasMetricsAndRoutes(t *testing.T) {
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/routes.json", "/routes.yaml"} {
		if w := get(t, State{Version: "v1"}, path); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestReadyzNamesWhatIsMissing(t *testing.T) {
	s := State{Ready: func() []Condition {
		return []Condition{
			{Name: "metalbond-listener", OK: true},
			{Name: "bgp-neighbor 192.0.2.254", Detail: "active"},
		}
	}}
	w := get(t, s, "/readyz")
	want := "ok      metalbond-listener\nwaiting bgp-neighbor 192.0.2.254: active\n"
	if w.Code != http.StatusServiceUnavailable || w.Body.String() != want {
		t.Errorf("%d %q, want 503 %q", w.Code, w.Body, want)
	}
	if w := get(t, s, "/healthz"); w.Code != http.StatusOK {
		t.Errorf("healthz while not ready: %d", w.Code)
	}
}

func TestAddressIsItsHostsPrefix(t *testing.T) {
	for text, want := range map[string]string{"10.0.0.1": "10.0.0.1/32", "2001:db8::1": "2001:db8::1/128", "::/0": "::/0"} {
		if got, err := ParsePrefix(text); err != nil || got.String() != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	w := httptest.NewRecorder()
	New("", full(), quiet()).Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/routes.json", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestServerAnswersUntilItsContextEnds(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := New("127.0.0.1:0", full(), quiet())
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + s.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("the address is still served")
	}
}

func TestBusyAddressIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = New(l.Addr().String(), State{}, quiet()).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error %v", err)
	}
}
