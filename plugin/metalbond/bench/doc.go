// Package bench loads a MetalBond server with clients that cost next to
// nothing, checks that each of them was told what it should have been, and
// measures what that took the server: any server, reached over TCP. It knows
// messages only, nothing of tables or of how ours serves.
//
// One goroutine does everything, on one epoll instance: a generator that spreads
// over all cores takes them from the server that it measures. A client counts
// and hashes what it hears and keeps nothing else, so a million routes at five
// hundred clients are five hundred numbers.
package bench
