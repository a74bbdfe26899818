// Package metalbond speaks MetalBond v1: a server for hypervisors and a client
// of other servers. It moves messages between sockets and the bridge; what may
// pass, the bridge decides, and who has heard what, the table knows.
package metalbond
