package metalbond

import "runtime"

// A session that hears as fast as its peer talks never waits, and Go looks for
// news of the network only when a processor has nothing else to do, or every
// 10 ms. Four clients that flood would so make all others wait for tens of
// milliseconds. So sessions that hear much take turns, what one read has brought
// at a time, and one processor is always left for those who have a word to say.
const longRead = 4 << 10 // bytes that need a turn

var turns = make(chan struct{}, max(runtime.GOMAXPROCS(0)-1, 1))

// begin waits for a turn to hear, if it is not the session's already.
func (e *ear) begin() {
	if !e.turn {
		turns <- struct{}{}
		e.turn = true
	}
}

// pause gives the turn back, before anything that may take long.
func (e *ear) pause() {
	if e.turn {
		<-turns
		e.turn = false
	}
}
