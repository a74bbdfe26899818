package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mbbgp/test/lab"
)

// action is something that is done to the network. Which one comes next depends
// on the seed and on what was done before, and on nothing that takes time.
type action struct {
	what string
	do   func()
}

// play starts a network, and hurts it and leaves it in peace by turns. At the
// end all of it is made whole.
func play(t *testing.T, seed uint64, s setting, rounds int) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t, s)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again: go test ./test/chaos -run Network -seed %d -rounds %d -timeout 0 # %v", seed, rounds, s)
		}
	})
	for _, h := range w.hypervisors {
		w.carryOut(w.announce(rnd, &h.part))
	}
	w.carryOut(w.announce(rnd, &w.fabric.part))
	w.check()
	for i := range rounds {
		w.story = append(w.story, fmt.Sprintf("round %d", i+1))
		begun := time.Now()
		for range 1 + rnd.IntN(5) {
			w.carryOut(w.choose(rnd))
			time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond) // part of what is tried
		}
		hurt := time.Now()
		w.check()
		t.Logf("round %d: hurt for %v, right and silent %v later", i+1, hurt.Sub(begun).Round(time.Millisecond), time.Since(hurt).Round(time.Millisecond))
	}
	w.story = append(w.story, "all is made whole")
	for _, a := range w.repairs() {
		w.carryOut(a)
	}
	w.check()
}

func (w *world) carryOut(a action) {
	w.story = append(w.story, a.what)
	a.do()
}

// choose returns something that can be done now.
func (w *world) choose(rnd *rand.Rand) action {
	repairs := w.repairs()
	for {
		p := pick(rnd, w.parts())
		switch n := rnd.IntN(100); {
		case n < 30 && w.canSpeak(p):
			return w.announce(rnd, p)
		case n < 60 && p.condition == alive && len(repairs) < 4:
			return w.harm(rnd, p)
		case n < 75 && len(repairs) > 0:
			return pick(rnd, repairs)
		case n >= 75 && n < 82 && len(repairs) < 4:
			return w.cut(rnd)
		case n >= 82 && n < 89 && p.condition == alive:
			return action{"connections of " + p.name + " are reset", func() { reset(p) }}
		case n >= 89 && n < 93:
			return w.sloth(rnd)
		case n >= 93:
			if b := pick(rnd, w.bridges); b.condition == alive || b.condition == apart {
				return w.reconfigure(rnd, b)
			}
		}
	}
}

func pick[T any](rnd *rand.Rand, list []T) T { return list[rnd.IntN(len(list))] }

// canSpeak reports whether a part announces prefixes, and takes commands now.
func (w *world) canSpeak(p *part) bool {
	if p.condition != alive && p.condition != apart {
		return false
	}
	return p == &w.fabric.part || slices.ContainsFunc(w.hypervisors, func(h *hypervisor) bool { return p == &h.part })
}

// The prefixes: some of one side only, some that both sides may announce.
var (
	hypervisorPrefixes = append(prefixes("10.1.%d.0/24", "fd00:1:%d::/64"), sharedPrefixes...)
	fabricPrefixes     = append(prefixes("10.9.%d.0/24", "fd00:9:%d::/64"), sharedPrefixes...)
	sharedPrefixes     = prefixes("10.5.%d.0/24", "fd00:5:%d::/64")
)

func prefixes(formats ...string) (list []string) {
	for _, f := range formats {
		for i := range 4 {
			list = append(list, fmt.Sprintf(f, i+1))
		}
	}
	return list
}

// manyPrefixes are hosts that a hypervisor announces and withdraws at once.
var manyPrefixes = func() (list []string) {
	for i := range 300 {
		list = append(list, fmt.Sprintf("10.7.%d.%d/32", i/100, i%100))
	}
	return list
}()

// voice is what announces prefixes.
type voice interface {
	announce(prefixes ...string)
	withdraw(prefixes ...string)
}

// announce lets a hypervisor or the fabric announce what it has not, and
// withdraw what it has, of some prefixes.
func (w *world) announce(rnd *rand.Rand, p *part) action {
	var some []string
	pool, announced, who := fabricPrefixes, w.fabric.announced, func() voice { return w.fabric }
	for _, h := range w.hypervisors {
		if p == &h.part {
			pool, announced, who = hypervisorPrefixes, h.announced, func() voice { return h }
		}
	}
	what := "its many prefixes"
	if p == &w.fabric.part || rnd.IntN(4) > 0 {
		for range 1 + rnd.IntN(6) {
			some = append(some, pick(rnd, pool))
		}
		slices.Sort(some)
		some = slices.Compact(some)
		what = fmt.Sprint(some)
	} else {
		some = manyPrefixes
	}
	return action{p.name + " changes " + what, func() {
		var more, less []string
		for _, x := range some {
			if announced[x] {
				delete(announced, x)
				less = append(less, x)
			} else {
				announced[x] = true
				more = append(more, x)
			}
		}
		who().withdraw(less...)
		who().announce(more...)
	}}
}

