package kernel

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// The customers' networks move from one leaf to another while a VM pings them.
// Both leaves have the customer.
func TestRouteChangesItsVTEPWithoutALostPacket(t *testing.T) {
	leaves := []struct{ name, vtep, mac, via string }{
		{"leaf-a", vtepAddress, "02:00:00:00:00:02", "via inet6 fe80::ff:fe00:2 "},
		{"leaf-b", "10.0.0.3", "02:00:00:00:00:03", "via inet6 fe80::ff:fe00:3 "},
	}
	w := newWorld(t)
	for _, l := range leaves {
		w.plainLeaf(l.name, l.vtep, l.mac)
	}
	speaker := w.speaker()
	announce(speaker, leaves[0].vtep, leaves[0].mac)
	w.start("")
	w.a.connect(t, w.a.routes4, w.a.routes6)
	w.a.Install(customers4, gatewayTarget)
	w.a.Install(customers6, gatewayTarget)
	pings := []*lab.Ping{w.a.vm.Ping(10*time.Millisecond, customer4), w.a.vm.Ping(10*time.Millisecond, customer6)}
	for i := range 4 {
		to, from := leaves[(i+1)%2], leaves[i%2]
		announce(speaker, to.vtep, to.mac)
		w.waitTable(slow, "-4", customers4, to.via)
		w.waitTable(slow, "-6", customers6, strings.Replace(to.via, "inet6 ", "", 1))
		lab.Eventually(t, slow, "forwarding database", func() error {
			out, err := w.gateway.Try("bridge", "fdb", "show", "dev", "vx200")
			if err == nil && (!strings.Contains(out, to.mac+" dst "+to.vtep) || strings.Contains(out, from.mac)) {
				err = fmt.Errorf("want %s and not %s in\n%s", to.mac, from.mac, out)
			}
			return err
		})
		for _, p := range pings {
			p.WaitAnswer(slow)
		}
	}
	for _, p := range pings {
		if loss := p.End(slow); loss.Lost > 0 {
			t.Errorf("%s: %v", p.Name, loss)
		}
	}
}
