// Package rib keeps the routes of every VNI, who announced them, and how far
// each reader has read. It speaks no protocol and starts no goroutine.
package rib
