// Package gobgp speaks BGP for the bridge: it runs GoBGP in this process, or
// uses a gobgpd that runs already, turns what the bridge exports into paths of
// all the families that the bridge has, and what the fabric sends into updates
// for the bridge. It keeps no routes of its own and decides nothing about them:
// GoBGP holds the tables, package bridge the policy.
package gobgp
