package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"mbbgp/config"
	"mbbgp/plugin/kernel/internal/netns"
	"mbbgp/plugin/kernel/rtnl"
)

// steerLab is a gateway, which the test's goroutine is in, with a host and two
// hypervisors behind it, each in a network namespace of its own. Underlay and
// decapsulation are of segment routing, because every kernel has that.
type steerLab struct {
	t     testing.TB
	cfg   *config.Config
	conn  *rtnl.Conn
	hops  *heldHops
	host  *station
	a, b  *station
	heard chan arrival
}

// station is a network namespace.
type station struct {
	t    testing.TB
	name string
	pid  int
}

// arrival is a packet that came to a hypervisor.
type arrival struct {
	station string
	proto   int
	port    uint16 // destination
}

// The hypervisors have an underlay address for each family of what is inside,
// because End.DX4 and End.DX6 are all that this kernel may have.
var (
	targetA4, targetA6 = netip.MustParseAddr("fd00:a::4"), netip.MustParseAddr("fd00:a::6")
	targetB4, targetB6 = netip.MustParseAddr("fd00:b::4"), netip.MustParseAddr("fd00:b::6")
	nat4, nat6         = netip.MustParsePrefix("198.51.100.1/32"), netip.MustParsePrefix("2001:db8:64::1/128")
)

func steerConfig(vnis ...config.VNI) *config.Config {
	cfg := deviceConfig(vnis...)
	cfg.Kernel.Tunnel, cfg.Kernel.Device = config.TunnelSeg6, "hv1" // not lo: IPv6 routes without an object do not work there
	cfg.Kernel.MarkShift = 20
	cfg.Kernel.SteeringTables = config.NumberRange{First: 472000000, Last: 472004095}
	return cfg
}

func newSteerLab(t testing.TB) *steerLab {
	t.Helper()
	netns.New(t)
	conn, err := rtnl.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	l := &steerLab{t: t, cfg: steerConfig(config.VNI{VNI: 100, Table: mainTable}), conn: conn, heard: make(chan arrival, 1000)}
	l.hops = &heldHops{t: t, conn: conn, cfg: l.cfg.Kernel, ids: map[hop]uint32{}, uses: map[hop]int{}}
	netns.Run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	l.host = l.station("host", 1)
	l.a, l.b = l.station("hv1", 2), l.station("hv2", 3)
	ip(t,
		"route add fd00:a::/64 via 2001:db8:2::2",
		"route add fd00:b::/64 via 2001:db8:3::2",
		fmt.Sprintf("route add %v encap seg6 mode encap.red segs %v dev %s", nat4, targetA4, l.cfg.Kernel.Device),
		fmt.Sprintf("route add %v encap seg6 mode encap.red segs %v dev %s", nat6, targetA6, l.cfg.Kernel.Device),
	)
	for _, h := range []struct {
		*station
		v4, v6 netip.Addr
	}{{l.a, targetA4, targetA6}, {l.b, targetB4, targetB6}} {
		h.ip(
			fmt.Sprintf("route add %v encap seg6local action End.DX4 nh4 0.0.0.0 dev u0", h.v4),
			fmt.Sprintf("route add %v encap seg6local action End.DT6 table 255 dev u0", h.v6),
			fmt.Sprintf("addr add %v dev lo", nat4),
			fmt.Sprintf("addr add %v dev lo nodad", nat6),
		)
		l.listen(h.station)
	}
	return l
}

// station adds a network namespace, linked to the gateway.
func (l *steerLab) station(name string, number int) *station {
	l.t.Helper()
	hold := exec.Command("unshare", "-n", "sleep", "1000")
	if err := hold.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		hold.Process.Kill()
		hold.Wait()
	})
	s := &station{l.t, name, hold.Process.Pid}
	// It is there when the process has become sleep.
	for comm := []byte(nil); !bytes.HasPrefix(comm, []byte("sleep")); time.Sleep(time.Millisecond) {
		var err error
		if comm, err = os.ReadFile(fmt.Sprintf("/proc/%d/comm", s.pid)); err != nil {
			l.t.Fatal(err)
		}
	}
	ip(l.t,
		fmt.Sprintf("link add %s type veth peer name u0 netns %d", name, s.pid),
		fmt.Sprintf("link set %s up", name),
		fmt.Sprintf("addr add 10.0.%d.1/24 dev %s", number, name),
		fmt.Sprintf("addr add 2001:db8:%d::1/64 dev %s nodad", number, name),
	)
	s.ip(
		"link set lo up",
		"link set u0 up",
		fmt.Sprintf("addr add 10.0.%d.2/24 dev u0", number),
		fmt.Sprintf("addr add 2001:db8:%d::2/64 dev u0 nodad", number),
		fmt.Sprintf("route add default via 10.0.%d.1", number),
		fmt.Sprintf("route add default via 2001:db8:%d::1", number),
	)
	return s
}

// run runs a program in the station's network namespace.
func (s *station) run(args ...string) {
	s.t.Helper()
	netns.Run(s.t, "nsenter", append([]string{"-t", fmt.Sprint(s.pid), "-n"}, args...)...)
}

// ip carries out commands of ip there.
func (s *station) ip(commands ...string) {
	s.t.Helper()
	s.within(func() error {
		ip(s.t, commands...)
		return nil
	})
}

// within calls f in the station's network namespace.
func (s *station) within(f func() error) {
	s.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", s.pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
}

