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

// kernelProbe fails in a new network namespace if the kernel lacks what SRv6
// VPNs need: VRF devices, segment routing on routes of both families, and
// decapsulation into a VRF.
const kernelProbe = `
	ip link add red type vrf table 1000
	ip link set red up
	ip link set lo up
	sysctl -qw net.vrf.strict_mode=1
	ip route add 192.0.2.0/24 encap seg6 mode encap.red segs 2001:db8::1 dev lo
	ip -6 route add 2001:db8:1::/48 encap seg6 mode encap segs 2001:db8::1 dev lo
	ip -6 route add 2001:db8:2::/128 encap seg6local action End.DT46 vrftable 1000 dev red`

// KernelMain is Main for a package whose tests need more of the kernel than
// others (kernelProbe). Where this machine's kernel lacks it, all tests of the
// package run in a virtual machine with another one (test/guest), which takes
// 5 to 20 s to boot and is several times slower.
func KernelMain(m *testing.M) { os.Exit(runMain(m, kernel)) }

// kernel returns the command that runs another one under a kernel that has what
// kernelProbe looks for, or nothing if this one does.
func kernel(flags []string) ([]string, error) {
	out, err := exec.Command("unshare", append(flags, "sh", "-ec", kernelProbe)...).CombinedOutput()
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
