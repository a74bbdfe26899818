package kernel

import (
	"bufio"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// capabilities looks at what the process may do.
func (c *examination) capabilities() {
	held, err := effective(c.files)
	if err != nil {
		c.bad(LevelWarning, "capabilities", fmt.Sprintf("unknown: %v", err), "")
		return
	}
	if c.cfg.Kernel != nil {
		c.capability(held, unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", "routes, next hops and devices")
	}
	if port := c.privilegedPort(); port != 0 {
		c.capability(held, unix.CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE", fmt.Sprintf("listening on port %d", port))
	}
}

func (c *examination) capability(held uint64, number int, name, purpose string) {
	if held&(1<<number) != 0 {
		c.good(name, purpose)
		return
	}
	c.bad(LevelError, name+" is missing", "needed for "+purpose, "setcap cap_net_admin,cap_net_bind_service+ep $(command -v mbbgp)")
}

// effective returns the effective capabilities of the process.
func effective(files fs.FS) (uint64, error) {
	f, err := files.Open("proc/self/status")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), "CapEff:"); found {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no CapEff")
}

// privilegedPort returns a port that is listened on and that not everybody may
// have, 0 if there is none.
func (c *examination) privilegedPort() uint16 {
	first, known := c.sysctl("net.ipv4.ip_unprivileged_port_start")
	if !known {
		first = 1024
	}
	listen := c.cfg.MetalBond.Listen
	if b := c.cfg.BGP; b != nil {
		listen = append(listen[:len(listen):len(listen)], b.Listen...)
	}
	if at, err := netip.ParseAddrPort(c.cfg.HTTP); err == nil {
		listen = append(listen[:len(listen):len(listen)], at)
	}
	for _, at := range listen {
		if port := at.Port(); port != 0 && int(port) < first {
			return port
		}
	}
	return 0
}
