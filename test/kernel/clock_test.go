package kernel

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// Somebody sets the clock, or the machine learns late what time it is. Timers
// of sessions and of routes that are held run by another clock.
func TestClockThatJumpsEndsNoSession(t *testing.T) {
	lab.NeedGuest(t)
	w := newWorld(t)
	speaker := w.speaker()
	announce(speaker, vtepAddress, "02:00:00:00:00:02")
	w.start("")
	w.a.connect(t, w.a.routes4)
	w.waitTable(slow, "-4", w.a.vm4, w.a.target)
	heard := func() float64 { return w.daemon.Metric("mbbgp_metalbond_session_messages_total", `direction="in"`) }

	for _, jump := range []time.Duration{time.Hour, -3 * time.Hour, 400 * 24 * time.Hour, -401 * 24 * time.Hour} {
		t.Logf("by %v", jump)
		now, err := strconv.ParseInt(strings.TrimSpace(w.gateway.Run("date", "+%s")), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		w.gateway.Run("date", "--set", fmt.Sprintf("@%d", now+int64(jump/time.Second)))
		before := heard()
		lab.Eventually(t, slow, "keepalives", func() error {
			if n := heard() - before; n < 5 {
				return fmt.Errorf("%.0f messages of the hypervisor since, want 5", n)
			}
			return nil
		})
	}
	if n := w.a.session.Sessions(server); n != 1 {
		t.Errorf("%d sessions of the hypervisor, want one", n)
	}
	if n := w.daemon.Metric("mbbgp_bgp_neighbor_sessions_total", `neighbor="`+speakerAddress+`"`); n != 1 {
		t.Errorf("%.0f BGP sessions, want one", n)
	}
	w.waitTable(slow, "-4", w.a.vm4, w.a.target)
}
