// Package kernel keeps Linux's routing in step with the tables: routes of every
// VNI that has a kernel table, the next hops and tunnels that they need, and
// what takes packets out of tunnels. It touches nothing but what is its own,
// which it knows by protocol number, next hop ids, names and aliases.
package kernel
