package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"mbbgp/plugin/kernel/rtnl"
)

// errNotTried is why a feature was not tried.
var errNotTried = errors.New("not tried")

// tryFeatures tries features in a network namespace that is thrown away.
func tryFeatures(list []feature) map[feature]support {
	result := make(map[feature]support)
	err := elsewhere(func() error {
		p, err := newProbe()
		if err != nil {
			return err
		}
		defer p.close()
		for _, f := range list {
			err := p.try(f)
			result[f] = support{tried: !errors.Is(err, errNotTried), err: err}
		}
		return nil
	})
	if err != nil {
		for _, f := range list {
			result[f] = support{err: err}
		}
	}
	return result
}

// elsewhere runs f in a new network namespace and waits for it.
func elsewhere(f func() error) error {
	done := make(chan error)
	go func() { done <- inNewNamespace(f) }()
	return <-done
}

// inNewNamespace runs f on the thread of the calling goroutine, which ends with
// the goroutine if it does not get back to where it was.
func inNewNamespace(f func() error) error {
	runtime.LockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer here.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return os.NewSyscallError("a new network namespace: unshare", err)
	}
	defer func() {
		if unix.Setns(int(here.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}

// probe tries features in the network namespace of its thread.
type probe struct {
	conn *rtnl.Conn
	net  *netlink.Handle
	lo   int // interface index
}

func newProbe() (*probe, error) {
	conn, err := rtnl.Dial()
	if err != nil {
		return nil, err
	}
	net, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	p := &probe{conn: conn, net: net}
	lo, err := net.LinkByName("lo")
	if err == nil {
		err = net.LinkSetUp(lo)
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("lo of a new network namespace: %w", err)
	}
	p.lo = lo.Attrs().Index
	return p, nil
}

func (p *probe) close() {
	p.net.Close()
	_ = p.conn.Close() // nothing comes after
}

// What the probes use. The prefix is one for documentation (RFC 3849).
const (
	probeTable = 1000
	probeVRF   = "vrf0"
)

var (
	probeAddr    = netip.MustParseAddr("2001:db8::1")
	probePrefix  = netip.MustParsePrefix("2001:db8:1::/48")
	probePrefix4 = netip.MustParsePrefix("192.0.2.0/24")
)

// try returns why a feature is not there.
func (p *probe) try(f feature) error {
	attrs := netlink.NewLinkAttrs()
	switch f {
	case featureObjects:
		if !p.conn.SupportsNextHopObjects() {
			return unix.EOPNOTSUPP
		}
		return nil
	case featureVRF:
		_, err := p.vrf()
		return err
	case featureIP6TNL:
		attrs.Name = "tunnel0"
		if err := p.net.LinkAdd(&netlink.Ip6tnl{LinkAttrs: attrs, FlowBased: true}); err != nil {
			return err
		}
		device, err := p.up(attrs.Name)
		if err != nil {
			return err
		}
		return p.route(probePrefix4, rtnl.Hop{Device: device, Encap: rtnl.Encap{Kind: rtnl.EncapIP6, Dst: probeAddr}})
	case featureSeg6:
		return p.route(probePrefix4, rtnl.Hop{Device: p.lo, Encap: rtnl.Encap{Kind: rtnl.EncapSeg6, Dst: probeAddr}})
	case featureDT46:
		return p.segment(rtnl.ActionDT46)
	case featureDT4:
		return p.segment(rtnl.ActionDT4)
	case featureDT6:
		return p.route(probePrefix, rtnl.Hop{Device: p.lo, Encap: rtnl.Encap{Kind: rtnl.EncapSeg6Local, Action: rtnl.ActionDT6, Table: unix.RT_TABLE_MAIN}})
	case featureVXLAN:
		attrs.Name = "vxlan0"
		return p.net.LinkAdd(&netlink.Vxlan{LinkAttrs: attrs, VxlanId: 1, Port: 4789})
	case featureDummy:
		attrs.Name = "dummy0"
		err := p.net.LinkAdd(&netlink.Dummy{LinkAttrs: attrs})
		if errors.Is(err, unix.EEXIST) { // the module made one when it was loaded
			err = nil
		}
		return err
	case featureMPLS:
		return p.route(probePrefix4, rtnl.Hop{Device: p.lo, Encap: rtnl.Encap{Kind: rtnl.EncapMPLS, Label: 16}})
	case featureMPLSInput:
		_, err := os.Stat("/proc/sys/net/mpls/platform_labels")
		return err
	case featureNFTables:
		c, err := nftables.New()
		if err != nil {
			return err
		}
		c.AddTable(&nftables.Table{Name: "probe", Family: nftables.TableFamilyINet})
		return c.Flush()
	}
	return fmt.Errorf("%w: feature %d", errNotTried, f)
}

// up brings a device up and returns its interface index.
func (p *probe) up(name string) (int, error) {
	l, err := p.net.LinkByName(name)
	if err != nil {
		return 0, err
	}
	return l.Attrs().Index, p.net.LinkSetUp(l)
}

// vrf makes sure of a VRF device and returns its interface index.
func (p *probe) vrf() (int, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = probeVRF
	if err := p.net.LinkAdd(&netlink.Vrf{LinkAttrs: attrs, Table: probeTable}); err != nil && !errors.Is(err, unix.EEXIST) {
		return 0, err
	}
	return p.up(probeVRF)
}

// segment tries a behaviour that needs a VRF and its strict mode.
func (p *probe) segment(action uint8) error {
	vrf, err := p.vrf()
	if err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/vrf/strict_mode", []byte("1"), 0); err != nil {
		return fmt.Errorf("%w: %w", errNotTried, err)
	}
	return p.route(probePrefix, rtnl.Hop{Device: vrf, Encap: rtnl.Encap{Kind: rtnl.EncapSeg6Local, Action: action, Table: probeTable}})
}

// route adds a route and removes it again.
func (p *probe) route(to netip.Prefix, hop rtnl.Hop) error {
	r := rtnl.Route{Table: unix.RT_TABLE_MAIN, Prefix: to, Protocol: unix.RTPROT_STATIC, Metric: 1, Hops: []rtnl.Hop{hop}}
	var b rtnl.Batch
	b.AddRoute(&r)
	refused, err := p.conn.Execute(&b)
	if err != nil {
		return err
	}
	if len(refused) > 0 {
		return refused[0].Err
	}
	b.Reset()
	b.DeleteRoute(&r)
	_, err = p.conn.Execute(&b)
	return err
}
