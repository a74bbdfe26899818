package config

import (
	"strings"
	"testing"
)

// base is what most rows need to be wrong in one place only; their text begins
// in line 4.
const base = "router-id: 192.0.2.1\nasn: 65001\ndomain: 65001:1\n"

// malformed has files and all of what is said about them.
var malformed = []struct {
	name string
	file string
	want []string
}{
	// The file as a whole.
	{"an empty file", "", []string{`f:1:1: the file is empty, want a mapping`}},
	{"comments alone", "# nothing\n", []string{`f:1:1: the file is empty, want a mapping`}},
	{"a scalar", "hello\n", []string{`f:1:1: hello is not a mapping`}},
	{"a list", "- asn: 1\n", []string{`f:1:1: a list, want a mapping`}},
	{"two documents", "asn: 1\n---\nasn: 2\n", []string{`f:2:1: a second document, want one`}},
	{"a directive", "%YAML 1.2\n---\nasn: 1\n", []string{`f:1:1: a directive, want none`}},
	{"a tab as indentation", "log:\n\tlevel: info\n", []string{`f:2:1: a tab in the indentation, want spaces`}},
	{"a control character", "asn: 1\x00\n", []string{`f:1:7: the character U+0000 is not allowed, want printable UTF-8`}},
	{"text that is not UTF-8", "# caf\xe9\n", []string{`f:1:6: the byte 0xe9 is not allowed, want printable UTF-8`}},
	{"an overlong line", "# " + strings.Repeat("x", 5000), []string{`f:1:1: the line has 5002 bytes, want at most 4096`}},
	{"an open list", "metalbond:\n  servers: [a\nasn: 1\n", []string{`f:3:1: YAML: ',' or ']' must be specified`}},
	{"an open quote", "asn: \"1\n", []string{`f:1:6: YAML: could not find end character of double-quoted text`}},
	{"a list nested without end", strings.Repeat("[", 100), []string{`f:1:33: YAML: nested more than 32 deep`}},
	{"a mapping nested without end", nested(40), []string{`f:1:1: a: unknown key (` + rootKeys + `)`, `f:34:34: ` + strings.Repeat("a.", 32) + `a: nested more than 32 deep`}},
	{"a mapping of too many keys", strings.Repeat("a: 1\n", 300), []string{`f:257:1: YAML: more than 256 keys in one mapping`}},
	{"a tag", "asn: !!int 1\n", []string{`f:1:6: asn: the tag !!int, want a value without a tag`}},
	{"a duplicate key", "asn: 1\nasn: 2\n", []string{`f:2:1: asn: the key is already in line 1`}},
	{"a duplicate key further in", "log: {level: info, level: debug}\n", []string{`f:1:20: log.level: the key is already in line 1`}},
	{"an unknown key", "asm: 1\n", []string{`f:1:1: asm: unknown key (` + rootKeys + `)`}},
	{"a section that is not known", "kernels: {}\n", []string{`f:1:1: kernels: unknown key (` + rootKeys + `)`}},
	{"an unknown key further in", "log:\n  levle: info\n", []string{`f:2:3: log.levle: unknown key (level, components, format)`}},
	{"a key that is a list", "{[1]: 2}\n", []string{`f:1:5: YAML: found an invalid key for this map`}},
	{"an alias before its anchor", "asn: *a\nlog: &a {}\n", []string{`f:1:6: asn: there is no anchor &a before this alias`}},
	{"an anchor inside itself", "log: &a\n  level: *a\n", []string{`f:2:10: log.level: there is no anchor &a before this alias`}},
	{"a merge of a list of numbers", "log:\n  <<: [1]\n", []string{`f:2:7: log.<<: a list, want an alias of a mapping, or a list of them`}},

	// Top level.
	{"a section without a value", "log:\n", []string{`f:1:1: log: nothing, want a mapping`}},
	{"a router-id of the other family", "router-id: 2001:db8::1\n", []string{`f:1:12: router-id: 2001:db8::1 is not an IPv4 address other than 0.0.0.0`}},
	{"an unspecified router-id", "router-id: 0.0.0.0\n", []string{`f:1:12: router-id: 0.0.0.0 is not an IPv4 address other than 0.0.0.0`}},
	{"an asn of zero", "asn: 0\n", []string{`f:1:6: asn: 0 is out of range (1 to 4294967294)`}},
	{"an asn beyond everything", "asn: 99999999999999999999\n", []string{`f:1:6: asn: 99999999999999999999 is out of range (1 to 4294967294)`}},
	{"a negative asn", "asn: -1\n", []string{`f:1:6: asn: -1 is out of range (1 to 4294967294)`}},
	{"an asn in quotes", "asn: \"1\"\n", []string{`f:1:6: asn: the text "1" is not a number (1 to 4294967294)`}},
	{"an asn with underscores", "asn: 65_001\n", []string{`f:1:6: asn: 65_001 is not a number (1 to 4294967294)`}},
	{"an asn in hexadecimal", "asn: 0x10\n", []string{`f:1:6: asn: 0x10 is not a number (1 to 4294967294)`}},
	{"an asn that is a list", "asn: [1]\n", []string{`f:1:6: asn: a list, want a number (1 to 4294967294)`}},
	{"a domain without number", "domain: 65001\n", []string{`f:1:9: domain: 65001 is not a Site-of-Origin, such as 65001:1 or origin:192.0.2.1:1`}},
	{"a domain with too large a number", "domain: 192.0.2.1:65536\n", []string{`f:1:9: domain: 192.0.2.1:65536: number 65536 is out of range (0 to 65535)`}},
	{"a domain of a too large system", "domain: 4294967296:1\n", []string{`f:1:9: domain: 4294967296:1: autonomous system 4294967296 is out of range (0 to 4294967295)`}},
	{"a relative state directory", "state-directory: state\n", []string{`f:1:18: state-directory: state is not an absolute path, or off`}},
	{"a VTEP that is multicast", "vxlan: {local: 224.0.0.1}\n", []string{`f:1:16: vxlan.local: 224.0.0.1 is no address of a host`}},
	{"a VTEP that is IPv4-mapped", "vxlan: {local: \"::ffff:192.0.2.1\"}\n", []string{`f:1:16: vxlan.local: ::ffff:192.0.2.1 is IPv4-mapped, want 192.0.2.1`}},
	{"a short router MAC", "vxlan: {router-mac: 02:00:00:00:00}\n", []string{`f:1:21: vxlan.router-mac: 02:00:00:00:00 is not a MAC address, such as 02:00:c0:00:02:01`}},
	{"a multicast router MAC", "vxlan: {router-mac: 01:00:5e:00:00:01}\n", []string{`f:1:21: vxlan.router-mac: 01:00:5e:00:00:01 is no address of a host, want a unicast MAC address`}},
	{"a zero router MAC", "vxlan: {router-mac: 00:00:00:00:00:00}\n", []string{`f:1:21: vxlan.router-mac: 00:00:00:00:00:00 is no address of a host, want a unicast MAC address`}},
	{"a domain identifier without colon", "domain-id: 65001\n", []string{`f:1:12: domain-id: 65001 is not a domain identifier, such as 65001:1`}},
	{"the zero domain identifier", "domain-id: 0:0\n", []string{`f:1:12: domain-id: 0:0 is reserved, want another domain identifier`}},
	{"a domain identifier with too large a number", "domain-id: 1:65536\n", []string{`f:1:12: domain-id: 1:65536: number 65536 is out of range (0 to 65535)`}},
	{"a domain identifier that is an address", "domain-id: 192.0.2.1:1\n", []string{`f:1:12: domain-id: 192.0.2.1:1 is not a domain identifier, such as 65001:1`}},
	{"labels without end", "mpls: {labels: 100000}\n", []string{`f:1:16: mpls.labels: 100000 is not a range of labels, such as 100000-199999`}},
	{"a label that is reserved", "mpls: {labels: 15-20}\n", []string{`f:1:16: mpls.labels: 15-20: label 15 is out of range (16 to 1048575)`}},
	{"a label beyond 20 bits", "mpls: {labels: 16-1048576}\n", []string{`f:1:16: mpls.labels: 16-1048576: label 1048576 is out of range (16 to 1048575)`}},
	{"labels the wrong way round", "mpls: {labels: 20-16}\n", []string{`f:1:16: mpls.labels: 20-16 has no label in it, want 16-20`}},
	{"an unknown component of the log", "log: {components: {bpg: debug}}\n", []string{`f:1:20: log.components.bpg: unknown key (metalbond, bgp, kernel, bridge, api)`}},
	{"an unknown level of a component", "log: {components: {bgp: loud}}\n", []string{`f:1:25: log.components.bgp: loud is not one of info, error, warning, debug, trace`}},
	{"an unknown log level", "log: {level: loud}\n", []string{`f:1:14: log.level: loud is not one of info, error, warning, debug, trace`}},
	{"an API over TCP without TLS", "api: {listen: \"[::1]:4713\"}\n", []string{`f:1:15: api.listen: [::1]:4713 needs tls: over TCP there is no API without certificates of both sides, on this machine there is socket`}},
	{"TLS of nothing", "api:\n  tls: {certificate: /a, key: /b, clients: /c}\n", []string{`f:2:3: api.tls: is for listen, and listen is off`}},
	{"TLS without files", "api:\n  listen: \"::1\"\n  tls: {key: b}\n", []string{
		`f:3:8: api.tls.certificate: missing, required`, `f:3:8: api.tls.clients: missing, required`,
		`f:3:14: api.tls.key: b is not the absolute path of a file`}},
	{"a group of no socket", "api: {socket: off, group: adm}\n", []string{`f:1:20: api.group: is for socket, and socket is off`}},
	{"a socket beside nothing", "api: {socket: mbbgp.sock}\n", []string{`f:1:15: api.socket: mbbgp.sock is not an absolute path, auto, or off`}},
	{"a socket that is too far", "api: {socket: /" + strings.Repeat("a", 107) + "}\n", []string{`f:1:15: api.socket: 108 bytes are out of range (1 to 107)`}},
	{"static routes beside nothing", "api: {static-routes: a.json}\n", []string{`f:1:22: api.static-routes: a.json is not an absolute path, or off`}},
	{"an HTTP address that is a name", "http: localhost:80\n", []string{`f:1:7: http: localhost:80 is not an address to listen on such as [::]:4712`}},

	{"a limit of memory without unit", "memory-limit: 1000000000\n", []string{`f:1:15: memory-limit: 1000000000 is not an amount of memory such as 512MiB or 2GiB, or off`}},
	{"a limit of memory in other units", "memory-limit: 2GB\n", []string{`f:1:15: memory-limit: 2GB is not an amount of memory such as 512MiB or 2GiB, or off`}},
	{"a limit of memory below all use", "memory-limit: 63MiB\n", []string{`f:1:15: memory-limit: 63MiB is out of range (64MiB to 1024GiB)`}},
	{"a limit of memory above all use", "memory-limit: 99999999999999999999GiB\n", []string{`f:1:15: memory-limit: 99999999999999999999GiB is out of range (64MiB to 1024GiB)`}},

	// metalbond.
	{"a listener without address", "metalbond: {listen: 4711}\n", []string{`f:1:21: metalbond.listen: 4711 is not an address to listen on such as [::]:4711`}},
	{"the same listener twice", "metalbond:\n  listen:\n    - \"[::]:4711\"\n    - \"::\"\n", []string{`f:4:7: metalbond.listen[1]: :: is there already (line 3)`}},
	{"nothing to listen on and nobody to talk to", "metalbond: {listen: off}\n", []string{`f:1:21: metalbond.listen: off without servers leaves MetalBond nothing to do`}},
	{"a server with a bad port", "metalbond: {servers: [\"a:0\", \"b:99999\"]}\n", []string{
		`f:1:23: metalbond.servers[0]: port 0 is out of range (1 to 65535)`,
		`f:1:30: metalbond.servers[1]: port 99999 is out of range (1 to 65535)`}},
	{"the same server twice", "metalbond: {servers: [a, \"a:4711\"]}\n", []string{`f:1:26: metalbond.servers[1]: a:4711 is there already (line 1)`}},
	{"a server that is no name", "metalbond: {servers: [a b]}\n", []string{`f:1:23: metalbond.servers[0]: "a b" is not a server such as [2001:db8::a]:4711 or name:4711`}},
	{"a keepalive without unit", "metalbond: {keepalive: 5}\n", []string{`f:1:24: metalbond.keepalive: 5 is not a duration such as 5s or 1m30s`}},
	{"a keepalive of zero", "metalbond: {keepalive: 0s}\n", []string{`f:1:24: metalbond.keepalive: 0s is out of range (1s to 65535s)`}},
	{"a keepalive with a fraction", "metalbond: {keepalive: 1500ms}\n", []string{`f:1:24: metalbond.keepalive: 1500ms has a fraction, want whole seconds`}},
	{"a negative hold", "metalbond: {hold: -1s}\n", []string{`f:1:19: metalbond.hold: -1s is out of range (0s to 24h)`}},
	{"a gateway pool of IPv4", "metalbond: {gateways: [10.0.0.0/8]}\n", []string{`f:1:24: metalbond.gateways[0]: 10.0.0.0/8 is not an IPv6 prefix such as 2001:db8::/32`}},
	{"a gateway pool with host bits", "metalbond:\n  gateways:\n    - 2001:db8::1/64\n", []string{`f:3:7: metalbond.gateways[0]: 2001:db8::1/64 has host bits, want 2001:db8::/64`}},
	{"a pace without unit", "metalbond: {pace: 400}\n", []string{`f:1:19: metalbond.pace: 400 is not a pace (auto, off, or a rate such as 400kB/s)`}},
	{"a pace below all use", "metalbond: {pace: 999B/s}\n", []string{`f:1:19: metalbond.pace: 999B/s is out of range (1kB/s to 1000MB/s)`}},
	{"a pace above all use", "metalbond: {server-pace: 1001MB/s}\n", []string{`f:1:26: metalbond.server-pace: 1001MB/s is out of range (1kB/s to 1000MB/s)`}},
	{"a client without source", "metalbond:\n  clients:\n    - pace: off\n", []string{`f:3:7: metalbond.clients[0].source: missing, required without certificate`}},
	{"VNIs that are none", "metalbond:\n  clients:\n    - {source: \"::/0\", vnis: [a, 5-4, 4294967296, -1], subscribe: some, announce: []}\n", []string{
		`f:3:31: metalbond.clients[0].vnis[0]: a is not a VNI or a range of them, such as 200-299`,
		`f:3:34: metalbond.clients[0].vnis[1]: 5-4 ends before it begins`,
		`f:3:39: metalbond.clients[0].vnis[2]: 4294967296 is out of range (0 to 4294967295)`,
		`f:3:51: metalbond.clients[0].vnis[3]: -1 is not a VNI or a range of them, such as 200-299`,
		`f:3:67: metalbond.clients[0].subscribe: some is not a list of VNIs such as [100, 200-299], all, or none`,
		`f:3:83: metalbond.clients[0].announce: an empty list, want some VNIs such as [100, 200-299], all, or none`}},
	{"what no client may announce", "metalbond:\n  clients:\n    - {source: \"::/0\", prefixes: [], nexthops: [10.0.0.0/8, own/129, own/0], types: [vip], max-routes: 0, update-rate: 1000001}\n", []string{
		`f:3:34: metalbond.clients[0].prefixes: an empty list, want some prefixes`,
		`f:3:49: metalbond.clients[0].nexthops[0]: 10.0.0.0/8 is not an IPv6 prefix such as 2001:db8::/32`,
		`f:3:61: metalbond.clients[0].nexthops[1]: own/129 is not own/LENGTH (1 to 128), the prefix of the client's own address`,
		`f:3:70: metalbond.clients[0].nexthops[2]: own/0 is not own/LENGTH (1 to 128), the prefix of the client's own address`,
		`f:3:86: metalbond.clients[0].types[0]: vip is not one of standard, nat, loadbalancer-target`,
		`f:3:104: metalbond.clients[0].max-routes: 0 is out of range (1 to 2147483647)`,
		`f:3:120: metalbond.clients[0].update-rate: 1000001 is out of range (1 to 1000000)`}},
	{"TLS without clients", "metalbond:\n  servers: [a]\n  tls: {certificate: /a, key: /b, client-ca: /c}\n", []string{`f:3:3: metalbond.tls: is for clients, and there is no listener`}},
	{"TLS without files", "metalbond:\n  tls: {certificate: a, listen: name}\n", []string{
		`f:2:8: metalbond.tls.key: missing, required`, `f:2:8: metalbond.tls.client-ca: missing, required`,
		`f:2:22: metalbond.tls.certificate: a is not the absolute path of a file`,
		`f:2:33: metalbond.tls.listen: name is not an address to listen on such as [::]:4714`}},
	{"TLS toward no server", "metalbond:\n  server-tls: {ca: none, key: /a, server-name: \"*.a\"}\n", []string{
		`f:2:3: metalbond.server-tls: is for servers, and there are none`,
		`f:2:15: metalbond.server-tls.certificate: missing, required with key`,
		`f:2:20: metalbond.server-tls.ca: none is not the absolute path of a file, or system`,
		`f:2:48: metalbond.server-tls.server-name: *.a is not a DNS name or an IP address`}},
	{"a certificate without TLS", "metalbond:\n  clients:\n    - {certificate: a}\n", []string{`f:3:8: metalbond.clients[0].certificate: needs metalbond.tls, without which clients show no certificates`}},
	{"a certificate of many", "metalbond:\n  tls: {certificate: /a, key: /b, client-ca: /c}\n  clients:\n    - {certificate: \"hv*.example.net\"}\n", []string{`f:4:21: metalbond.clients[0].certificate: hv*.example.net has a * that is not its first label, want a name such as hv1.example.net or *.example.net`}},
	{"the same certificate twice", "metalbond:\n  tls: {certificate: /a, key: /b, client-ca: /c}\n  clients:\n    - certificate: a\n    - certificate: A\n    - {certificate: a, source: \"::/0\"}\n    - {certificate: a, source: \"::/0\"}\n", []string{
		`f:5:20: metalbond.clients[1].certificate: a is that of metalbond.clients[0] already (line 4)`,
		`f:7:21: metalbond.clients[3].certificate: "a from ::/0" is that of metalbond.clients[2] already (line 6)`}},
	{"clients that are neither welcome nor not", "metalbond: {unlisted-clients: off}\n", []string{`f:1:31: metalbond.unlisted-clients: off is not one of accept, refuse`}},
	{"no sessions", "metalbond: {max-sessions: 0, max-sessions-per-source: 1048577}\n", []string{
		`f:1:27: metalbond.max-sessions: 0 is out of range (1 to 1048576)`,
		`f:1:55: metalbond.max-sessions-per-source: 1048577 is out of range (1 to 1048576)`}},
	{"the same client twice", "metalbond:\n  clients:\n    - source: ::/0\n    - source: ::/0\n", []string{`f:4:15: metalbond.clients[1].source: ::/0 is that of metalbond.clients[0] already (line 3)`}},

	// bgp.
	{"bgp without identity", "bgp: {}\nvnis: []\n", []string{
		`f:1:1: router-id: missing, required with bgp`, `f:1:1: asn: missing, required with bgp`,
		`f:1:1: domain: missing, required with bgp and vnis`}},
	{"a gobgpd that is a name", base + "bgp: {attach: gobgpd}\n", []string{`f:4:15: bgp.attach: gobgpd is not HOST:PORT, IP:PORT, or unix:///PATH`}},
	{"a gobgpd at no port", base + "bgp: {attach: \"127.0.0.1:0\"}\n", []string{`f:4:15: bgp.attach: port 0 is out of range (1 to 65535)`}},
	{"a gobgpd behind a relative socket", base + "bgp: {attach: \"unix://gobgp.sock\"}\n", []string{`f:4:15: bgp.attach: unix://gobgp.sock is not HOST:PORT, IP:PORT, or unix:///PATH`}},
	{"a gobgpd and what it has itself", base + "bgp:\n  attach: unix:///run/gobgp.sock\n  listen: off\n  api: off\n  gobgp-config: /a.toml\n  cluster-id: 192.0.2.1\n  neighbors: []\n  dynamic-neighbors: []\n", []string{
		`f:6:3: bgp.listen: not allowed next to attach, whose gobgpd says it`,
		`f:7:3: bgp.api: not allowed next to attach, whose gobgpd says it`,
		`f:8:3: bgp.gobgp-config: not allowed next to attach, whose gobgpd says it`,
		`f:9:3: bgp.cluster-id: not allowed next to attach, whose gobgpd says it`,
		`f:10:3: bgp.neighbors: not allowed next to attach, whose gobgpd says it`,
		`f:11:3: bgp.dynamic-neighbors: not allowed next to attach, whose gobgpd says it`}},
	{"a day and more without gobgpd", base + "bgp: {attach-hold: 25h}\n", []string{`f:4:20: bgp.attach-hold: 25h is out of range (0s to 24h)`}},
	{"a long wait for originate", base + "bgp: {settle: 11m}\n", []string{`f:4:15: bgp.settle: 11m is out of range (0s to 10m)`}},
	{"a lossless system of zero", base + "bgp: {lossless-asn: 0}\n", []string{`f:4:21: bgp.lossless-asn: 0 is out of range (1 to 4294967294)`}},
	{"two next hops of a family", base + "bgp: {next-hops: [192.0.2.1, \"2001:db8::1\", 192.0.2.2]}\n", []string{`f:4:45: bgp.next-hops[2]: 192.0.2.2 is of the family of 192.0.2.1, want one address of each family`}},
	{"a next hop twice", base + "bgp: {next-hops: [192.0.2.1, 192.0.2.1]}\n", []string{`f:4:30: bgp.next-hops[1]: 192.0.2.1 is there already (line 4)`}},
	{"next hops that nobody reaches", base + "bgp:\n  next-hops:\n    - 0.0.0.0\n    - ff02::1\n    - fe80::1%eth0\n    - ::ffff:192.0.2.1\n    - 2001:db8::1%eth0\n", []string{
		`f:6:7: bgp.next-hops[0]: 0.0.0.0 is no address of a host`,
		`f:7:7: bgp.next-hops[1]: ff02::1 is no address of a host`,
		`f:8:7: bgp.next-hops[2]: fe80::1%eth0 is of one link only, want an address that is reachable over several`,
		`f:9:7: bgp.next-hops[3]: ::ffff:192.0.2.1 is IPv4-mapped, want 192.0.2.1`,
		`f:10:7: bgp.next-hops[4]: 2001:db8::1%eth0 is of one link only, want an address that is reachable over several`}},
	{"listeners with two ports", base + "bgp: {listen: [\"1.1.1.1:179\", \"1.1.1.1:1179\"]}\n", []string{`f:4:31: bgp.listen[1]: port 1179 differs from port 179 of the first address, want one port`}},
	{"a listener with any port", base + "bgp: {listen: \"[::]:0\"}\n", []string{`f:4:15: bgp.listen: port 0 is out of range (1 to 65535)`}},
	{"an api that is a path", base + "bgp: {api: /run/gobgp.sock}\n", []string{`f:4:12: bgp.api: /run/gobgp.sock is not unix:///PATH, IP:PORT, or off`}},
	{"a gobgpd file and neighbours", base + "bgp:\n  gobgp-config: /a.toml\n  listen: off\n  neighbors: []\n", []string{
		`f:6:3: bgp.listen: not allowed next to gobgp-config, whose file says it`,
		`f:7:3: bgp.neighbors: not allowed next to gobgp-config, whose file says it`}},
	{"a neighbour without anything", base + "bgp:\n  neighbors: [{}]\n", []string{
		`f:5:15: bgp.neighbors[0].address: missing, required`, `f:5:15: bgp.neighbors[0].asn: missing, required`}},
	{"the same neighbour twice", base + "bgp:\n  neighbors:\n    - {address: 192.0.2.2, asn: 1}\n    - {address: 192.0.2.2, asn: 2}\n", []string{`f:7:17: bgp.neighbors[1].address: 192.0.2.2 is that of bgp.neighbors[0] already (line 6)`}},
	{"a link-local neighbour without zone", neighbor("address: fe80::1"), []string{`f:6:16: bgp.neighbors[0].address: fe80::1 is link-local and has no zone, want one such as fe80::1%eth0`}},
	{"a neighbour with a zone too many", neighbor("address: 2001:db8::1%eth0"), []string{`f:6:16: bgp.neighbors[0].address: 2001:db8::1%eth0 has a zone and is not link-local, want 2001:db8::1`}},
	{"a passive neighbour without listener", base + "bgp:\n  listen: off\n  neighbors: [{address: 192.0.2.2, asn: 1, passive: true}]\n", []string{`f:6:53: bgp.neighbors[0].passive: true needs a listener, and listen is off`}},
	{"passive that is no truth value", neighbor("address: 192.0.2.2\n      passive: yes"), []string{`f:7:16: bgp.neighbors[0].passive: yes is not true or false`}},
	{"an external route reflector client", neighbor("address: 192.0.2.2\n      route-reflector-client: true"), []string{`f:7:31: bgp.neighbors[0].route-reflector-client: true is for iBGP, and asn 65000 is not our 65001`}},
	{"an internal neighbour over several hops", neighbor("address: 192.0.2.2\n      multihop: 2\n      local-asn: 65000"), []string{`f:7:17: bgp.neighbors[0].multihop: 2 is for eBGP, and asn 65000 is our own`}},
	{"a time to live of one", neighbor("address: 192.0.2.2\n      multihop: 1"), []string{`f:7:17: bgp.neighbors[0].multihop: 1 is out of range (2 to 255)`}},
	{"a local address of the other family", neighbor("address: 192.0.2.2\n      local-address: ::1"), []string{`f:7:22: bgp.neighbors[0].local-address: ::1 is not of the family of 192.0.2.2`}},
	{"an empty password file", neighbor("address: 192.0.2.2\n      password-file: \"\""), []string{`f:7:22: bgp.neighbors[0].password-file: "" is not the absolute path of a file`}},
	{"a password file beside nothing", neighbor("address: 192.0.2.2\n      password-file: fabric.key"), []string{`f:7:22: bgp.neighbors[0].password-file: fabric.key is not the absolute path of a file`}},
	{"an unknown family", neighbor("address: 192.0.2.2\n      families: [l2vpn, evpn]"), []string{`f:7:18: bgp.neighbors[0].families[0]: l2vpn is not one of ` + familyWords}},
	{"a family twice", neighbor("address: 192.0.2.2\n      families: [evpn, ipv4, evpn]"), []string{`f:7:30: bgp.neighbors[0].families[2]: evpn is there already (line 7)`}},
	{"no family", neighbor("address: 192.0.2.2\n      families: []"), []string{`f:7:17: bgp.neighbors[0].families: an empty list, want some families (` + familyWords + `)`}},
	{"a hold time that RFC 4271 forbids", neighbor("address: 192.0.2.2\n      timers: {hold: 2s}"), []string{`f:7:22: bgp.neighbors[0].timers.hold: 2s is out of range (3s to 65535s)`}},
	{"a session without keepalives, which GoBGP has not", neighbor("address: 192.0.2.2\n      timers: {hold: 0s, keepalive: 10s}"), []string{`f:7:22: bgp.neighbors[0].timers.hold: 0s is out of range (3s to 65535s)`}},
	{"keepalives too far apart", neighbor("address: 192.0.2.2\n      timers: {hold: 10s, keepalive: 4s}"), []string{`f:7:38: bgp.neighbors[0].timers.keepalive: 4s is out of range (1s to 3s)`}},
	{"a restart time that RFC 4724 has no room for", neighbor("address: 192.0.2.2\n      graceful-restart: 2h"), []string{`f:7:25: bgp.neighbors[0].graceful-restart: 2h is out of range (1s to 4095s)`}},
	{"graceful restart that is a word", neighbor("address: 192.0.2.2\n      graceful-restart: on"), []string{`f:7:25: bgp.neighbors[0].graceful-restart: on is not off, helper, a restart time such as 120s, or a mapping`}},
	{"full graceful restart without time", neighbor("address: 192.0.2.2\n      graceful-restart: {mode: full}"), []string{`f:7:25: bgp.neighbors[0].graceful-restart.time: missing, required with mode full`}},
	{"a restart time of a helper", neighbor("address: 192.0.2.2\n      graceful-restart: {mode: helper, time: 120s}"), []string{`f:7:40: bgp.neighbors[0].graceful-restart.time: not allowed with mode helper`}},
	{"long-lived routes without graceful restart", neighbor("address: 192.0.2.2\n      graceful-restart: {mode: off, long-lived: 1h}"), []string{`f:7:37: bgp.neighbors[0].graceful-restart.long-lived: not allowed with mode off`}},
	{"a long life that RFC 9494 has no room for", neighbor("address: 192.0.2.2\n      graceful-restart: {long-lived: 16777216s}"), []string{`f:7:38: bgp.neighbors[0].graceful-restart.long-lived: 16777216s is out of range (1s to 16777215s)`}},
	{"a mode of graceful restart that is not there", neighbor("address: 192.0.2.2\n      graceful-restart: {mode: on}"), []string{`f:7:32: bgp.neighbors[0].graceful-restart.mode: on is not one of helper, off, full`}},
	{"several paths in no direction", neighbor("address: 192.0.2.2\n      add-path: yes"), []string{`f:7:17: bgp.neighbors[0].add-path: yes is not one of off, receive, send, both`}},
	{"a limit of zero", neighbor("address: 192.0.2.2\n      max-prefixes: 0"), []string{`f:7:21: bgp.neighbors[0].max-prefixes: 0 is out of range (1 to 2147483647)`}},
	{"dynamic neighbours without listener", base + "bgp:\n  listen: off\n  dynamic-neighbors: [{prefix: ::/0, asn: 1}]\n", []string{`f:6:22: bgp.dynamic-neighbors: they need a listener, and listen is off`}},
	{"dynamic neighbours that are passive", base + "bgp:\n  dynamic-neighbors: [{prefix: ::/0, asn: 1, passive: true}]\n", []string{`f:5:46: bgp.dynamic-neighbors[0].passive: unknown key (prefix, ` + peeringKeys + `)`}},

	// vnis.
	{"a VNI beyond MetalBond", "vnis: [{vni: 4294967296}]\n", []string{`f:1:14: vnis[0].vni: 4294967296 is out of range (1 to 4294967295)`}},
	{"a VNI beyond EVPN", vni("vni: 70000000000"), []string{`f:6:10: vnis[0].vni: 70000000000 is out of range (1 to 16777215)`}},
	{"a VNI without number", vni("name: a"), []string{`f:6:5: vnis[0].vni: missing, required`}},
	{"the same VNI twice", vni("vni: 2\n  - vni: 2\n    gateway: 2001:db8::2"), []string{`f:8:10: vnis[1].vni: 2 is that of vnis[0] already (line 6)`}},
	{"the same name twice", "vnis:\n  - {vni: 1, name: a}\n  - {vni: 2, name: a}\n", []string{`f:3:20: vnis[1].name: a is that of vnis[0] already (line 2)`}},
	{"a gateway of two VNIs", vni("vni: 1\n  - vni: 2\n    gateway: 2001:db8::1"), []string{`f:9:14: vnis[1].gateway: 2001:db8::1 is that of vnis[0] already (line 7)`}},
	{"a route distinguisher of two VNIs", "vnis:\n  - {vni: 1, rd: 1:1}\n  - {vni: 2, rd: 1:1}\n", []string{`f:3:18: vnis[1].rd: 1:1 is that of vnis[0] already (line 2)`}},
	{"vxlan without gateway", base + "bgp: {}\nvnis:\n  - vni: 1\n", []string{`f:6:5: vnis[0].gateway: missing, required with encapsulation vxlan`}},
	{"a gateway of IPv4", vni("vni: 1", "192.0.2.1"), []string{`f:7:14: vnis[0].gateway: 192.0.2.1 is not an IPv6 address of a host (not link-local, not ::1)`}},
	{"a link-local gateway", vni("vni: 1", "fe80::1"), []string{`f:7:14: vnis[0].gateway: fe80::1 is not an IPv6 address of a host (not link-local, not ::1)`}},
	{"an encapsulation that is not there", vni("vni: 1\n    encapsulation: gre"), []string{`f:7:20: vnis[0].encapsulation: gre is not one of vxlan, ip-in-ip, srv6, mpls, none`}},
	{"a family that is not there", vni("vni: 1\n    family: vpnv4"), []string{`f:7:13: vnis[0].family: vpnv4 is not one of evpn, vpn, unicast`}},
	{"EVPN with labels of MPLS", vni("vni: 1\n    family: evpn\n    encapsulation: mpls"), []string{`f:7:13: vnis[0].family: evpn does not go with encapsulation mpls, want encapsulation vxlan or ip-in-ip or srv6`}},
	{"VPN with the default encapsulation", vni("vni: 1\n    family: vpn"), []string{`f:7:13: vnis[0].family: vpn does not go with encapsulation vxlan, want encapsulation srv6 or mpls`}},
	{"unicast with an encapsulation", vni("vni: 1\n    family: unicast\n    encapsulation: vxlan"), []string{`f:7:13: vnis[0].family: unicast does not go with encapsulation vxlan, want encapsulation none`}},
	{"unicast without gateway", base + "bgp: {}\nvnis:\n  - vni: 1\n    family: unicast\n", []string{`f:6:5: vnis[0].gateway: missing, required with encapsulation none`}},
	{"unicast with what VPN routes have", vni("vni: 1\n    family: unicast\n    rd: auto\n    auto-rt: none\n    import: {targets: []}\n    export: [1:1]"), []string{
		`f:8:5: vnis[0].rd: not allowed with family unicast, which has no route distinguishers`,
		`f:9:5: vnis[0].auto-rt: not allowed with family unicast, which has no route targets`,
		`f:10:14: vnis[0].import.targets: not allowed with family unicast, which has no route targets`,
		`f:11:13: vnis[0].export: a list of route targets, and family unicast has none, want a mapping`}},
	{"segments of vxlan", vni("vni: 1\n    srv6: {}"), []string{`f:7:5: vnis[0].srv6: not allowed with encapsulation vxlan`}},
	{"a behaviour that is not there", srv6("{behavior: dt2u}"), []string{`f:8:22: vnis[0].srv6.behavior: dt2u is not one of dt46, dx`}},
	{"a segment without function", srv6("{block: 120}"), []string{`f:8:11: vnis[0].srv6: block 120 and node 16 are 136 bits, want at most 127`}},
	{"a locator without block", srv6("{block: 0, node: 127}"), []string{
		`f:8:19: vnis[0].srv6.block: 0 is out of range (1 to 127)`,
		`f:8:28: vnis[0].srv6.node: 127 is out of range (0 to 126)`}},
	{"a label of vxlan", vni("vni: 1\n    label: 16"), []string{`f:7:5: vnis[0].label: not allowed with encapsulation vxlan`}},
	{"a label that is reserved for others", mpls("{vni: 1, encapsulation: mpls, gateway: \"2001:db8::1\", label: 15}"), []string{`f:6:66: vnis[0].label: 15 is out of range (16 to 1048575)`}},
	{"a label of two VNIs", mpls("{vni: 1, encapsulation: mpls, gateway: \"2001:db8::1\", label: 16}", "{vni: 2, encapsulation: mpls, gateway: \"2001:db8::2\", label: 16}"), []string{`f:7:66: vnis[1].label: 16 is that of vnis[0] already (line 6)`}},
	{"MPLS without labels", mpls("{vni: 1, encapsulation: mpls, gateway: \"2001:db8::1\"}"), []string{`f:6:5: vnis[0].label: missing, required without mpls.labels`}},
	{"MPLS with too few labels", "mpls: {labels: 16-18}\n" + mpls(
		"{vni: 1, encapsulation: mpls, gateway: \"2001:db8::1\"}", "{vni: 2, encapsulation: mpls, gateway: \"2001:db8::2\", label: 17}",
		"{vni: 3, encapsulation: mpls, gateway: \"2001:db8::3\"}", "{vni: 4, encapsulation: mpls, gateway: \"2001:db8::4\"}"), []string{`f:1:16: mpls.labels: 16-18 has room for 2 of the 3 VNIs that need a label`}},
	{"a preference that is not there", vni("vni: 1\n    prefer: evpn"), []string{`f:7:13: vnis[0].prefer: evpn is not one of metalbond, bgp`}},
	{"BGP preferred to what it carries for MetalBond", vni("vni: 1\n    encapsulation: srv6\n    prefer: bgp\n    export: {types: [standard, nat]}"), []string{`f:8:13: vnis[0].prefer: bgp does not go with lossless exports (export.types), whose routes are other sites' words in MetalBond`}},
	{"an import from odd VNIs", "vnis:\n  - {vni: 1, import-from: [1, 2, 3, 2, 0]}\n  - {vni: 2}\n", []string{
		`f:2:28: vnis[0].import-from[0]: 1 is the VNI itself, want other ones`,
		`f:2:34: vnis[0].import-from[2]: 3 is not configured, want VNIs of this file`,
		`f:2:37: vnis[0].import-from[3]: 2 is there already (line 2)`,
		`f:2:40: vnis[0].import-from[4]: 0 is out of range (1 to 4294967295)`}},
	{"an originated prefix twice", vni("vni: 1\n    originate:\n      - 0.0.0.0/0\n      - prefix: 0.0.0.0/0"), []string{`f:9:17: vnis[0].originate[1].prefix: 0.0.0.0/0 is that of vnis[0].originate[0] already (line 8)`}},
	{"an originated prefix that is missing", vni("vni: 1\n    originate: [{hold-down: 1s}]"), []string{`f:7:17: vnis[0].originate[0].prefix: missing, required`}},
	{"an originated prefix that stays too long", vni("vni: 1\n    originate: [{prefix: 0.0.0.0/0, hold-down: 2h}]"), []string{`f:7:48: vnis[0].originate[0].hold-down: 2h is out of range (0s to 1h)`}},
	{"an originated prefix without gateway", "vnis: [{vni: 1, encapsulation: srv6, originate: [0.0.0.0/0]}]\n", []string{`f:1:8: vnis[0].gateway: missing, required for originate`}},
	{"an originated prefix and a gateway missing", base + "bgp: {}\nvnis: [{vni: 1, originate: [0.0.0.0/0]}]\n", []string{`f:5:8: vnis[0].gateway: missing, required for originate`}},
	{"an aggregate twice", vni("vni: 1\n    aggregates:\n      - prefix: 10.0.0.0/8\n        summary-only: true\n      - 10.0.0.0/8"), []string{`f:10:9: vnis[0].aggregates[1]: 10.0.0.0/8 is that of vnis[0].aggregates[0] already (line 8)`}},
	{"an aggregate with host bits", vni("vni: 1\n    aggregates: [10.0.0.1/8]"), []string{`f:7:18: vnis[0].aggregates[0]: 10.0.0.1/8 has host bits, want 10.0.0.0/8`}},
	{"an aggregate of nothing", vni("vni: 1\n    aggregates: [[]]"), []string{`f:7:18: vnis[0].aggregates[0]: a list, want a prefix such as 10.0.0.0/8 or 2001:db8::/32`}},
	{"an aggregate of next hops of their own", vni("vni: 1\n    encapsulation: ip-in-ip\n    aggregates: [10.0.0.0/8]"), []string{`f:8:5: vnis[0].aggregates: not allowed with encapsulation ip-in-ip, whose packets do not come through the gateway`}},
	{"the zero route distinguisher", vni("vni: 1\n    rd: 0:0"), []string{`f:7:9: vnis[0].rd: 0:0 is reserved, want another route distinguisher`}},
	{"a route distinguisher without colon", vni("vni: 1\n    rd: 200"), []string{`f:7:9: vnis[0].rd: 200 is not a route distinguisher, such as 65001:200 or 192.0.2.1:200`}},
	{"rfc8365 and a 4-octet system", "router-id: 1.1.1.1\nasn: 65536\ndomain: 1:1\nbgp: {}\nvnis: [{vni: 1, encapsulation: ip-in-ip, auto-rt: rfc8365}]\n", []string{`f:5:51: vnis[0].auto-rt: rfc8365 has no room for asn 65536 (1 to 65535)`}},
	{"a target that is a word", vni("vni: 1\n    import: [all]"), []string{`f:7:14: vnis[0].import[0]: all is not a route target, such as 65001:200, target:192.0.2.1:200 or *:200`}},
	{"an export to any system", vni("vni: 1\n    export: [\"*:200\"]"), []string{`f:7:14: vnis[0].export[0]: *:200 is not a route target, such as 65001:200 or target:192.0.2.1:200`}},
	{"the same target twice", vni("vni: 1\n    import: [1:2, target:1:2]"), []string{`f:7:19: vnis[0].import[1]: target:1:2 is there already (line 7)`}},
	{"an import that is a word", vni("vni: 1\n    import: all"), []string{`f:7:13: vnis[0].import: all is not a list of route targets, or a mapping`}},
	{"a target without quotes in braces", base + "bgp: {}\nvnis:\n  - {vni: 1, encapsulation: ip-in-ip, import: [65000:1]}\n",
		[]string{`f:6:48: vnis[0].import[0]: 65000: 1 is a mapping, want a route target (in quotes: "65000:1")`}},
	{"flow specifications of an import", vni("vni: 1\n    import: {flowspec: off}"), []string{`f:7:14: vnis[0].import.flowspec: unknown key (targets, types, prefixes, rules, max-prefixes)`}},
	{"an export of no type", vni("vni: 1\n    export: {types: []}"), []string{`f:7:21: vnis[0].export.types: an empty list, want some types (standard, nat, loadbalancer-target)`}},
	{"a rule about nothing", rule("{le: 24}"), []string{`f:9:11: vnis[0].import.prefixes[0]: want one prefix to allow or to deny`}},
	{"a rule that cannot decide", rule("{allow: ::/0, deny: ::/0}"), []string{`f:9:11: vnis[0].import.prefixes[0]: want one prefix to allow or to deny`}},
	{"a rule with host bits", rule("{allow: 10.1.0.0/8}"), []string{`f:9:19: vnis[0].import.prefixes[0].allow: 10.1.0.0/8 has host bits, want 10.0.0.0/8`}},
	{"a rule with a length shorter than its prefix", rule("{allow: 10.0.0.0/8, ge: 7}"), []string{`f:9:35: vnis[0].import.prefixes[0].ge: 7 is out of range (8 to 32)`}},
	{"a rule with crossed lengths", rule("{deny: 10.0.0.0/8, ge: 24, le: 16}"), []string{`f:9:42: vnis[0].import.prefixes[0].le: 16 is out of range (24 to 32)`}},
	{"a prefix with a length shorter than itself", policy("import", "when: {prefixes: [{prefix: 10.0.0.0/8, ge: 7}]}\n          then: accept"), []string{`f:9:54: vnis[0].import.rules[0].when.prefixes[0].ge: 7 is out of range (8 to 32)`}},
	{"a prefix without prefix", policy("import", "when: {prefixes: [{ge: 7}]}\n          then: accept"), []string{`f:9:29: vnis[0].import.rules[0].when.prefixes[0].prefix: missing, required`}},
	{"a prefix that is denied", policy("import", "when: {prefixes: [{deny: 10.0.0.0/8}]}\n          then: accept"), []string{
		`f:9:29: vnis[0].import.rules[0].when.prefixes[0].prefix: missing, required`,
		`f:9:30: vnis[0].import.rules[0].when.prefixes[0].deny: unknown key (prefix, ge, le)`}},
	{"a policy rule that does nothing", policy("export", "when: {types: [nat]}"), []string{`f:9:11: vnis[0].export.rules[0].then: missing, required without set`}},
	{"a policy rule that changes nothing", policy("export", "set: {}"), []string{`f:9:16: vnis[0].export.rules[0].set: an empty mapping, want something to change`}},
	{"a policy rule that is a word", policy("export", "accept"), []string{`f:9:11: vnis[0].export.rules[0]: accept is not a rule (name, when, set, then)`}},
	{"a policy that is a word", vni("vni: 1\n    import: {rules: accept}"), []string{`f:7:21: vnis[0].import.rules: accept is not a list of rules (name, when, set, then)`}},
	{"an end of a policy that is not there", policy("export", "then: deny"), []string{`f:9:17: vnis[0].export.rules[0].then: deny is not one of continue, accept, refuse`}},
	{"a condition on nothing", policy("export", "when: {prefixes: [], types: [], nexthops: [], communities: [], large-communities: []}\n          then: accept"), []string{
		`f:9:28: vnis[0].export.rules[0].when.prefixes: an empty list, want some prefixes`,
		`f:9:39: vnis[0].export.rules[0].when.types: an empty list, want some types (standard, nat, loadbalancer-target)`,
		`f:9:53: vnis[0].export.rules[0].when.nexthops: an empty list, want some prefixes`,
		`f:9:70: vnis[0].export.rules[0].when.communities: an empty list, want some communities`,
		`f:9:93: vnis[0].export.rules[0].when.large-communities: an empty list, want some large communities`}},
	{"a condition twice", policy("export", "when: {prefixes: [{prefix: 10.0.0.0/8}, 10.0.0.0/8]}\n          then: accept"), []string{`f:9:51: vnis[0].export.rules[0].when.prefixes[1]: 10.0.0.0/8 is there already (line 9)`}},
	{"a type of next hop that is not there", policy("export", "when: {types: [anycast]}\n          then: accept"), []string{`f:9:26: vnis[0].export.rules[0].when.types[0]: anycast is not one of standard, nat, loadbalancer-target`}},
	{"a next hop that is no prefix", policy("import", "when: {nexthops: [\"2001:db8::1\"]}\n          then: accept"), []string{`f:9:29: vnis[0].import.rules[0].when.nexthops[0]: 2001:db8::1 is not a prefix such as 10.0.0.0/8 or 2001:db8::/32`}},
	{"a community of an import", policy("import", "set: {communities: [\"1:1\"]}"), []string{`f:9:17: vnis[0].import.rules[0].set.communities: unknown key (local-preference, med)`}},
	{"a large community of an import", policy("import", "set: {large-communities: [\"1:1:1\"]}"), []string{`f:9:17: vnis[0].import.rules[0].set.large-communities: unknown key (local-preference, med)`}},
	{"a community that is unknown", policy("export", "set: {communities: [no-import]}"), []string{`f:9:31: vnis[0].export.rules[0].set.communities[0]: no-import is not a community such as 65000:100, nor one of graceful-shutdown, accept-own, llgr-stale, no-llgr, blackhole, no-export, no-advertise, no-export-subconfed, no-peer`}},
	{"a community with too large a number", policy("export", "set: {communities: [\"1:65536\"]}"), []string{`f:9:31: vnis[0].export.rules[0].set.communities[0]: 1:65536: number 65536 is out of range (0 to 65535)`}},
	{"a community of three numbers", policy("export", "set: {communities: [\"1:1:1\"]}"), []string{`f:9:31: vnis[0].export.rules[0].set.communities[0]: 1:1:1 is not a community such as 65000:100, nor one of graceful-shutdown, accept-own, llgr-stale, no-llgr, blackhole, no-export, no-advertise, no-export-subconfed, no-peer`}},
	{"a community by name and by number", policy("export", "set: {communities: [no-export, \"65535:65281\"]}"), []string{`f:9:42: vnis[0].export.rules[0].set.communities[1]: 65535:65281 is there already (line 9)`}},
	{"a large community of two numbers", policy("export", "set: {large-communities: [\"1:1\"]}"), []string{`f:9:37: vnis[0].export.rules[0].set.large-communities[0]: 1:1 is not a large community, such as 65000:1:2`}},
	{"a large community with too large a number", policy("export", "set: {large-communities: [\"1:4294967296:1\"]}"), []string{`f:9:37: vnis[0].export.rules[0].set.large-communities[0]: 1:4294967296:1: number 4294967296 is out of range (0 to 4294967295)`}},
	{"a large community that says a field of MetalBond", policy("export", "set: {large-communities: [\"65001:4:1\", \"65001:1:2\"]}"), []string{`f:9:50: vnis[0].export.rules[0].set.large-communities[1]: 65001:1:2 says a field of MetalBond (lossless-asn 65001, 1 to 3), want another one`}},
	{"a community without quotes in braces", policy("export", "set: {communities: [65000:100]}"), []string{`f:9:31: vnis[0].export.rules[0].set.communities[0]: 65000: 100 is a mapping, want a community (in quotes: "65000:100")`}},
	{"a negative MED", policy("export", "set: {med: -1}"), []string{`f:9:22: vnis[0].export.rules[0].set.med: -1 is out of range (0 to 4294967295)`}},
	{"a local preference beyond 32 bits", policy("import", "set: {local-preference: 4294967296}"), []string{`f:9:35: vnis[0].import.rules[0].set.local-preference: 4294967296 is out of range (0 to 4294967295)`}},
	{"two policy rules of one name", policy("import", "name: a\n          then: accept\n        - name: a\n          then: refuse"), []string{`f:11:17: vnis[0].import.rules[1].name: a is that of vnis[0].import.rules[0] already (line 9)`}},
	{"a policy rule with the name of another's place", policy("import", "then: accept\n        - name: rule-1\n          then: refuse"), []string{`f:10:17: vnis[0].import.rules[1].name: rule-1 is that of vnis[0].import.rules[0] already (line 9)`}},
	{"a policy rule in the place of another's name", policy("import", "name: rule-2\n          then: accept\n        - then: refuse"), []string{`f:11:11: vnis[0].import.rules[1].name: rule-2 is that of vnis[0].import.rules[0] already (line 9)`}},

	// Several at once, in order of position.
	{"everything wrong at once", "http: 1\nasn: x\nlog: {level: 1}\nfoo: 1\n", []string{
		`f:1:7: http: 1 is not an address to listen on such as [::]:4712`,
		`f:2:6: asn: x is not a number (1 to 4294967294)`,
		`f:3:14: log.level: 1 is not one of info, error, warning, debug, trace`,
		`f:4:1: foo: unknown key (` + rootKeys + `)`}},
}

