package gobgp

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mbbgp/config"
)

// GoBGP notes in a map of its own what was in a file, without a lock, so the
// tests that read files do not overlap with others.

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestGobgpdFileIsUsedAsItIs(t *testing.T) {
	for _, tt := range []struct{ name, content string }{
		{"gobgpd.conf", `
[global.config]
  as = 65001
  router-id = "%[1]v"
  port = -1
[[neighbors]]
  [neighbors.config]
    neighbor-address = "%[2]v"
    peer-as = 65002
    description = "from the file"
  [neighbors.transport.config]
    remote-port = %[3]d
    local-address = "%[1]v"
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "l2vpn-evpn"
`},
		{"gobgpd.yaml", `
global:
  config:
    port: -1
neighbors:
  - config:
      neighbor-address: "%[2]v"
      peer-as: 65002
      description: from the file
    transport:
      config:
        remote-port: %[3]d
        local-address: "%[1]v"
    afi-safis:
      - config:
          afi-safi-name: l2vpn-evpn
`},
		{"gobgpd.json", `{
  "global": {"config": {"as": 65001, "router-id": "%[1]v", "port": -1}},
  "neighbors": [{
    "config": {"neighbor-address": "%[2]v", "peer-as": 65002, "description": "from the file"},
    "transport": {"config": {"remote-port": %[3]d, "local-address": "%[1]v"}},
    "afi-safis": [{"config": {"afi-safi-name": "l2vpn-evpn"}}]
  }]
}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addrs := addresses(2)
			ca, cb := configuration(t, addrs[0], 65001), configuration(t, addrs[1], 65002)
			meet(ca, cb, nil)
			ca.BGP = &config.BGP{GoBGPConfig: writeFile(t, tt.name, fmt.Sprintf(tt.content, addrs[0], addrs[1], cb.BGP.Listen[0].Port()))}
			a, b := start(t, ca), start(t, cb)
			settle(t, a, b)
			crossing(t, a, b)
			if n := a.neighbor(b.addr); n.Description != "from the file" || n.Dynamic || n.ASN != 65002 || n.LocalASN != 65001 {
				t.Errorf("neighbour: %+v", n)
			}
		})
	}
}

func TestWrongGobgpdFileIsRefused(t *testing.T) {
	for _, tt := range []struct{ name, content, want string }{
		{"no such key", "[global.config]\n  ass = 65001\n", "ass"},
		{"not TOML", "global: {\n", "toml"},
		{"other AS", "[global.config]\n  as = 65077\n", "global.config.as: 65077 is not our asn, 65001"},
		{"other router-id", "[global.config]\n  as = 65001\n  router-id = \"192.0.2.99\"\n", "global.config.router-id: 192.0.2.99 is not our router-id"},
		{"no family of routes", "[[global.afi-safis]]\n  [global.afi-safis.config]\n    afi-safi-name = \"rtc\"\n", "global.afi-safis: none of evpn, VPN and unicast is there"},
		{"unknown peer group of dynamic neighbours", "[[dynamic-neighbors]]\n  [dynamic-neighbors.config]\n    prefix = \"10.0.0.0/8\"\n    peer-group = \"spines\"\n",
			"no such peer-group: spines"},
		{"unknown peer group of a neighbour", "[[neighbors]]\n  [neighbors.config]\n    neighbor-address = \"127.0.0.9\"\n    peer-group = \"spines\"\n",
			`neighbors[0].config.peer-group: "spines" is not in peer-groups`},
		{"wrong address", "[[neighbors]]\n  [neighbors.config]\n    neighbor-address = \"10.0.0.999\"\n", "neighbors[0].config.neighbor-address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := configuration(t, addresses(1)[0], 65001)
			name := writeFile(t, "gobgpd.conf", tt.content)
			cfg.BGP = &config.BGP{GoBGPConfig: name}
			_, err := newSpeaker(cfg, newBook(), quiet())
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "bgp.gobgp-config: "+name) {
				t.Errorf("error %v, want bgp.gobgp-config: FILE: ...%s", err, tt.want)
			}
		})
	}
	cfg := configuration(t, addresses(1)[0], 65001)
	cfg.BGP = &config.BGP{GoBGPConfig: filepath.Join(t.TempDir(), "none")}
	if _, err := newSpeaker(cfg, newBook(), quiet()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error %v", err)
	}
}

func TestWhatGoBGPOnlyLogsOfAFileIsAnError(t *testing.T) {
	cfg := configuration(t, addresses(1)[0], 65001)
	cfg.BGP = &config.BGP{GoBGPConfig: writeFile(t, "gobgpd.conf", `
[global.config]
  port = -1
[[neighbors]]
  [neighbors.config]
    neighbor-address = "127.0.0.9"
    peer-as = 65002
[[neighbors]]
  [neighbors.config]
    neighbor-address = "127.0.0.9"
    peer-as = 65003
`)}
	if err := runs(t, cfg); err == nil || !strings.Contains(err.Error(), "can't overwrite the existing peer: 127.0.0.9") {
		t.Errorf("error %v", err)
	}
}
