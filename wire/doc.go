// Package wire turns MetalBond v1 messages into bytes and back. It is pure: no
// goroutine, no clock, no socket, and it knows nothing of tables or sessions.
package wire
