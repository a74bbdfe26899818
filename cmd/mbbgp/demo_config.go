package main

import (
	"fmt"
	"net"
	"net/netip"

	"mbbgp/config"
)

// bridgeFile is the configuration of the demo's bridge, in the same words that
// an operator writes; the two ports are filled in.
const bridgeFile = `
router-id: 192.0.2.1
asn: 65001
domain: 65001:1                    # marks what this side gave to the fabric

metalbond:
  listen: 127.0.0.1:0
  keepalive: 1s

bgp:
  listen: 127.0.0.1:%d
  neighbors:
    - address: 127.0.0.2
      asn: 65000
      passive: true
      families: [evpn]

vnis:
  - vni: 200
    name: tenant-a
    encapsulation: vxlan           # through this gateway
    import: [target:65000:200]
    export: [target:65000:200]
    gateway: 2001:db8:f::200
  - vni: 300
    name: tenant-b
    encapsulation: ip-in-ip        # straight to the hypervisors
    import: [target:65000:300]
    export: [target:65000:300]

http: off
api: {socket: off}
`

// leafFile is the configuration of the fabric's switch. It is the same program
// without hypervisors: its subnets are static routes.
const leafFile = `
router-id: 192.0.2.254
asn: 65000
domain: 65000:1

bgp:
  listen: off
  neighbors:
    - address: 127.0.0.1
      port: %d
      local-address: 127.0.0.2
      asn: 65001
      families: [evpn]
      timers: {connect-retry: 1s}

vnis:
  - vni: 200
    import: [target:65000:200]
    export: [target:65000:200]
    gateway: 2001:db8:2::200
  - vni: 300
    encapsulation: ip-in-ip
    import: [target:65000:300]
    export: [target:65000:300]

http: off
api: {socket: off}
`

// demoConfigs returns the configurations of the bridge and of the leaf, on a
// BGP port that is free at this moment.
func demoConfigs() (forBridge, forLeaf *config.Config, err error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		return nil, nil, fmt.Errorf("no free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return nil, nil, err
	}
	forBridge, err = config.Parse("bridge", fmt.Appendf(nil, bridgeFile, port))
	if err != nil {
		return nil, nil, err
	}
	forLeaf, err = config.Parse("leaf", fmt.Appendf(nil, leafFile, port))
	if err != nil {
		return nil, nil, err
	}
	forLeaf.MetalBond.Listen = nil // a switch serves no hypervisors
	return forBridge, forLeaf, nil
}
