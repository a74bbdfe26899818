package metrics

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"mbbgp/test/lab"
)

const metricsPage = "http://127.0.0.1:4712/metrics"

func TestShippedExpressionsFitARunningBridge(t *testing.T) {
	lab.Need(t, "promtool", "prometheus")
	w := newWorld(t)
	w.everything()
	page, err := w.node.Get(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	ofDashboard, ofRules := expressions(t)

	t.Run("promtool has no complaint of a metric of ours", func(t *testing.T) {
		cmd := exec.Command("promtool", "check", "metrics")
		cmd.Stdin = strings.NewReader(string(page))
		out, _ := cmd.CombinedOutput() // GoBGP's names break conventions
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, "mbbgp_") || strings.Contains(line, "error") {
				t.Error(line)
			}
		}
	})
	t.Run("all metrics and labels are there", func(t *testing.T) {
		s := parse(string(page))
		for _, e := range append(ofDashboard, ofRules...) {
			for _, problem := range s.problems(e) {
				t.Error(problem)
			}
		}
	})
	t.Run("Prometheus takes them", func(t *testing.T) { w.prometheus(t, ofDashboard, ofRules) })
}

// changing marks expressions that show nothing while all is well.
var changing = regexp.MustCompile(`[=>] 0$`)

// prometheus runs the real one, with our rules.
func (w *world) prometheus(t *testing.T, ofDashboard, ofRules []expression) {
	w.node.WriteFile("/run/prometheus.yaml", fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%s]
scrape_configs:
  - job_name: mbbgp
    static_configs: [{targets: ["127.0.0.1:4712"]}]
`, shipped(t, rulesFile)))
	w.node.Start("prometheus", "--config.file=/run/prometheus.yaml", "--storage.tsdb.path=/run/prometheus", "--web.listen-address=127.0.0.1:9090")
	query := func(promQL string) (series int, err error) {
		var answer struct {
			Data struct{ Result []json.RawMessage }
		}
		err = w.api("query?query="+url.QueryEscape(promQL), &answer)
		return len(answer.Data.Result), err
	}
	lab.Eventually(t, patience, "five samples", func() error {
		n, err := query(`count_over_time(mbbgp_build_info[10m]) >= 5`)
		if err == nil && n != 1 {
			err = fmt.Errorf("%d bridges", n)
		}
		return err
	})
	for _, e := range ofDashboard {
		if n, err := query(e.promQL); err != nil || n == 0 && !changing.MatchString(e.promQL) {
			t.Errorf("%s: %s: %d series, %v", e.where, e.promQL, n, err)
		}
	}
	lab.Eventually(t, patience, "alert of stale routes", func() error {
		n, err := query(`ALERTS{alertname="MbbgpBGPStale",alertstate="pending"}`)
		if err == nil && n != 1 {
			err = fmt.Errorf("%d alerts", n)
		}
		return err
	})
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	if err := w.api("rules", &rules); err != nil {
		t.Fatal(err)
	}
	if n := len(rules.Data.Groups[0].Rules); n != len(ofRules) {
		t.Errorf("%d rules, want %d", n, len(ofRules))
	}
	for _, r := range rules.Data.Groups[0].Rules {
		if r.Health != "ok" {
			t.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
		}
	}
}

// api asks Prometheus.
func (w *world) api(path string, into any) error {
	body, err := w.node.Get("http://127.0.0.1:9090/api/v1/" + path)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

func TestMetricsFollowRoutes(t *testing.T) {
	w := newWorld(t)
	red := `vni="200"`
	w.wait(1, "mbbgp_originated")
	for _, n := range []float64{500, 0} {
		command := "fill 65000:2 500 200 10.0.0.2 65000:200 02:00:00:00:00:02"
		if n == 0 {
			command = "drain 65000:2 500"
		}
		w.leaf.Do("%s", command)
		w.wait(n, "mbbgp_vni_imported_routes", red)
		w.wait(n, "mbbgp_vni_source_nexthops", red, `source="bgp"`)
		w.wait(n, "mbbgp_bgp_neighbor_imported_routes", `neighbor="10.0.0.2"`)
		w.wait(n, "bgp_routes_accepted", `peer="10.0.0.2"`)
		w.wait(n, "mbbgp_kernel_routes", red)
		w.wait(n, "mbbgp_vni_limit_used_prefixes", red, `limit="import"`)
	}
	w.wait(500, "mbbgp_bgp_neighbor_updates_total", `neighbor="10.0.0.2"`)
	w.wait(500, "mbbgp_bgp_neighbor_withdrawals_total", `neighbor="10.0.0.2"`)

	w.hypervisor.Do("announce 200#10.1.0.1/32#2001:db8::5")
	w.wait(1, "mbbgp_vni_exported_routes", red)
	w.wait(1, "mbbgp_metalbond_session_routes", `role="client"`)
	w.wait(1, "bgp_routes_advertised", `peer="10.0.0.2"`)
	w.hypervisor.Do("withdraw 200#10.1.0.1/32#2001:db8::5")
	w.wait(0, "mbbgp_vni_exported_routes", red)
	w.wait(1, "mbbgp_vni_export_withdrawals_total", red)

	t.Log("a hypervisor that only one of two servers has")
	w.remote.Do("announce 200#10.2.0.1/32#2001:db8::6")
	w.wait(1, "mbbgp_metalbond_server_missing_routes", `peer="[2001:db8::b]:4711"`)
	w.wait(0, "mbbgp_metalbond_server_missing_routes", `peer="[2001:db8::a]:4711"`)
	w.remote.Connect("[2001:db8::b]:4711")
	w.wait(0, "mbbgp_metalbond_server_missing_routes")
	w.wait(2, "mbbgp_metalbond_server_routes", red)

	t.Log("sessions that end")
	w.hypervisor.Kill()
	w.wait(0, "mbbgp_metalbond_session_up", `role="client"`)
	w.leaf.Kill()
	w.wait(0, "mbbgp_bgp_neighbor_up", `neighbor="10.0.0.2"`)
}
