package bench

import (
	"context"
	"fmt"
	"time"

	"mbbgp/wire"
)

// Options say what is done to a server.
type Options struct {
	Routes    Routes
	Clients   int           // who listen: subscribers, joiners, churners, idle sessions; memory: who announce
	Pace      Pace          // of announcers
	Duration  time.Duration // of loads that have no end of their own
	Keepalive time.Duration // interval to offer
	Patience  time.Duration // without any update before the load has failed

	// Progress is told now and then what is being done, and how many updates
	// all clients have heard. May be nil.
	Progress func(what string, deliveries uint64)
}

// Load is one kind of load. It returns a result a phase.
type Load struct {
	Name string
	Does string // in one line
	run  func(*load) error
}

// Loads are all that there are.
func Loads() []Load {
	return []Load{
		{"fanout", "one client announces, many subscribers are told; then it withdraws", (*load).fanout},
		{"sync", "many clients subscribe at once to a table that stands", (*load).sync},
		{"churn", "many clients announce and withdraw as fast as they can, all told by all", (*load).churn},
		{"drop", "a client that announced everything is lost", (*load).drop},
		{"slow", "one subscriber does not read while others are told, then it reads", (*load).slow},
		{"latency", "one route at a time on a quiet server", (*load).latency},
		{"memory", "the same routes from one client after another", (*load).memory},
		{"idle", "sessions that only send keepalives", (*load).idle},
	}
}

// Run puts the load on a server and returns what each of its phases took. What
// it announced is gone afterwards, with the sessions.
func (l Load) Run(ctx context.Context, server *Server, options Options) ([]Result, error) {
	x, err := newLoop(options.Patience, options.Keepalive)
	if err != nil {
		return nil, err
	}
	defer x.close()
	r := &load{Options: options, ctx: ctx, loop: x, server: server, name: l.Name}
	if options.Progress != nil {
		x.tick = func() { options.Progress(r.doing, r.heard()) }
	}
	err = r.vacant()
	if err == nil {
		err = l.run(r)
	}
	if err != nil {
		return r.results, fmt.Errorf("%s: %w", r.doing, err)
	}
	return r.results, nil
}

// load is a load under way.
type load struct {
	Options
	ctx     context.Context
	loop    *loop
	server  *Server
	name    string
	doing   string
	results []Result

	listeners []*client
	begun     time.Time // of the phase
	before    usage
	heardThen uint64
	saidThen  uint64
}

// heard returns what all clients have heard.
func (r *load) heard() (n uint64) {
	for _, c := range r.loop.clients {
		n += c.heard
	}
	return n
}

func (r *load) said() (n uint64) {
	for _, c := range r.loop.clients {
		n += c.said
	}
	return n
}

// until runs the loop until something is so.
func (r *load) until(what string, is func() bool) error {
	r.doing = what
	return r.loop.run(r.ctx, what, is)
}

// pause runs the loop for a while.
func (r *load) pause(what string, d time.Duration) error {
	end := time.Now().Add(d)
	r.loop.moved = end // what comes is not waited for
	return r.until(what, func() bool {
		r.loop.moved = r.loop.now
		return !r.loop.now.Before(end)
	})
}