// listen tells of all that comes to a hypervisor's NAT addresses.
func (l *steerLab) listen(s *station) {
	for _, k := range []struct{ family, proto int }{
		{unix.AF_INET, unix.IPPROTO_UDP}, {unix.AF_INET, unix.IPPROTO_TCP}, {unix.AF_INET, unix.IPPROTO_ICMP},
		{unix.AF_INET6, unix.IPPROTO_UDP}, {unix.AF_INET6, unix.IPPROTO_TCP}, {unix.AF_INET6, unix.IPPROTO_ICMPV6},
	} {
		s.within(func() error {
			fd, err := unix.Socket(k.family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, k.proto)
			if err != nil {
				return err
			}
			var to unix.Sockaddr = &unix.SockaddrInet4{Addr: nat4.Addr().As4()}
			if k.family == unix.AF_INET6 {
				to = &unix.SockaddrInet6{Addr: nat6.Addr().As16()}
			}
			if err := unix.Bind(fd, to); err != nil {
				return err
			}
			timeout := unix.Timeval{Usec: 100_000}
			if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
				return err
			}
			stop, stopped := make(chan struct{}), make(chan struct{})
			l.t.Cleanup(func() { close(stop); <-stopped })
			go l.read(fd, s.name, k.proto, stop, stopped)
			return nil
		})
	}
}

func (l *steerLab) read(fd int, name string, proto int, stop, stopped chan struct{}) {
	defer close(stopped)
	defer unix.Close(fd)
	for buf := make([]byte, 2000); ; {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		select {
		case <-stop:
			return
		default:
		}
		if err != nil {
			continue
		}
		p := buf[:n]
		if len(p) > 20 && p[0]>>4 == 4 && proto != unix.IPPROTO_ICMPV6 && p[0] == 0x45 && binary.BigEndian.Uint16(p[2:]) == uint16(n) {
			p = p[20:] // raw sockets of IPv4 give the header, too
		}
		a := arrival{station: name, proto: proto}
		switch {
		case len(p) < 4:
			continue
		case proto == unix.IPPROTO_UDP || proto == unix.IPPROTO_TCP:
			a.port = binary.BigEndian.Uint16(p[2:])
		case p[0] != 8 && p[0] != 128: // no echo request
			continue
		}
		select {
		case l.heard <- a:
		case <-stop:
			return
		}
	}
}

// send sends one packet from the host, and returns the hypervisor that it came
// to.
func (l *steerLab) send(to netip.Addr, proto int, port uint16) string {
	l.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		l.emit(to, proto, port)
		select {
		case a := <-l.heard:
			if a.port == port && (a.proto == proto || port == 0) {
				l.quiet()
				return a.station
			}
		case <-time.After(300 * time.Millisecond): // the first ones wait for neighbours
		}
	}
	return "nobody"
}

// quiet forgets what is still on its way.
func (l *steerLab) quiet() {
	for {
		select {
		case <-l.heard:
		case <-time.After(20 * time.Millisecond):
			return
		}
	}
}

func (l *steerLab) emit(to netip.Addr, proto int, port uint16) {
	l.t.Helper()
	l.host.within(func() error {
		family, kind := unix.AF_INET, unix.SOCK_DGRAM
		if to.Is6() {
			family = unix.AF_INET6
		}
		packet := []byte("?")
		switch proto {
		case unix.IPPROTO_TCP:
			kind = unix.SOCK_STREAM | unix.SOCK_NONBLOCK
		case unix.IPPROTO_ICMP:
			kind, packet = unix.SOCK_RAW, []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}
		case unix.IPPROTO_ICMPV6:
			kind, packet = unix.SOCK_RAW, []byte{128, 0, 0, 0, 0, 0, 0, 0} // the kernel does the checksum
		}
		fd, err := unix.Socket(family, kind, proto)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		at := sockaddr(netip.AddrPortFrom(to, port))
		if proto == unix.IPPROTO_TCP {
			if err := unix.Connect(fd, at); err != unix.EINPROGRESS {
				return err
			}
			return nil
		}
		return unix.Sendto(fd, packet, 0, at)
	})
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// steering returns what steers in the lab, as a fresh run of the program has it.
func (l *steerLab) steering() *steering {
	l.t.Helper()
	s, err := newSteering(l.cfg, l.conn, l.hops, quietLog())
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(s.close)
	return s
}

func quietLog() logrus.FieldLogger {
	log := logrus.New()
	log.SetLevel(logrus.PanicLevel)
	return log
}

// heldHops makes next hop objects.
type heldHops struct {
	t    testing.TB
	conn *rtnl.Conn
	cfg  *config.Kernel
	none bool // as a kernel that has none
	ids  map[hop]uint32
	uses map[hop]int
}

func (h *heldHops) hold(x hop) uint32 {
	h.uses[x]++
	if h.none {
		return 0
	}
	id := h.ids[x]
	if id == 0 {
		id = h.cfg.NextHopIDs.First + uint32(len(h.ids)) + 1
		h.ids[x] = id
		h.make(x)
	}
	return id
}

// make makes the object of a hop that is held.
func (h *heldHops) make(x hop) {
	device, err := net.InterfaceByName(h.cfg.Device)
	if err != nil {
		h.t.Error(err)
		return
	}
	var b rtnl.Batch
	b.ReplaceNextHop(&rtnl.NextHop{ID: h.ids[x], Protocol: h.cfg.Protocol, Hop: rtnl.Hop{
		Device: device.Index, Encap: rtnl.Encap{Kind: rtnl.EncapSeg6, Dst: x.target},
	}})
	if refusals, err := h.conn.Execute(&b); err != nil || len(refusals) > 0 {
		h.t.Errorf("next hop object: %v %v", refusals, err)
	}
}

func (h *heldHops) release(x hop) {
	if h.uses[x]--; h.uses[x] < 0 {
		h.t.Errorf("%v was released more often than held", x.target)
	}
}