// harm returns what leaves a part that is alive otherwise.
func (w *world) harm(rnd *rand.Rand, p *part) action {
	switch to := condition(rnd.IntN(4)); to {
	case alive:
		return action{p.name + " is killed and started at once", func() {
			p.process.Kill()
			p.start()
		}}
	default:
		return p.becomes(to)
	}
}

// becomes harms a part that is alive.
func (p *part) becomes(to condition) action {
	return action{fmt.Sprintf("%s is %v", p.name, to), func() {
		p.condition = to
		switch to {
		case dead:
			p.process.Kill()
		case frozen:
			p.process.Freeze()
		case apart:
			p.node.Unplug()
		}
	}}
}

// repairs are what undoes the harm that there is.
func (w *world) repairs() (list []action) {
	for _, p := range w.parts() {
		switch p.condition {
		case dead:
			list = append(list, action{p.name + " is started", func() {
				p.start()
				p.condition = alive
			}})
		case frozen:
			list = append(list, action{p.name + " goes on", func() {
				p.process.Thaw()
				p.condition = alive
			}})
		case apart:
			list = append(list, action{p.name + " is on the network again", func() {
				p.node.Plug()
				p.condition = alive
			}})
		}
	}
	for _, l := range w.links() {
		if w.cuts[between(l[0], l[1])] {
			list = append(list, action{fmt.Sprintf("%s and %s hear each other again", l[0].name, l[1].name), func() {
				delete(w.cuts, between(l[0], l[1]))
				hear(l[0], l[1])
			}})
		}
	}
	return list
}

// links are the pairs that have sessions.
func (w *world) links() (list [][2]*part) {
	for _, s := range w.servers {
		for _, h := range w.hypervisors {
			list = append(list, [2]*part{&h.part, &s.part})
		}
	}
	for _, b := range w.bridges {
		for _, s := range b.servers {
			list = append(list, [2]*part{&b.part, &s.part})
		}
		list = append(list, [2]*part{&b.part, &w.fabric.part})
	}
	return list
}

// cut makes two parts deaf for each other, whoever else they reach.
func (w *world) cut(rnd *rand.Rand) action {
	l := pick(rnd, w.links())
	return action{fmt.Sprintf("%s and %s hear nothing of each other", l[0].name, l[1].name), func() {
		if !w.cuts[between(l[0], l[1])] {
			w.cuts[between(l[0], l[1])] = true
			deafen(l[0], l[1])
		}
	}}
}

// reconfigure lets a bridge reload a file, a wrong one or one with another
// policy, or restarts it in order.
func (w *world) reconfigure(rnd *rand.Rand, b *bridge) action {
	denied := pick(rnd, append(slices.Concat(hypervisorPrefixes, fabricPrefixes), "", ""))
	switch rnd.IntN(4) {
	case 0:
		return action{b.part.name + " is told to reload half a file", func() {
			half, _, _ := strings.Cut(w.configure(b), "connect-retry") // within {
			b.node.WriteFile(configPath, half)
			b.process.Signal(syscall.SIGHUP)
		}}
	case 1:
		return action{b.part.name + " is restarted in order", func() {
			if status := b.process.Stop(syscall.SIGTERM); status != 0 {
				w.t.Errorf("%s: exit status %d", b.part.name, status)
			}
			b.start()
		}}
	default:
		return action{fmt.Sprintf("%s is told to refuse %q only", b.part.name, denied), func() {
			b.denied = denied
			b.node.WriteFile(configPath, w.configure(b))
			lab.Eventually(w.t, patience, "reload of "+b.part.name, func() error {
				_, err := b.node.Try(lab.Program("mbbgp"), "reload")
				return err
			})
		}}
	}
}

// reset lets a part's connections end: for a while whatever comes is answered
// with a reset, which the part itself does not hear.
func reset(p *part) {
	filter(p, "chaos", "tcp dport { 179, 4711 } reject with tcp reset", "tcp sport { 179, 4711 } reject with tcp reset")
	time.Sleep(1200 * time.Millisecond) // more than an interval of keepalives
	unfilter(p, "chaos")
}

// filter makes a table of packets that a part gets.
func filter(at *part, table string, rules ...string) {
	at.node.Run("nft", fmt.Sprintf("table inet %s {\nchain in {\ntype filter hook input priority 0;\n%s\n}\n}", table, strings.Join(rules, "\n")))
}

func unfilter(at *part, table string) { at.node.Run("nft", "delete", "table", "inet", table) }

// deafen lets two parts drop what the other one sends; hear undoes it.
func deafen(a, b *part) {
	for _, side := range [][2]*part{{a, b}, {b, a}} {
		at, from := side[0], side[1]
		var rules []string
		for _, address := range from.addresses {
			family := "ip"
			if strings.Contains(address, ":") {
				family = "ip6"
			}
			rules = append(rules, family+" saddr "+address+" drop")
		}
		filter(at, "from_"+from.name, rules...)
	}
}

func hear(a, b *part) {
	unfilter(a, "from_"+b.name)
	unfilter(b, "from_"+a.name)
}