// connect opens sessions and waits until they are established.
func (r *load) connect(n int, name string, pace Pace) ([]*client, error) {
	r.doing = "connecting"
	var list []*client
	const together = 64 // the backlog of a listener may be short
	for len(list) < n {
		for range min(together, n-len(list)) {
			c, err := r.loop.connect(r.ctx, r.server.Address, fmt.Sprintf("%s %d", name, len(list)+1), pace)
			if err != nil {
				return nil, err
			}
			list = append(list, c)
		}
		if err := r.until("connecting", func() bool { return r.loop.opening == 0 }); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// announcer opens the session of one who announces.
func (r *load) announcer(name string) (*client, error) {
	list, err := r.connect(1, name, r.Pace)
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// subscribe has clients subscribe to every VNI.
func (r *load) subscribe(list []*client) error {
	var frames []byte
	for _, vni := range r.Routes.vnis() {
		frames = wire.AppendSubscribe(frames, vni)
	}
	for _, c := range list {
		if err := c.tell(frames); err != nil {
			return err
		}
	}
	return nil
}

// quietTime is how long a server has to do nothing to be quiet, and how long to
// wait where that cannot be seen.
const (
	quietTime = 300 * time.Millisecond
	quietCPU  = 10 * time.Millisecond // of quietTime
)

// settle waits until the server has nothing left to do: it has answered all
// KEEPALIVEs, and its process does nothing.
func (r *load) settle() error {
	for _, c := range r.loop.clients {
		if c.ended == nil && !c.deaf {
			if err := c.keepalive(); err != nil {
				return err
			}
		}
	}
	const most = 20 // rounds
	for range most {
		before, err := r.server.usage()
		if err != nil {
			return err
		}
		if err := r.pause("waiting until the server is quiet", quietTime); err != nil {
			return err
		}
		after, err := r.server.usage()
		if err != nil || after.cpu-before.cpu <= quietCPU {
			return err
		}
	}
	return nil
}

// begin begins to measure a phase. Who listens is to know d in the end.
func (r *load) begin(d digest) (err error) {
	r.before, err = r.server.usage()
	r.loop.now = time.Now()
	for _, c := range r.listeners {
		r.loop.expect(c, d)
	}
	r.heardThen, r.saidThen, r.begun = r.heard(), r.said(), r.loop.now
	return err
}

// told waits until everything was said and heard.
func (r *load) told(what string) error {
	return r.until(what, func() bool { return r.loop.speaking == 0 && r.loop.wanting == 0 })
}

// end ends a phase and keeps its result. What the server does afterwards, such
// as to collect garbage, is part of it.
func (r *load) end(phase string, routes int) (*Result, error) {
	x, err := r.note(phase, routes)
	if err != nil {
		return nil, err
	}
	if err := r.settle(); err != nil {
		return nil, err
	}
	now, err := r.server.usage()
	x.use(r.before, now)
	return x, err
}

// note ends a phase and keeps what it took until now.
func (r *load) note(phase string, routes int) (*Result, error) {
	now, err := r.server.usage()
	if err != nil {
		return nil, err
	}
	var each []time.Duration
	for _, c := range r.listeners {
		if !c.met.IsZero() {
			each = append(each, c.met.Sub(r.begun))
		}
	}
	x := Result{
		Load: r.name, Phase: phase, Routes: routes, Clients: len(r.listeners),
		Wall: seconds(time.Since(r.begun)), Updates: r.said() - r.saidThen, Deliveries: r.heard() - r.heardThen,
		Sockets: now.sockets, Each: spread(each), Lost: r.loop.lost,
	}
	if len(each) > 0 {
		x.Wall = x.Each.Max
	}
	x.use(r.before, now)
	r.results = append(r.results, x)
	return &r.results[len(r.results)-1], nil
}

// vacant waits until the VNIs are empty: routes of a load before this one may
// still be on their way out, and those of others stay.
func (r *load) vacant() error {
	list, err := r.connect(1, "a look at the VNIs, which must be empty,", PaceOff)
	if err != nil {
		return err
	}
	if err := r.subscribe(list); err != nil {
		return err
	}
	if err := r.settle(); err != nil {
		return err
	}
	r.loop.expect(list[0], digest{})
	if err := r.told("looking whether the VNIs are empty"); err != nil {
		return err
	}
	r.loop.end(list[0], nil)
	return r.settle()
}

// listen opens sessions that subscribe, and waits until that has come to pass.
func (r *load) listen(n int) (err error) {
	if r.listeners, err = r.connect(n, "subscriber", PaceOff); err != nil {
		return err
	}
	if err := r.subscribe(r.listeners); err != nil {
		return err
	}
	return r.settle()
}

// announce has a client announce or withdraw all routes, and waits until all
// who listen know that.
func (r *load) announce(c *client, remove bool) error {
	phase, d := "announce", r.Routes.digest(0, r.Routes.Count)
	if remove {
		phase, d = "withdraw", digest{}
	}
	if err := r.begin(d); err != nil {
		return err
	}
	if err := c.speak(r.Routes.say(0, r.Routes.Count, remove)); err != nil {
		return err
	}
	if err := r.told(phase); err != nil {
		return err
	}
	_, err := r.end(phase, r.Routes.Count)
	return err
}
