package lab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Ping is a ping that goes on.
type Ping struct {
	*Process
	interval time.Duration
}

// Ping starts to ping an address, with further arguments of ping, and waits for
// the first answer.
func (n *Node) Ping(interval time.Duration, address string, args ...string) *Ping {
	n.t.Helper()
	args = append([]string{"-n", "-i", strconv.FormatFloat(interval.Seconds(), 'f', -1, 64), address}, args...)
	p := &Ping{n.Start("ping", args...), interval}
	p.Name += " " + address
	p.WaitAnswer(30 * time.Second)
	return p
}

// answers returns the sequence numbers that were answered, sorted.
func (p *Ping) answers() []int {
	var list []int
	for line := range strings.Lines(p.Log()) {
		_, rest, found := strings.Cut(line, "icmp_seq=")
		if !found || !strings.Contains(rest, "time=") { // an error has none
			continue
		}
		digits, _, _ := strings.Cut(rest, " ")
		if n, err := strconv.Atoi(digits); err == nil {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// Answers returns how many answers there were.
func (p *Ping) Answers() int { return len(p.answers()) }

// WaitAnswer waits for another answer.
func (p *Ping) WaitAnswer(within time.Duration) {
	p.t.Helper()
	before := p.Answers()
	Eventually(p.t, within, p.Name, func() error {
		if p.Answers() == before {
			return fmt.Errorf("no answer but the first %d: %s", before, p.Tail(3))
		}
		return nil
	})
}

// Loss is what became of the packets of a Ping.
type Loss struct {
	Sent       int // until the last one that was answered
	Lost       int
	Duplicates int
	Longest    time.Duration // that none of the packets sent was answered
}

func (l Loss) String() string {
	return fmt.Sprintf("%d of %d lost, %d twice, the longest gap %s", l.Lost, l.Sent, l.Duplicates, l.Longest)
}

// End ends it, but waits for another answer first, and so for the end of an
// interruption.
func (p *Ping) End(within time.Duration) Loss {
	p.t.Helper()
	p.WaitAnswer(within)
	p.Stop(syscall.SIGINT)
	var l Loss
	list := p.answers()
	for i, n := range list[1:] {
		switch missing := n - list[i] - 1; {
		case missing < 0:
			l.Duplicates++
		case missing > 0:
			l.Lost += missing
			l.Longest = max(l.Longest, time.Duration(missing)*p.interval)
		}
	}
	l.Sent = list[len(list)-1] - list[0] + 1
	return l
}
