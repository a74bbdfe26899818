package chaos

import (
	"fmt"
	"slices"
	"strings"

	"mbbgp/test/lab"
)

// hypervisor is a client that announces and listens: one of metalbond's library,
// or ours.
type hypervisor struct {
	part
	target    string          // next hop of its routes
	announced map[string]bool // prefixes
	client
}

// client is the program of a hypervisor.
type client interface {
	voice
	routes() ([]string, error) // of others
	heard() int                // updates so far, 0 if it does not tell
}

func (h *hypervisor) route(prefix string) string {
	return fmt.Sprintf("%d#%s#%s", vni, prefix, h.target)
}

func (w *world) addHypervisor(l *lab.Lab, i int, stock bool) {
	name, address := fmt.Sprintf("hypervisor%d", i), fmt.Sprintf("2001:db8::a%d", i)
	h := &hypervisor{target: address, announced: make(map[string]bool)}
	h.part = part{name: name, node: l.Node(name, address+"/64"), addresses: []string{address}}
	h.start = func() { w.startOurs(h) }
	if stock {
		h.start = func() { w.startStock(h) }
	}
	h.start()
	w.hypervisors = append(w.hypervisors, h)
}

// stockClient is metalbond's library. It takes no routes of a prefix that it
// announces itself, and does not ask for them when it has withdrawn its own.
type stockClient struct {
	*lab.Hypervisor
	h     *hypervisor
	spoke map[string]bool // prefixes that it has announced since it was started
}

func (w *world) startStock(h *hypervisor) {
	c := &stockClient{h.node.Hypervisor("-quiet", "-keepalive", "1"), h, make(map[string]bool)}
	h.client, h.process = c, c.Process
	c.Do("subscribe %d", vni)
	c.announce(sorted(h.announced)...)
	for _, s := range w.servers {
		c.Do("connect %s", s.address)
	}
}

func (c *stockClient) announce(prefixes ...string) {
	for _, prefix := range prefixes {
		c.spoke[prefix] = true
	}
	c.tell("announce", prefixes)
}

func (c *stockClient) withdraw(prefixes ...string) { c.tell("withdraw", prefixes) }

// tell lets the library tell its servers. If a session is not up it fails, and
// has told some of the others; then the client starts anew.
func (c *stockClient) tell(command string, prefixes []string) {
	for _, prefix := range prefixes {
		if err := c.Try("%s %s", command, c.h.route(prefix)); err != nil {
			c.Kill()
			c.h.start()
			return
		}
	}
}

func (c *stockClient) heard() int { return c.Heard() }

func (c *stockClient) routes() ([]string, error) {
	return slices.DeleteFunc(c.Routes(), c.untold), nil
}

// untold reports whether the client may have a route or not.
func (c *stockClient) untold(route string) bool { return c.spoke[strings.Split(route, "#")[1]] }

// ourClient is told on its command line what to announce. It starts anew for
// every change.
type ourClient struct {
	*lab.MetalBond
	h       *hypervisor
	restart func()
}

func (w *world) startOurs(h *hypervisor) {
	args := []string{"--keepalive", "1", "--subscribe", fmt.Sprint(vni)}
	for _, s := range w.servers {
		args = append(args, "--server", s.address)
	}
	for prefix := range h.announced {
		args = append(args, "--announce", h.route(prefix))
	}
	c := &ourClient{h.node.Client(args...), h, h.start}
	h.client, h.process = c, c.Process
}

func (c *ourClient) announce(prefixes ...string) {
	if len(prefixes) > 0 {
		c.h.process.Kill()
		c.restart()
	}
}

func (c *ourClient) withdraw(prefixes ...string) { c.announce(prefixes...) }
func (c *ourClient) heard() int                  { return 0 }

func (c *ourClient) routes() ([]string, error) {
	list, err := c.Routes()
	return slices.DeleteFunc(list, func(r string) bool { return strings.HasSuffix(r, "#"+c.h.target) }), err
}