const (
	rootKeys    = "router-id, asn, domain, domain-id, state-directory, memory-limit, vxlan, mpls, metalbond, bgp, kernel, vnis, log, http, api"
	familyWords = "evpn, vpnv4, vpnv6, ipv4, ipv6, rtc, ipv4-flowspec, ipv6-flowspec"
	peeringKeys = "asn, local-asn, local-address, description, multihop, password-file, families, route-reflector-client, timers, graceful-restart, add-path, max-prefixes"
)

func neighbor(text string) string {
	return base + "bgp:\n  neighbors:\n    - " + text + "\n      asn: 65000\n"
}

// vni returns a file whose first VNI begins in line 6, and has a gateway
// behind its first line.
func vni(text string, gateway ...string) string {
	first, rest, _ := strings.Cut(text, "\n")
	address := "2001:db8::1"
	if len(gateway) > 0 {
		address = gateway[0]
	}
	if strings.HasPrefix(rest, "    ") {
		return base + "bgp: {}\nvnis:\n  - " + first + "\n" + rest + "\n    gateway: " + address + "\n"
	}
	return base + "bgp: {}\nvnis:\n  - " + first + "\n    gateway: " + address + "\n" + rest + "\n"
}

func srv6(text string) string {
	return vni("vni: 1\n    encapsulation: srv6\n    srv6: " + text)
}

// mpls returns a file whose VNIs begin in line 6.
func mpls(vnis ...string) string {
	return base + "bgp: {}\nvnis:\n  - " + strings.Join(vnis, "\n  - ") + "\n"
}

// policy returns a file whose first rule of a direction begins in line 9.
func policy(direction, text string) string {
	return vni("vni: 1\n    " + direction + ":\n      rules:\n        - " + text)
}

func rule(text string) string {
	return vni("vni: 1\n    import:\n      prefixes:\n        - " + text)
}

func nested(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestMalformedFilesAreRefusedWithPlaceValueAndWhatIsAllowed(t *testing.T) {
	for _, row := range malformed {
		t.Run(row.name, func(t *testing.T) {
			c, err := Parse("f", []byte(row.file))
			if err == nil || c != nil {
				t.Fatalf("parsed: %+v, %v", c, err)
			}
			if want := strings.Join(row.want, "\n"); err.Error() != want {
				t.Errorf("error of\n%s\n got %s\nwant %s", row.file, err, want)
			}
		})
	}
}
