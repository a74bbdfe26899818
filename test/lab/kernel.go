package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// guestVar is set in the virtual machine that KernelMain boots.
const guestVar = "MBBGP_LAB_GUEST"

// kernelProbe fails in a new network namespace if the kernel lacks what a
// gateway needs: VRF and tunnel devices, segment routing on routes of both
// families with decapsulation into a VRF, MPLS, next hop objects with
// encapsulation, and nftables.
const kernelProbe = `
	! [ -d /lib/modules ] || modprobe -qa mpls_router mpls_iptunnel || :
	ip link set lo up
	ip link add red up type vrf table 1000
	sysctl -qw net.vrf.strict_mode=1 net.mpls.platform_labels=1000
	ip link add t6 up type ip6tnl mode any external
	ip link add vx7 up type vxlan id 7 local 192.0.2.1 dstport 4789 nolearning
	ip link add d0 up type dummy
	ip route add 192.0.2.0/24 encap seg6 mode encap.red segs 2001:db8::1 dev lo
	ip -6 route add 2001:db8:1::/48 encap seg6 mode encap segs 2001:db8::1 dev lo
	ip -6 route add 2001:db8:2::/128 encap seg6local action End.DT46 vrftable 1000 dev red
	ip -6 nexthop add id 7 encap ip6 dst 2001:db8::1 dev t6
	ip route add 198.51.100.0/24 nhid 7
	ip route add 203.0.113.0/24 encap mpls 100 dev d0
	nft add table inet probe`

// KernelMain is Main for a package whose tests forward packets. Where this
// machine's kernel lacks what they need (kernelProbe), all tests of the package
// run in a virtual machine with another one (test/guest), which takes 5 to 20 s
// to boot and is several times slower.
func KernelMain(m *testing.M) { os.Exit(runMain(m, needs{kernelProbe, true})) }

// KernelUnitMain is KernelMain for a package whose tests use the kernel and none
// of the programs. Those that cannot do without it begin with Need(t, "lab").
// All of them share the namespaces: a test that changes the network makes its own.
func KernelUnitMain(m *testing.M) { os.Exit(runMain(m, needs{kernelProbe, false})) }

// kernel returns the command that runs another one under a kernel that passes
// the probe, or nothing if this one does.
func kernel(flags []string, probe string) ([]string, error) {
	out, err := exec.Command("unshare", append(flags, "sh", "-ec", probe)...).CombinedOutput()
	if err == nil {
		return nil, nil
	}
	if os.Getenv(guestVar) != "" {
		return nil, fmt.Errorf("the guest's kernel, too, lacks a feature: %w: %s", err, out)
	}
	root, err := Root()
	if err != nil {
		return nil, err
	}
	guest := filepath.Join(root, "test", "guest")
	if out, err := exec.Command(guest, "-prepare").CombinedOutput(); err != nil {
		return nil, errors.New(strings.TrimSpace(string(out)))
	}
	return []string{guest}, nil
}

// NeedGuest skips a test that does to the machine what only a virtual one may
// suffer.
func NeedGuest(t testing.TB) {
	t.Helper()
	if os.Getenv(guestVar) == "" {
		t.Skip("needs a machine of its own, and this one's kernel serves the other tests")
	}
}
