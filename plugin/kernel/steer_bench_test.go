package kernel

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbbgp/plugin/kernel/internal/netns"
)

const (
	benchOwners   = 500
	benchRanges   = 10_000
	rangesAddress = 64 // of one address
	portsRange    = 1000
)

// benchSteering returns steering in a lab, with many ranges of hypervisors that
// are all one.
func benchSteering(b *testing.B, n int) (*steerLab, *steering) {
	l := newSteerLab(b)
	netns.Run(b, "ip", "route", "add", "10.77.0.0/16", "encap", "seg6", "mode", "encap.red",
		"segs", targetA4.String(), "dev", l.cfg.Kernel.Device)
	s := l.steering()
	for i := 0; i < n; i += rangesAddress {
		s.set(100, benchAddress(i), benchAddressRanges(i, n, 0))
	}
	return l, s
}

func benchAddress(i int) netip.Prefix {
	a := i / rangesAddress
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(a >> 8), byte(a)}), 32)
}

// benchAddressRanges returns the ranges from the i-th on that are of its address.
func benchAddressRanges(i, n, shift int) (list []portRange) {
	for j := i; j < min(i+rangesAddress, n); j++ {
		owner := (j + shift) % benchOwners
		from := uint16(1024 + j%rangesAddress*portsRange)
		list = append(list, portRange{from, from + portsRange, netip.AddrFrom16([16]byte{0: 0xfd, 3: 0xa, 12: 1, 14: byte(owner >> 8), 15: byte(owner)})})
	}
	return list
}

// BenchmarkSteering brings 10,000 ranges of 500 hypervisors into the kernel, and
// then the change of one.
func BenchmarkSteering(b *testing.B) {
	_, s := benchSteering(b, benchRanges)
	begin := time.Now()
	apply(b, s)
	all := time.Since(begin)
	cpu := cpuTime(b)
	for i := 0; b.Loop(); i++ {
		list := benchAddressRanges(0, benchRanges, 0)
		list[0].target = list[1+i%2].target
		s.set(100, benchAddress(0), list)
		apply(b, s)
	}
	b.ReportMetric(float64((cpuTime(b)-cpu).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(all.Milliseconds()), "ms-for-all")
}

// BenchmarkSteeredPacket sends packets of UDP from the host, which the gateway
// encapsulates and a hypervisor drops: without the table, and with few and many
// ranges in it.
func BenchmarkSteeredPacket(b *testing.B) {
	for _, n := range []int{0, 10, benchRanges} {
		b.Run(fmt.Sprintf("ranges=%d", n), func(b *testing.B) {
			l, s := benchSteering(b, n)
			apply(b, s)
			var fd int
			l.host.within(func() (err error) {
				fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
				return err
			})
			defer unix.Close(fd)
			x, cpu := uint32(1), cpuTime(b)
			for b.Loop() {
				x = x*1664525 + 1013904223
				i := int(x>>8) % max(n, 1)
				to := unix.SockaddrInet4{Addr: benchAddress(i).Addr().As4(), Port: 1024 + i%rangesAddress*portsRange}
				if err := unix.Sendto(fd, []byte("?"), 0, &to); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-cpu).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime returns the time that the calling thread has had a processor, the
// kernel's work for it included: on a busy machine it says more than the clock.
func cpuTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}
