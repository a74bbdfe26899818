package rtnl

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mbbgp/plugin/kernel/internal/netns"
)

const many = 100_000

// manyRoutes are routes of one family by next hop object 9, a group.
func manyRoutes(b *testing.B, c *Conn, v6 bool) []Route {
	b.Helper()
	vx := device(b, "vx")
	do(b, c, func(batch *Batch) {
		batch.ReplaceNextHop(&NextHop{ID: 7, Hop: Hop{Device: vx, Encap: toIP6}})
		batch.ReplaceNextHop(&NextHop{ID: 8, Hop: Hop{Device: vx, Encap: Encap{Kind: EncapIP6, Dst: netip.MustParseAddr("2001:db8::10")}}})
		batch.ReplaceNextHop(&NextHop{ID: 9, Group: []Member{{ID: 7}, {ID: 8}}})
	})
	list := make([]Route, many)
	for n := range list {
		if v6 {
			list[n] = hostRoute6(n)
		} else {
			list[n] = hostRoute(n)
		}
		list[n].Type, list[n].NextHopID = 0, 9
	}
	return list
}

func BenchmarkEncodeRoute(b *testing.B) {
	for _, r := range []Route{hostRoute(1), hostRoute6(1)} {
		r.Type, r.NextHopID = 0, 9
		b.Run(family(r.Prefix.Addr().Is6()), func(b *testing.B) {
			b.ReportAllocs()
			var batch Batch
			for i := range b.N {
				if i%1000 == 0 {
					batch.Reset()
				}
				batch.AddRoute(&r)
			}
		})
	}
}

func BenchmarkDecodeRoute(b *testing.B) {
	for _, r := range []Route{hostRoute(1), hostRoute6(1)} {
		r.Type, r.NextHopID = 0, 9
		m := r.append(nil, unix.RTM_NEWROUTE, 0)[unix.SizeofNlMsghdr:]
		b.Run(family(r.Prefix.Addr().Is6()), func(b *testing.B) {
			b.ReportAllocs()
			var got Route
			for b.Loop() {
				if _, err := got.decode(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func family(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

// BenchmarkInstall adds 100,000 routes and, in another one, removes them.
func BenchmarkInstall(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		for _, remove := range []bool{false, true} {
			name := family(v6) + "/add"
			if remove {
				name = family(v6) + "/delete"
			}
			b.Run(name, func(b *testing.B) {
				c := scene(b)
				list := manyRoutes(b, c, v6)
				var add, del Batch
				for n := range list {
					add.AddRoute(&list[n])
					del.DeleteRoute(&list[n])
				}
				for b.Loop() {
					if remove {
						b.StopTimer()
					}
					execute(b, c, &add)
					if remove {
						b.StartTimer()
					} else {
						b.StopTimer()
					}
					execute(b, c, &del)
					b.StartTimer()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/route")
			})
		}
	}
}

// BenchmarkDump reads 100,000 routes.
func BenchmarkDump(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		b.Run(family(v6), func(b *testing.B) {
			c := scene(b)
			var add Batch
			for _, r := range manyRoutes(b, c, v6) {
				add.AddRoute(&r)
			}
			execute(b, c, &add)
			for b.Loop() {
				n := 0
				if err := c.Routes(RouteFilter{Table: testTable, Protocol: testProtocol}, never(b), func(*Route) error {
					n++
					return nil
				}); err != nil || n != many {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/route")
		})
	}
}

// BenchmarkReplaceGroup changes the hops of 100,000 routes, in both modes of
// sysctl nexthop_compat_mode: in the first the kernel says so of every route.
func BenchmarkReplaceGroup(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		for _, mode := range []string{"1", "0"} {
			b.Run(fmt.Sprintf("%s/compat=%s", family(v6), mode), func(b *testing.B) {
				c := scene(b)
				netns.Run(b, "sysctl", "-w", "net.ipv4.nexthop_compat_mode="+mode)
				var add Batch
				for _, r := range manyRoutes(b, c, v6) {
					add.AddRoute(&r)
				}
				execute(b, c, &add)
				n := 0
				for b.Loop() {
					n++
					do(b, c, func(batch *Batch) {
						batch.ReplaceNextHop(&NextHop{ID: 9, Group: []Member{{ID: uint32(7 + n%2)}}})
					})
				}
			})
		}
	}
}

// BenchmarkResolve asks for 1,000 addresses.
func BenchmarkResolve(b *testing.B) {
	c := scene(b)
	addrs := make([]netip.Addr, 1000)
	out := make([]Resolution, len(addrs))
	for i := range addrs {
		addrs[i] = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 1, 14: byte(i >> 8), 15: byte(i)})
	}
	for b.Loop() {
		if err := c.Resolve(addrs, out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(addrs)), "ns/address")
}

// BenchmarkIproute2 adds the routes of BenchmarkInstall with `ip -batch`.
func BenchmarkIproute2(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		b.Run(family(v6), func(b *testing.B) {
			c := scene(b)
			var add, del strings.Builder
			for _, r := range manyRoutes(b, c, v6) {
				fmt.Fprintf(&add, "route add %v nhid 9 proto 254 metric 77 table 1000\n", r.Prefix)
				fmt.Fprintf(&del, "route del %v proto 254 metric 77 table 1000\n", r.Prefix)
			}
			addFile, delFile := filepath.Join(b.TempDir(), "add"), filepath.Join(b.TempDir(), "del")
			for name, text := range map[string]string{addFile: add.String(), delFile: del.String()} {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				netns.Run(b, "ip", "-batch", addFile)
				b.StopTimer()
				netns.Run(b, "ip", "-batch", delFile)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/route")
		})
	}
}
