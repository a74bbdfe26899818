// Package wire turns MetalBond v1 messages into bytes and back. It is pure: no
// goroutine, no clock, no socket, and it knows nothing of tables or sessions.
//
// A frame is a four-byte header and a protobuf payload of at most 1188 bytes:
//
//	Hello{1 uint32 keepaliveInterval, 2 bool isServer}
//	Subscription{1 uint32 vni}
//	Update{1 Action action(ADD 0, REMOVE 1), 2 uint32 vni, 3 Destination destination, 4 NextHop nextHop}
//	Destination{1 IPVersion ipVersion(IPv4 0, IPv6 1), 2 bytes prefix, 3 uint32 prefixLength}
//	NextHop{1 bytes targetAddress, 2 uint32 targetVNI, 3 type(STANDARD 0, NAT 1,
//	    LOADBALANCER_TARGET 2), 4 uint32 natPortRangeFrom, 5 uint32 natPortRangeTo}
//
// # What is accepted, refused, and the end of a session
//
// Bytes that are not MetalBond v1 are a *Malformed error, which ends the
// session. An UPDATE that is well-formed and says something impossible is an
// *Invalid error: it is refused and counted, and the session goes on, for the
// stream is in step.
//
//	header: version other than 1              malformed
//	header: length over 1188                  malformed
//	header: type other than 1 to 5            malformed
//	payload of a KEEPALIVE                    accepted, it says nothing
//	fields in any order                       accepted
//	a scalar twice                            accepted, the last one counts
//	a submessage twice                        accepted, merged field by field
//	unknown field, any wire type              accepted, skipped; groups to depth 100
//	varint longer than it need be             accepted
//	bool other than 0 and 1                   accepted, true
//	field number 0 or over 536870911          malformed
//	wire type 6 or 7, group without end       malformed
//	known field with another wire type        malformed
//	value cut off, varint over 64 bits        malformed
//	uint32 over 32 bits                       malformed; cut to 32 bits it would be another VNI
//	unknown enum value                        malformed
//	HELLO: keepaliveInterval 0 or missing     malformed; no session can keep it
//	HELLO: keepaliveInterval 1 to 4294967295  accepted, the lower of both sides holds
//	SUBSCRIBE, UPDATE: vni 0 or missing       accepted, VNI 0 exists
//	UPDATE: no destination                    invalid, no-destination
//	UPDATE: no nextHop, ADD or REMOVE         invalid, no-next-hop
//	prefix other than 4 (IPv4), 16 bytes      invalid, prefix-address
//	prefix inside ::ffff:0:0/96               invalid, prefix-ipv4-mapped
//	prefixLength over 32 (IPv4), 128 (IPv6)   invalid, prefix-length
//	bits set behind prefixLength              invalid, prefix-host-bits
//	targetAddress other than 16 bytes         invalid, next-hop-address
//	targetAddress ::                          invalid, next-hop-unspecified
//	targetAddress in ff00::/8                 invalid, next-hop-multicast
//	targetAddress in ::ffff:0:0/96            invalid, next-hop-ipv4-mapped
//	targetAddress ::1 or link-local           accepted: reachability is not the codec's to judge
//	NAT: a port over 65535, to below from     invalid, nat-ports
//	NAT: ports 0 to 0                         accepted, no range was told
//	ports of a next hop that is not NAT       accepted, dropped
package wire
