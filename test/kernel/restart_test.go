package kernel

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// pings are those between the customer and a VM, both ways and both families.
type pings []*lab.Ping

func startPings(customer *lab.Node, h *host) pings {
	const interval = 10 * time.Millisecond
	return pings{
		customer.Ping(interval, h.vm4), customer.Ping(interval, h.vm6),
		h.vm.Ping(interval, customer4), h.vm.Ping(interval, customer6),
	}
}

// none ends the pings and fails if a packet was lost.
func (p pings) none(t *testing.T, during string) {
	t.Helper()
	for _, ping := range p {
		loss := ping.End(slow)
		t.Logf("%s: %s: %v", during, ping.Name, loss)
		if loss.Lost > 0 {
			t.Errorf("%s: %s: %v", during, ping.Name, loss)
		}
	}
}

// What the fabric and the hosts know of the gateway stays with them, as with
// neighbours that help with a graceful restart, and hosts whose agent keeps
// routes or has another server; so what is lost is lost by the gateway.
func TestNoPacketIsLostWhileTheGatewayIsAway(t *testing.T) {
	w := newWorld(t)
	customer := w.plainLeaf("leaf", vtepAddress, "02:00:00:00:00:02")
	speaker := w.speaker()
	announce(speaker, vtepAddress, "02:00:00:00:00:02")
	w.start(", settle: 10s")
	w.a.connect(t, w.a.routes4, w.a.routes6)
	w.a.Install(customers4, gatewayTarget)
	w.a.Install(customers6, gatewayTarget)
	reach(t, customer, w.a.vm4, w.a.vm6)
	before := w.gatewayState(t)
	w.gateway.Run("cp", lab.Program("mbbgp"), "/run/mbbgp-next")

	for _, row := range []struct {
		name, next string
		end        func()
	}{
		{"kill -9", lab.Program("mbbgp"), func() { w.daemon.Kill() }},
		{"SIGTERM", lab.Program("mbbgp"), func() { w.daemon.Stop(syscall.SIGTERM) }},
		{"upgrade", "/run/mbbgp-next", func() { w.daemon.Stop(syscall.SIGTERM) }},
	} {
		running := startPings(customer, w.a)
		row.end()
		w.daemon = w.gateway.BridgeOf(row.next, fmt.Sprintf(gatewayConfig, ", settle: 10s"))
		w.a.session.WaitState(server, "ESTABLISHED", slow)
		speaker.WaitEstablished(fabricAddress, slow)
		lab.Eventually(t, slow, "the sweep", func() error {
			if w.daemon.Metric("mbbgp_kernel_swept") != 1 || w.daemon.Metric("mbbgp_kernel_synced") != 1 {
				return fmt.Errorf("not swept, or not synced")
			}
			return nil
		})
		running.none(t, row.name)
		if n := w.daemon.Metric("mbbgp_kernel_operations_total"); n != 0 {
			t.Errorf("%s: the new one changed %.0f things in the kernel, want none", row.name, n)
		}
		if after := w.gatewayState(t); after != before {
			t.Errorf("%s: the kernel has\n%s\nwant\n%s", row.name, after, before)
		}
	}

	t.Log("what is not said again goes")
	w.daemon.Kill()
	w.a.session.Kill()
	w.start(", settle: 30s")
	w.a.connect(t, w.a.routes6)
	lab.Eventually(t, slow, "the sweep", func() error {
		if n := w.daemon.Metric("mbbgp_kernel_operations_total", `operation="sweep"`); n != 1 {
			return fmt.Errorf("%.0f routes were swept, want 1", n)
		}
		return nil
	})
}
