package metrics

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const dashboardFile = "grafana/mbbgp.json"

// expression is a PromQL expression that is shipped, with the text in which its
// labels are used.
type expression struct {
	where, promQL, text string
}

// dashboard is what of a dashboard of Grafana is looked at.
type dashboard struct {
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []panel
}

type panel struct {
	ID          int
	Type, Title string
	Datasource  struct{ Type, UID string }
	GridPos     struct{ H, W, X, Y int }
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
	Targets []struct{ Expr, LegendFormat string }
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, shipped(t, dashboardFile))), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// variables are what Grafana puts into expressions.
var variables = strings.NewReplacer("$instance", ".*", "$vni", ".*", "$__rate_interval", "1m")

// expressions returns all that are shipped, those of the dashboard first.
func expressions(t *testing.T) (ofDashboard, ofRules []expression) {
	t.Helper()
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			ofDashboard = append(ofDashboard, expression{"panel " + p.Title, variables.Replace(q.Expr), q.LegendFormat})
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, shipped(t, rulesFile))), &rules); err != nil {
		t.Fatal(err)
	}
	for _, r := range rules.Groups[0].Rules {
		ofRules = append(ofRules, expression{"alert " + r.Alert, r.Expr, r.Annotations["summary"] + r.Annotations["description"]})
	}
	if len(ofDashboard) == 0 || len(ofRules) == 0 {
		t.Fatalf("%d expressions of the dashboard, %d of rules", len(ofDashboard), len(ofRules))
	}
	return ofDashboard, ofRules
}

var (
	selector  = regexp.MustCompile(`\b(?:(?:mbbgp|bgp|fsm_loop|go|process)_[a-z0-9_]+|up)\b(\{[^}]*\})?`)
	matcher   = regexp.MustCompile(`([a-z_]+) *(?:=~|!~|!=|=) *"`)
	grouping  = regexp.MustCompile(`\b(by|on|group_left) *\(([^)]*)\)`)
	function  = regexp.MustCompile(`\b[a-z_]+ *\(`)
	word      = regexp.MustCompile(`[a-zA-Z_]\w*`)
	duration  = regexp.MustCompile(`\[[0-9]+[smhd]\]`)
	operators = []string{"and", "or", "unless", "time"}

	usedLabel = regexp.MustCompile(`\$labels\.([a-z_]+)`)
	legend    = regexp.MustCompile(`\{\{([a-z_]+)\}\}`)
)

// scraped are the labels of metrics by name.
type scraped map[string][]string

// labels that Prometheus gives every series.
var everywhere = []string{"instance", "job"}

// parse reads what /metrics says. Series of one name may have different labels.
func parse(text string) scraped {
	s := scraped{"up": everywhere}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name := word.FindString(line)
		if s[name] == nil {
			s[name] = slices.Clone(everywhere)
		}
		for _, m := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(line, -1) {
			s[name] = append(s[name], m[1])
		}
	}
	return s
}

// problems says what an expression names that is not there.
func (s scraped) problems(e expression) (list []string) {
	say := func(format string, args ...any) { list = append(list, e.where+": "+fmt.Sprintf(format, args...)) }
	var known, result []string
	for _, m := range selector.FindAllStringSubmatch(e.promQL, -1) {
		name := word.FindString(m[0])
		labels, there := s[name]
		if !there {
			say("no metric %s", name)
		}
		known = append(known, labels...)
		for _, l := range matcher.FindAllStringSubmatch(m[1], -1) {
			if !slices.Contains(labels, l[1]) {
				say("%s has no label %s", name, l[1])
			}
		}
	}
	result = known
	for _, m := range grouping.FindAllStringSubmatch(e.promQL, -1) {
		labels := word.FindAllString(m[2], -1)
		if m[1] == "by" {
			result = labels
		}
		for _, l := range labels {
			if !slices.Contains(known, l) {
				say("no label %s to group by", l)
			}
		}
	}
	for _, pattern := range []*regexp.Regexp{usedLabel, legend} {
		for _, m := range pattern.FindAllStringSubmatch(e.text, -1) {
			if !slices.Contains(result, m[1]) {
				say("the text has a label %s, the result has %q", m[1], result)
			}
		}
	}
	rest := e.promQL
	for _, pattern := range []*regexp.Regexp{selector, grouping, duration, function} {
		rest = pattern.ReplaceAllString(rest, " ")
	}
	for _, w := range word.FindAllString(rest, -1) {
		if !slices.Contains(operators, w) {
			say("what is %q?", w)
		}
	}
	return list
}

func TestWrongExpressionsAreFound(t *testing.T) {
	s := parse("# HELP mbbgp_a_total x\nmbbgp_a_total{vni=\"1\"} 3\nmbbgp_b 1\n")
	for _, row := range []struct{ promQL, text, problem string }{
		{`sum by (vni) (rate(mbbgp_a_total{vni=~".*"}[5m])) > 0 and on (job, instance) mbbgp_b == 1`, "{{vni}}", ""},
		{`mbbgp_c`, "", "no metric mbbgp_c"},
		{`mbbgp_b{vni="1"}`, "", "mbbgp_b has no label vni"},
		{`sum by (peer) (mbbgp_b)`, "", "no label peer to group by"},
		{`sum by (job) (mbbgp_a_total)`, "{{vni}}", "the text has a label vni"},
		{`mbbgp_b`, "{{ $labels.vni }}", "the text has a label vni"},
		{`node_load1 > mbbgp_b`, "", `what is "node_load1"?`},
	} {
		got := s.problems(expression{"x", row.promQL, row.text})
		if row.problem == "" && len(got) > 0 || row.problem != "" && (len(got) != 1 || !strings.Contains(got[0], row.problem)) {
			t.Errorf("%s: %q, want %q", row.promQL, got, row.problem)
		}
	}
}

func TestDashboardIsWellMade(t *testing.T) {
	d := readDashboard(t)
	ids, taken := make(map[int]bool), make(map[[2]int]string)
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s: id %d is there twice", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s is at column %d, row %d: outside, or over %q", p.Title, x, y, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource.UID != "${datasource}" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 || p.Title == "" {
			t.Errorf("%s: has no title, unit, or query, or data source %q, want the variable", p.Title, p.Datasource.UID)
		}
	}
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
	}
	if want := []string{"datasource", "instance", "vni"}; !slices.Equal(names, want) {
		t.Errorf("variables %q, want %q", names, want)
	}
}
