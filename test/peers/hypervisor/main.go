// Hypervisor is the MetalBond client that hypervisors run (its library) under
// the control of a test: commands come in as lines, everything that the
// library reports goes out as lines of JSON.
//
//	subscribe VNI, unsubscribe VNI
//	announce ROUTE, withdraw ROUTE     VNI#PREFIX#NEXTHOP[#LB|#NAT#FROM#TO]
//	fill VNI N NEXTHOP, drain ...      the first N addresses of 10.0.0.0/8
//	connect ADDRESS, disconnect ADDRESS
//
// With -listen it is the library's server instead, and reports what its
// clients announce. It ends with its input.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ironcore-dev/metalbond"
	"github.com/ironcore-dev/metalbond/pb"
	"github.com/sirupsen/logrus"
)

func main() {
	listen := flag.String("listen", "", "serve on this address instead of being a client")
	keepalive := flag.Uint("keepalive", 5, "keepalive interval in seconds")
	quiet := flag.Bool("quiet", false, "do not log every route")
	flag.Parse()

	// The library's own knobs: 1 s instead of 5 to 9 s after a lost session.
	metalbond.RetryIntervalMin, metalbond.RetryIntervalMax = 1, 1

	out := &reporter{w: bufio.NewWriter(os.Stdout)}
	logrus.SetOutput(os.Stderr)
	if *quiet {
		logrus.SetLevel(logrus.WarnLevel)
	}
	logrus.AddHook(out)
	bond := metalbond.NewMetalBond(metalbond.Config{KeepaliveInterval: uint32(*keepalive)}, out)
	if *listen != "" {
		if err := bond.StartServer(*listen); err != nil {
			logrus.Fatal(err)
		}
	}
	c := &control{bond: bond, out: out, peers: make(map[string]metalbond.ConnectionState)}
	go c.watch()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		err := c.do(strings.Fields(lines.Text()))
		r := report{Event: "done"}
		if err != nil {
			r.Error = err.Error()
		}
		out.say(r)
	}
	bond.Shutdown()
}

// report is one line of output.
type report struct {
	Event string `json:"event"` // add, remove, duplicate, state, done
	Route string `json:"route,omitempty"`
	Peer  string `json:"peer,omitempty"`
	State string `json:"state,omitempty"`
	Error string `json:"error,omitempty"`
}

// reporter is what the library calls with its routes, and a hook of its log,
// which is the only place where it tells of duplicates.
type reporter struct {
	mu sync.Mutex
	w  *bufio.Writer // guarded by mu
}

func (r *reporter) say(line report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, err := json.Marshal(line)
	if err != nil {
		logrus.Fatal(err)
	}
	r.w.Write(append(b, '\n'))
	if err := r.w.Flush(); err != nil {
		os.Exit(1) // nobody listens any more
	}
}

func (r *reporter) AddRoute(vni metalbond.VNI, d metalbond.Destination, n metalbond.NextHop) error {
	r.say(report{Event: "add", Route: format(vni, d, n)})
	return nil
}

func (r *reporter) RemoveRoute(vni metalbond.VNI, d metalbond.Destination, n metalbond.NextHop) error {
	r.say(report{Event: "remove", Route: format(vni, d, n)})
	return nil
}

func (r *reporter) Levels() []logrus.Level { return []logrus.Level{logrus.ErrorLevel} }

func (r *reporter) Fire(e *logrus.Entry) error {
	if strings.HasSuffix(e.Message, "nexthop already exists") {
		r.say(report{Event: "duplicate", Error: e.Message})
	}
	return nil
}

// control carries out commands.
type control struct {
	bond *metalbond.MetalBond
	out  *reporter

	mu    sync.Mutex
	peers map[string]metalbond.ConnectionState // guarded by mu; last told
}

// watch reports the state of the sessions, for which the library has no event.
func (c *control) watch() {
	for range time.Tick(20 * time.Millisecond) {
		c.mu.Lock()
		for addr, last := range c.peers {
			now, err := c.bond.PeerState(addr)
			if err == nil && now != last {
				c.peers[addr] = now
				c.out.say(report{Event: "state", Peer: addr, State: now.String()})
			}
		}
		c.mu.Unlock()
	}
}

