package bench

import (
	"fmt"
	"time"

	"mbbgp/wire"
)

func (r *load) fanout() error {
	if err := r.listen(r.Clients); err != nil {
		return err
	}
	c, err := r.announcer("announcer")
	if err != nil {
		return err
	}
	if err := r.announce(c, false); err != nil {
		return err
	}
	return r.announce(c, true)
}

// stand has a client announce all routes, and waits until the server has them:
// until one subscriber, which then leaves, was told.
func (r *load) stand() (*client, error) {
	if err := r.listen(1); err != nil {
		return nil, err
	}
	witness := r.listeners[0]
	c, err := r.announcer("announcer")
	if err != nil {
		return nil, err
	}
	if err := r.begin(r.Routes.digest(0, r.Routes.Count)); err != nil {
		return nil, err
	}
	if err := c.speak(r.Routes.say(0, r.Routes.Count, false)); err != nil {
		return nil, err
	}
	if err := r.told("announcing what is to stand"); err != nil {
		return nil, err
	}
	r.loop.end(witness, nil)
	r.listeners = nil
	return c, r.settle()
}

func (r *load) sync() error {
	if _, err := r.stand(); err != nil {
		return err
	}
	var err error
	if r.listeners, err = r.connect(r.Clients, "subscriber", PaceOff); err != nil {
		return err
	}
	if err := r.settle(); err != nil {
		return err
	}
	if err := r.begin(r.Routes.digest(0, r.Routes.Count)); err != nil {
		return err
	}
	if err := r.subscribe(r.listeners); err != nil {
		return err
	}
	if err := r.told("sync"); err != nil {
		return err
	}
	_, err = r.end("sync", r.Routes.Count)
	return err
}

// drop loses the announcer by a reset, as of a machine that fails and is
// started anew.
func (r *load) drop() error {
	if err := r.listen(r.Clients); err != nil {
		return err
	}
	c, err := r.announcer("announcer")
	if err != nil {
		return err
	}
	if err := r.announce(c, false); err != nil {
		return err
	}
	if err := r.begin(digest{}); err != nil {
		return err
	}
	if err := r.loop.abort(c); err != nil {
		return err
	}
	if err := r.told("drop"); err != nil {
		return err
	}
	_, err = r.end("drop", r.Routes.Count)
	return err
}

// churn has every client announce and withdraw a share of the routes of its own
// for a while. In the end each has announced its share, and knows all others'.
func (r *load) churn() error {
	var err error
	if r.listeners, err = r.connect(r.Clients, "client", r.Pace); err != nil {
		return err
	}
	if err := r.subscribe(r.listeners); err != nil {
		return err
	}
	if err := r.settle(); err != nil {
		return err
	}
	share := max(r.Routes.Count/r.Clients, 1)
	all := r.Routes.digest(0, share*r.Clients)
	if err := r.begin(digest{live: -1}); err != nil {
		return err
	}
	r.loop.tolerant = true
	end := r.begun.Add(r.Duration)
	for i, c := range r.listeners {
		stop := func() bool { return !r.loop.now.Before(end) }
		if err := c.speak(r.Routes.flap(i*share, (i+1)*share, stop)); err != nil {
			r.loop.end(c, err)
		}
	}
	if err := r.until("churn", func() bool { return r.loop.speaking == 0 }); err != nil {
		return err
	}
	for i, c := range r.listeners {
		r.loop.expect(c, all.minus(r.Routes.digest(i*share, (i+1)*share)))
	}
	lost := r.loop.lost
	wrong := 0
	if lost == 0 { // else what is right depends on whom the server has noticed
		if err := r.until("waiting for the last state", func() bool { return r.loop.wanting == 0 || r.loop.lost > 0 }); err != nil {
			wrong = r.loop.wanting
		}
	}
	x, err := r.end("churn", share*r.Clients)
	if err != nil {
		return err
	}
	for i, c := range r.listeners {
		if c.ended == nil && lost == 0 && c.known != all.minus(r.Routes.digest(i*share, (i+1)*share)) {
			wrong = max(wrong, 1)
		}
	}
	x.Wrong = wrong
	if wrong > 0 {
		return fmt.Errorf("%d of %d clients know something wrong in the end: %s", wrong, r.Clients, r.loop.missing())
	}
	return nil
}

