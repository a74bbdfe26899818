package api

import (
	"bufio"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"mbbgp/rib"
)

// What metalbond v0.5.0 serves of the same routes. test/page asks one.
const metalbondJSON = `{
  "date": "2026-01-02 15:04:05",
  "vnet": {
    "100": {
      "{\"IPVersion\":4,\"Prefix\":\"10.0.0.0/24\"}": [
        {
          "TargetAddress": "2001:db8::1",
          "TargetVNI": 0,
          "Type": 1,
          "NATPortRangeFrom": 5,
          "NATPortRangeTo": 9
        },
        {
          "TargetAddress": "2001:db8::1",
          "TargetVNI": 0,
          "Type": 2,
          "NATPortRangeFrom": 0,
          "NATPortRangeTo": 0
        }
      ],
      "{\"IPVersion\":6,\"Prefix\":\"2001:db8:1::/64\"}": [
        {
          "TargetAddress": "2001:db8::1",
          "TargetVNI": 7,
          "Type": 0,
          "NATPortRangeFrom": 0,
          "NATPortRangeTo": 0
        }
      ]
    }
  },
  "metalbondVersion": "v1"
}`

const metalbondYAML = `date: "2026-01-02 15:04:05"
vnet:
  100:
    '{"IPVersion":4,"Prefix":"10.0.0.0/24"}':
    - targetaddress: 2001:db8::1
      targetvni: 0
      type: 1
      natportrangefrom: 5
      natportrangeto: 9
    - targetaddress: 2001:db8::1
      targetvni: 0
      type: 2
      natportrangefrom: 0
      natportrangeto: 0
    '{"IPVersion":6,"Prefix":"2001:db8:1::/64"}':
    - targetaddress: 2001:db8::1
      targetvni: 7
      type: 0
      natportrangefrom: 0
      natportrangeto: 0
metalbondversion: "v1"
`

func written(s State, write func(*bufio.Writer, *State, time.Time)) string {
	var text strings.Builder
	w := bufio.NewWriter(&text)
	write(w, &s, time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC))
	_ = w.Flush() // a strings.Builder takes everything
	return text.String()
}

func TestRoutesHaveMetalbondsShape(t *testing.T) {
	if diff := cmp.Diff(metalbondJSON, written(full(), writeJSON)); diff != "" {
		t.Errorf("JSON (-metalbond +mbbgp):\n%s", diff)
	}
	if diff := cmp.Diff(metalbondYAML, written(full(), writeYAML)); diff != "" {
		t.Errorf("YAML (-metalbond +mbbgp):\n%s", diff)
	}
}

func TestRoutesParse(t *testing.T) {
	odd := State{Version: `v1 "quoted"`, Table: fixed{rib.New(rib.Options{}), map[rib.VNI][]rib.RouteInfo{7: {
		route("::/0", target("::1")),
		route("0.0.0.0/0", target("2001:db8::")),
		route("2001:db8::1/128", rib.NextHop{Target: netip.MustParseAddr("fd00::1%eth0")}),
	}}}}
	for name, s := range map[string]State{"nothing": {}, "something": full(), "odd addresses": odd} {
		var fromJSON, fromYAML struct {
			VNet map[string]map[string][]map[string]any `json:"vnet" yaml:"vnet"`
		}
		if err := json.Unmarshal([]byte(written(s, writeJSON)), &fromJSON); err != nil {
			t.Errorf("%s: JSON: %v", name, err)
		}
		if err := yaml.Unmarshal([]byte(written(s, writeYAML)), &fromYAML); err != nil {
			t.Errorf("%s: YAML: %v", name, err)
		}
		if s.Table == nil {
			continue
		}
		for vni, prefixes := range fromJSON.VNet {
			for prefix, hops := range prefixes {
				for i, hop := range hops {
					if got := fromYAML.VNet[vni][prefix][i]["targetaddress"]; got != hop["TargetAddress"] {
						t.Errorf("%s: %s: JSON says %v, YAML %v", name, prefix, hop["TargetAddress"], got)
					}
				}
			}
		}
	}
}
