package main

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"mbbgp/bridge"
	"mbbgp/config"
	"mbbgp/rib"
)

// originating returns a daemon whose VNI 100 originates both default routes.
func originating(t *testing.T, prefixes ...string) (*daemon, *logtest.Hook) {
	t.Helper()
	cfg := &config.Config{
		RouterID: netip.MustParseAddr("192.0.2.1"), ASN: 65001,
		VXLAN: config.VXLAN{Local: netip.MustParseAddr("192.0.2.1")},
		BGP:   &config.BGP{},
		VNIs: []config.VNI{{
			VNI: 100, Family: config.VNIFamilyUnicast, Encapsulation: config.EncapNone, Gateway: netip.MustParseAddr("2001:db8:f::100"),
		}},
	}
	for _, p := range prefixes {
		cfg.VNIs[0].Originate = append(cfg.VNIs[0].Originate, config.Originate{Prefix: netip.MustParsePrefix(p)})
	}
	log, lines := logtest.NewNullLogger()
	table := rib.New(rib.Options{})
	b, err := bridge.New(cfg, table, log)
	if err != nil {
		t.Fatal(err)
	}
	return &daemon{log: log, table: table, bridge: b, settle: 10 * time.Second}, lines
}

// offer lets a neighbour offer a prefix.
func offer(d *daemon, p string) {
	d.bridge.BGP().Import([]bridge.Update{{
		NLRI:       bridge.NLRI{Kind: bridge.Unicast, Prefix: netip.MustParsePrefix(p)},
		Attributes: &bridge.Attributes{NextHop: netip.MustParseAddr("192.0.2.254")},
		Neighbor:   netip.MustParseAddr("192.0.2.254"),
	}})
}

func TestHypervisorsWaitForWhatIsOriginated(t *testing.T) {
	rows := []struct {
		name   string
		offers []string // one a second
		waits  time.Duration
		level  logrus.Level
		line   string
	}{
		{"all are offered", []string{"0.0.0.0/0", "::/0"}, 2 * time.Second, logrus.InfoLevel, "offers all prefixes"},
		{"one is not", []string{"0.0.0.0/0"}, 10 * time.Second, logrus.WarnLevel, "does not offer all prefixes"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, lines := originating(t, "0.0.0.0/0", "::/0")
				defer d.bridge.BGP().Close()
				begun := time.Now()
				go func() {
					for _, p := range row.offers {
						time.Sleep(time.Second)
						offer(d, p)
					}
				}()
				if !d.awaitOriginated(t.Context()) {
					t.Error("it gave up")
				}
				if waited := time.Since(begun); waited != row.waits {
					t.Errorf("it waited %v, want %v", waited, row.waits)
				}
				last := lines.LastEntry()
				if last == nil || last.Level != row.level || !strings.Contains(last.Message, row.line) || len(lines.AllEntries()) != 1 {
					t.Errorf("log: %v", lines.AllEntries())
				} else if missing, _ := last.Data["missing"].([]string); row.level == logrus.WarnLevel && (len(missing) != 1 || missing[0] != "vni 100 ::/0") {
					t.Errorf("missing: %v", last.Data)
				}
			})
		})
	}
}

func TestNothingOriginatedIsNotWaitedFor(t *testing.T) {
	d, lines := originating(t)
	if !d.awaitOriginated(t.Context()) || len(lines.AllEntries()) != 0 {
		t.Errorf("log: %v", lines.AllEntries())
	}
}

func TestWaitEndsWithTheProcess(t *testing.T) {
	d, _ := originating(t, "::/0")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d.awaitOriginated(ctx) {
		t.Error("it goes on to serve")
	}
}

func TestForwardingEndsFirst(t *testing.T) {
	broken := errors.New("broken")
	waits := func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}
	after := func(d time.Duration, err error) part {
		return func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(d):
				return err
			}
		}
	}
	for _, row := range []struct {
		name          string
		ctx           time.Duration // when it ends
		forward, part part
		want          error
	}{
		{"when it is time", 5 * time.Second, waits, waits, nil},
		{"when a part fails", time.Hour, waits, after(5*time.Second, broken), broken},
		{"when a part fails while all ends", 5 * time.Second, waits, func(ctx context.Context) error {
			<-ctx.Done()
			return broken
		}, broken},
		{"when it fails itself", time.Hour, after(5*time.Second, broken), waits, broken},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), row.ctx)
				defer cancel()
				var forwarded, ended time.Duration
				err := run(ctx, func(ctx context.Context) error {
					err := row.forward(ctx)
					time.Sleep(3 * time.Second) // what it does last
					forwarded = time.Since(begun)
					return err
				}, []part{row.part, func(ctx context.Context) error {
					<-ctx.Done()
					ended = time.Since(begun)
					return nil
				}})
				if !errors.Is(err, row.want) {
					t.Errorf("got %v, want %v", err, row.want)
				}
				if forwarded != 8*time.Second || ended != forwarded {
					t.Errorf("forwarding ended after %v, the rest after %v, want both after 8s", forwarded, ended)
				}
			})
		})
	}
}

func TestPartThatIsDoneEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done := func(context.Context) error { return nil }
		err := run(ctx, func(ctx context.Context) error { <-ctx.Done(); return nil }, []part{done})
		if err != nil || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}
