package gobgp

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// scrape returns what /metrics shows of a collector.
func scrape(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestGoBGPTellsItsOwnMetrics(t *testing.T) {
	parallel(t)
	h, f, peer := withFabric(t, 65001, 65000)
	c := h.Collector()
	f.add(t, path(rawPrefix(bgp.EVPNIPPrefixRoute{IPPrefixLength: 24, IPPrefix: addr("10.1.2.0"), GWIPAddress: zero4, Label: 5000}), "192.0.2.9", rt200, vxEC, macEC))
	h.tell(t, many(3, "192.0.2.1:1", vxlan("192.0.2.1"))...)
	for _, want := range []string{
		`bgp_routes_received{peer="%v",route_family="l2vpn-evpn"} 1`,
		`bgp_routes_advertised{peer="%v",route_family="l2vpn-evpn"} 3`,
		`bgp_peer_state{admin_state="ADMIN_STATE_UP",peer="%v",session_state="SESSION_STATE_ESTABLISHED"} 1`,
	} {
		want = fmt.Sprintf(want, peer)
		eventually(t, want, func() bool { return strings.Contains(scrape(t, c), want) })
	}
	text := scrape(t, c)
	if !strings.Contains(text, "\nmbbgp_gobgp_collector_up 1\n") || strings.Contains(text, "fsm_loop_mgmt_op_timing_sec_count 0\n") {
		t.Errorf("the collector is not up, or no management operation was timed:\n%s", text)
	}
}

func TestGoBGPIsNotAskedWhileItsTablesAreLarge(t *testing.T) {
	parallel(t)
	h, _, _ := withFabric(t, 65001, 65000)
	c := h.Collector().(*collector)
	c.most = 100
	for _, row := range []struct {
		prefixes int
		asked    bool
	}{{100, true}, {101, false}} {
		h.tell(t, many(row.prefixes, "192.0.2.1:1", vxlan("192.0.2.1"))...)
		text := scrape(t, c)
		if strings.Contains(text, "\nbgp_peer_state{") != row.asked || strings.Contains(text, "\nmbbgp_gobgp_collector_up 1\n") != row.asked {
			t.Errorf("%d prefixes for one neighbor, want asked = %v:\n%s", row.prefixes, row.asked, text)
		}
	}
}

func TestMetricsOfASpeakerThatDoesNotRunAreNoError(t *testing.T) {
	parallel(t)
	cfg := configuration(t, addresses(1)[0], 65001)
	s, err := newSpeaker(cfg, newBook(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	const up, down = "\nmbbgp_gobgp_collector_up 1\n", "\nmbbgp_gobgp_collector_up 0\n"
	if text := scrape(t, s.Collector()); !strings.Contains(text, down) {
		t.Errorf("before it runs:\n%s", text)
	}
	h := start(t, cfg)
	if text := scrape(t, h.Collector()); !strings.Contains(text, up) {
		t.Errorf("while it runs:\n%s", text)
	}
	h.stop()
	if text := scrape(t, h.Collector()); !strings.Contains(text, down) {
		t.Errorf("after its end:\n%s", text)
	}
}