// slow has one subscriber that does not read. Behind it the table is announced,
// withdrawn and announced again, so that what it has missed is more than what
// there is.
func (r *load) slow() error {
	if err := r.listen(r.Clients + 1); err != nil {
		return err
	}
	sleeper := r.listeners[r.Clients]
	sleeper.name = "the one that does not read"
	r.listeners = r.listeners[:r.Clients]
	if err := sleeper.listen(false); err != nil {
		return err
	}
	c, err := r.announcer("announcer")
	if err != nil {
		return err
	}
	for _, remove := range []bool{false, true, false} {
		if err := r.announce(c, remove); err != nil {
			return err
		}
	}
	r.listeners = []*client{sleeper}
	if err := r.begin(r.Routes.digest(0, r.Routes.Count)); err != nil {
		return err
	}
	if err := sleeper.listen(true); err != nil {
		return err
	}
	if err := r.told("reading again"); err != nil {
		return err
	}
	_, err = r.end("read again", r.Routes.Count)
	return err
}

// latency announces one route, waits until all were told, then the next.
func (r *load) latency() error {
	if err := r.listen(r.Clients); err != nil {
		return err
	}
	c, err := r.announcer("announcer")
	if err != nil {
		return err
	}
	if err := r.begin(digest{}); err != nil {
		return err
	}
	var took []time.Duration
	var known digest
	for i := range r.Routes.Count {
		known = known.plus(r.Routes.digest(i, i+1))
		for _, x := range r.listeners {
			r.loop.expect(x, known)
		}
		frame := wire.AppendUpdate(nil, r.Routes.update(i, false))
		begun := time.Now()
		c.said++
		if err := c.tell(frame); err != nil {
			return err
		}
		if err := r.until("latency", func() bool { return r.loop.wanting == 0 }); err != nil {
			return err
		}
		for _, x := range r.listeners {
			took = append(took, x.met.Sub(begun))
		}
	}
	wall := time.Since(r.begun)
	x, err := r.end("announce", r.Routes.Count)
	if err != nil {
		return err
	}
	x.Wall, x.Each = seconds(wall), spread(took)
	return nil
}

// memory looks at what the server grows by.
func (r *load) memory() error {
	if err := r.settle(); err != nil {
		return err
	}
	for i := range r.Clients {
		name := fmt.Sprintf("origin %d", i+1)
		c, err := r.announcer(name)
		if err != nil {
			return err
		}
		if err := r.begin(digest{}); err != nil {
			return err
		}
		if err := c.speak(r.Routes.say(0, r.Routes.Count, false)); err != nil {
			return err
		}
		if err := r.told(name); err != nil {
			return err
		}
		if err := c.keepalive(); err != nil {
			return err
		}
		if err := r.until("waiting for the answer", c.answers); err != nil {
			return err
		}
		if _, err := r.end(name, r.Routes.Count); err != nil {
			return err
		}
	}
	return nil
}

// idle holds sessions that are subscribed.
func (r *load) idle() error {
	if err := r.begin(digest{}); err != nil {
		return err
	}
	list, err := r.connect(r.Clients, "session", PaceOff)
	if err != nil {
		return err
	}
	if err := r.subscribe(list); err != nil {
		return err
	}
	x, err := r.end("connect", 0)
	if err != nil {
		return err
	}
	x.Clients = len(list)
	if err := r.begin(digest{}); err != nil {
		return err
	}
	if err := r.pause("idle", r.Duration); err != nil {
		return err
	}
	if x, err = r.note("idle", 0); err != nil {
		return err
	}
	x.Clients = len(list)
	return nil
}
