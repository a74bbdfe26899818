package metrics

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// line is what of a line of the log is looked at.
type line struct {
	Level, Component, Msg, Peer, Neighbor string
}

// lines returns the log of the bridge, one text a line: component, message, and
// whom it is about.
func (w *world) lines() (list []string) {
	w.t.Helper()
	for text := range strings.Lines(w.bridge.Log()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil || l.Level == "" || l.Component == "" {
			w.t.Errorf("not a line of the log: %v: %s", err, text)
		}
		whom := l.Neighbor + l.Peer
		if l.Component == "metalbond" && strings.HasPrefix(whom, "[2001:db8::5]:") { // and a port
			whom = "the hypervisor"
		}
		list = append(list, strings.TrimSpace(l.Component+": "+l.Msg+" "+whom))
	}
	return list
}

// said returns what the log says beyond its first lines once nothing more comes,
// sorted.
func (w *world) said(since int) []string {
	w.t.Helper()
	n := lab.Settled(w.t, 2*time.Second, patience, "the log", func() int { return len(w.lines()) })
	list := w.lines()[since:n]
	slices.Sort(list)
	return list
}

// Ten thousand changes of routes are no news; a session that comes or goes is
// one line.
func TestLogHasALineForAStateChangeAndNoneForARoute(t *testing.T) {
	const routes = 900 // below all limits
	w := newWorld(t)
	w.wait(3, "mbbgp_metalbond_session_up")
	w.wait(2, "mbbgp_bgp_neighbor_up")
	w.wait(1, "mbbgp_originated")
	begun := len(w.said(0))
	carry := func() {
		t.Helper()
		w.leaf.Do("fill 65000:2 %d 200 10.0.0.2 65000:200 02:00:00:00:00:02", routes)
		w.hypervisor.Do("fill 200 %d 2001:db8::5", routes)
		w.wait(routes, "mbbgp_vni_imported_routes", `vni="200"`)
		w.wait(routes, "mbbgp_metalbond_session_routes", `role="client"`)
	}
	carry()
	for range 2 {
		w.leaf.Do("drain 65000:2 %d", routes)
		w.hypervisor.Do("drain 200 %d 2001:db8::5", routes)
		w.wait(0, "mbbgp_vni_imported_routes", `vni="200"`)
		w.wait(0, "mbbgp_metalbond_session_routes", `role="client"`)
		carry()
	}
	if said := w.said(begun); len(said) > 0 {
		t.Errorf("routes came and went, and the log says %d lines, such as %q", len(said), said[0])
	}

	var want []string
	for range 2 {
		w.hypervisor.Do("disconnect [2001:db8::1]:4711")
		w.wait(0, "mbbgp_metalbond_session_up", `role="client"`)
		w.hypervisor.Connect("[2001:db8::1]:4711")
		w.wait(1, "mbbgp_metalbond_session_up", `role="client"`)
		want = append(want, "metalbond: session ended the hypervisor", "metalbond: session established the hypervisor")

		sessions := w.bridge.Metric("mbbgp_bgp_neighbor_sessions_total", `neighbor="10.0.0.3"`)
		w.upstream.Run("birdc", "-s", "/run/bird.ctl", "restart", "bridge")
		w.wait(sessions+1, "mbbgp_bgp_neighbor_sessions_total", `neighbor="10.0.0.3"`)
		want = append(want, "bgp: BGP session down 10.0.0.3", "bgp: BGP session up 10.0.0.3")
	}
	slices.Sort(want)
	if err := lab.Differ(w.said(begun), want); err != nil {
		t.Errorf("after four changes of sessions: %v", err)
	}
}