func (c *control) do(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("no command: %q", args)
	}
	switch args[0] {
	case "subscribe", "unsubscribe":
		vni, err := strconv.ParseUint(args[1], 10, 32)
		if err != nil {
			return err
		}
		if args[0] == "unsubscribe" {
			return c.bond.Unsubscribe(metalbond.VNI(vni))
		}
		return c.bond.Subscribe(metalbond.VNI(vni))
	case "announce", "withdraw":
		vni, d, n, err := parse(args[1])
		if err != nil {
			return err
		}
		if args[0] == "withdraw" {
			return c.bond.WithdrawRoute(vni, d, n)
		}
		return c.bond.AnnounceRoute(vni, d, n)
	case "fill", "drain":
		return c.many(args)
	case "connect":
		c.mu.Lock()
		defer c.mu.Unlock()
		c.peers[args[1]] = metalbond.CLOSED
		return c.bond.AddPeer(args[1], "")
	case "disconnect":
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.peers, args[1])
		return c.bond.RemovePeer(args[1])
	}
	return fmt.Errorf("no command: %q", args)
}

// many announces or withdraws the first N addresses of 10.0.0.0/8.
func (c *control) many(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("want %s VNI N NEXTHOP, got %q", args[0], args)
	}
	count, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	for i := range count {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		vni, d, n, err := parse(args[1] + "#" + addr.String() + "/32#" + args[3])
		if err != nil {
			return err
		}
		do := c.bond.AnnounceRoute
		if args[0] == "drain" {
			do = c.bond.WithdrawRoute
		}
		if err := do(vni, d, n); err != nil {
			return err
		}
	}
	return nil
}

func format(vni metalbond.VNI, d metalbond.Destination, n metalbond.NextHop) string {
	s := fmt.Sprintf("%d#%s#%s", vni, d.Prefix, n.TargetAddress)
	switch n.Type {
	case pb.NextHopType_LOADBALANCER_TARGET:
		s += "#LB"
	case pb.NextHopType_NAT:
		s += fmt.Sprintf("#NAT#%d#%d", n.NATPortRangeFrom, n.NATPortRangeTo)
	}
	if n.TargetVNI != 0 {
		s += fmt.Sprintf("@%d", n.TargetVNI)
	}
	return s
}

func parse(s string) (vni metalbond.VNI, d metalbond.Destination, n metalbond.NextHop, err error) {
	s, target, _ := strings.Cut(s, "@")
	f := strings.Split(s, "#")
	if len(f) != 3 && len(f) != 4 && len(f) != 6 {
		return 0, d, n, fmt.Errorf("no route: %q", s)
	}
	v, err := strconv.ParseUint(f[0], 10, 32)
	if err != nil {
		return 0, d, n, err
	}
	if d.Prefix, err = netip.ParsePrefix(f[1]); err != nil {
		return 0, d, n, err
	}
	d.IPVersion = metalbond.IPV6
	if d.Prefix.Addr().Is4() {
		d.IPVersion = metalbond.IPV4
	}
	if n.TargetAddress, err = netip.ParseAddr(f[2]); err != nil {
		return 0, d, n, err
	}
	if target != "" {
		t, err := strconv.ParseUint(target, 10, 32)
		if err != nil {
			return 0, d, n, err
		}
		n.TargetVNI = uint32(t)
	}
	if len(f) > 3 {
		n.Type = pb.ConvertCmdLineStrToEnumValue(f[3])
	}
	if len(f) == 6 {
		from, err := strconv.ParseUint(f[4], 10, 16)
		if err != nil {
			return 0, d, n, err
		}
		to, err := strconv.ParseUint(f[5], 10, 16)
		if err != nil {
			return 0, d, n, err
		}
		n.NATPortRangeFrom, n.NATPortRangeTo = uint16(from), uint16(to)
	}
	return metalbond.VNI(v), d, n, nil
}
