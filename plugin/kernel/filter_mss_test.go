package kernel

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/internal/netns"
)

// segmentSizes opens a TCP connection and returns how large segments are that
// its ends may send.
func segmentSizes(t *testing.T, from, to *station, addr netip.Addr) (client, server int) {
	t.Helper()
	const port = 8080
	family := unix.AF_INET6
	if addr.Is4() {
		family = unix.AF_INET
	}
	open := func(s *station) (fd int) {
		s.run("sysctl", "-qw", "net.ipv4.tcp_timestamps=0") // they take room in every segment
		s.within(func() (err error) {
			fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			return err
		})
		timeout := unix.Timeval{Sec: 10}
		for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
			if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &timeout); err != nil {
				t.Fatal(err)
			}
		}
		return fd
	}
	size := func(fd int) int {
		n, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	listener, dialer := open(to), open(from)
	defer unix.Close(listener)
	defer unix.Close(dialer)
	if err := unix.SetsockoptInt(listener, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	at := sockaddr(netip.AddrPortFrom(addr, port))
	if err := unix.Bind(listener, at); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(listener, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(dialer, at); err != nil {
		t.Fatalf("connecting to %v: %v", addr, err)
	}
	accepted, _, err := unix.Accept(listener)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(accepted)
	return size(dialer), size(accepted)
}

// TestSegmentSizeIsLoweredAndNeverRaised looks at what comes back from a
// hypervisor; with segment routing what goes there is clamped only if it came
// from a tunnel.
func TestSegmentSizeIsLoweredAndNeverRaised(t *testing.T) {
	for _, row := range []struct {
		mss    config.MSS
		v4, v6 int
	}{{1000, 1000, 1000}, {9000, 1460, 1440}} {
		l := newSteerLab(t)
		l.cfg.Kernel.MSS = row.mss
		apply(t, l.steering())
		l.expect(flow{nat4, unix.IPPROTO_UDP, 1, "hv1"}, flow{nat6, unix.IPPROTO_UDP, 1, "hv1"})
		for addr, want := range map[netip.Addr]int{nat4.Addr(): row.v4, nat6.Addr(): row.v6} {
			if client, _ := segmentSizes(t, l.host, l.a, addr); client != want {
				t.Errorf("mss %d: segments to %v have up to %d bytes, want %d", row.mss, addr, client, want)
			}
		}
	}
}

// TestSegmentSizeFitsTheTunnel has a tunnel with a small MTU, which both ends of
// a connection through it learn, in a VRF too. The MTU changes then.
func TestSegmentSizeFitsTheTunnel(t *testing.T) {
	gateway := testGateway.String()
	s, l := validationLab(t, config.VNI{VNI: 7, Table: 1007, VRF: "red", Gateway: testGateway, DecapDevice: "mb7"}, []string{
		"-6 addr add " + gateway + "/128 dev lo nodad",
		"link add mb7 type ip6tnl mode any local " + gateway + " remote ::",
		"link set mb7 master red up",
	})
	l.cfg.Kernel.MSS = config.MSSAuto
	l.a.ip("link add d6 up type ip6tnl mode any external")
	apply(t, s)
	for _, mtu := range []struct {
		text string
		size int
	}{{"1400", 1400}, {"1300", 1300}} {
		netns.Run(t, "ip", "link", "set", "overlay", "mtu", mtu.text)
		if n, err := s.reconcile(); n == 0 || err != nil {
			t.Fatalf("another MTU: restored %d, %v", n, err)
		}
		for addr, headers := range map[string]int{"10.1.0.1": 40, "2001:db8:71::1": 60} {
			client, server := segmentSizes(t, l.host, l.a, netip.MustParseAddr(addr))
			if want := mtu.size - headers; client != want || server != want {
				t.Errorf("mtu %s: segments to %s have up to %d bytes, from there %d, want %d", mtu.text, addr, client, server, want)
			}
		}
	}
}
