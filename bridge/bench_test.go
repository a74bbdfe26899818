package bridge

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"mbbgp/config"
	"mbbgp/rib"
)

const benchRoutes = 100_000

// benchUpdates are announcements as a watcher hands them over: the attributes
// are shared by 50 NLRIs, as one UPDATE carries them.
func benchUpdates(n int) []Update {
	all := make([]Update, n)
	var a *Attributes
	for i := range all {
		if i%50 == 0 {
			a = vxlanPath(rt(65000, 200))
		}
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		all[i] = say(NLRI{Kind: IPPrefix, RD: type5(uint16(1+i%16), "10.0.0.0/8").RD, Prefix: p}, a)
	}
	return all
}

func importAll(g *BGP, all []Update) {
	for i := 0; i < len(all); i += maxBatch {
		g.Import(all[i:min(i+maxBatch, len(all))])
	}
}

func BenchmarkImport(b *testing.B) {
	all := benchUpdates(benchRoutes)
	cfg := testConfig(b)
	cfg.VNIs = cfg.VNIs[:1]
	b.ReportAllocs()
	for b.Loop() {
		importAll(newBridge(b, cfg).BGP(), all)
	}
	perRoute(b)
}

// BenchmarkImportForwarded imports routes into a VNI with a kernel table.
func BenchmarkImportForwarded(b *testing.B) {
	all := benchUpdates(benchRoutes)
	cfg := testConfig(b)
	cfg.VNIs, cfg.Kernel = cfg.VNIs[:1], &config.Kernel{}
	cfg.VNIs[0].Table = 200
	b.ReportAllocs()
	for b.Loop() {
		importAll(newBridge(b, cfg).BGP(), all)
	}
	perRoute(b)
}

func BenchmarkImportAgain(b *testing.B) {
	all := benchUpdates(benchRoutes)
	cfg := testConfig(b)
	cfg.VNIs = cfg.VNIs[:1]
	g := newBridge(b, cfg).BGP()
	importAll(g, all)
	b.ReportAllocs()
	for b.Loop() {
		importAll(g, all)
	}
	perRoute(b)
}

func BenchmarkImportRefused(b *testing.B) {
	all := benchUpdates(benchRoutes)
	cfg := testConfig(b)
	cfg.VNIs = cfg.VNIs[1:2]
	g := newBridge(b, cfg).BGP()
	b.ReportAllocs()
	for b.Loop() {
		importAll(g, all)
	}
	perRoute(b)
}

func BenchmarkExport(b *testing.B) {
	for _, vni := range []rib.VNI{200, 300} {
		b.Run(map[rib.VNI]string{200: "vxlan", 300: "ip-in-ip"}[vni], func(b *testing.B) {
			bridge := newBridge(b, testConfig(b))
			c := bridge.Open(rib.Client, "c")
			for i := range benchRoutes {
				p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
				if err := c.Announce(vni, p, hop(fmt.Sprintf("2001:db8:1::%x", i%5000))); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				ctx, cancel := context.WithCancel(context.Background())
				heard := 0
				err := bridge.BGP().Export(ctx, func(u []Update) error {
					if heard += len(u); heard == benchRoutes {
						cancel()
					}
					return nil
				})
				if err != nil || heard != benchRoutes {
					b.Fatal(err, heard)
				}
			}
			perRoute(b)
		})
	}
}

// BenchmarkImportMemory measures what the bridge itself remembers of a million
// routes, without the table.
func BenchmarkImportMemory(b *testing.B) {
	for _, family := range []string{"ipv4", "ipv6"} {
		b.Run(family, func(b *testing.B) {
			const n = 1_000_000
			for b.Loop() {
				before := heap()
				r := newRoutes()
				for i := range uint32(n) {
					a4 := [4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
					p := netip.PrefixFrom(netip.AddrFrom4(a4), 32)
					if family == "ipv6" {
						p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 12: a4[0], 13: a4[1], 14: a4[2], 15: a4[3]}), 128)
					}
					r.set(routeKey{1 + i%16, p}, 1)
				}
				b.ReportMetric(float64(heap()-before)/n, "B/route")
				runtime.KeepAlive(r)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func perRoute(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRoutes, "ns/route")
}
