package alerts

import (
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"tandem/internal/testkit/debian"
)

// promtool runs Debian's promtool and wants exit status 0.
func promtool(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), debian.Tool(t, "prometheus", "/usr/bin/promtool"), args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

type rulesFile struct {
	Groups []struct {
		Name  string
		Rules []rule
	}
}

const rulesPath = "dashboards/tandem-rules.yml"

var testPaths = []string{"dashboards/tandem-rules.test.yml", "dashboards/tandem-rules.days.test.yml"}

// loadRules are the alerts and the recording rules.
func loadRules(t *testing.T) (alerts, records []rule) {
	t.Helper()
	var file rulesFile
	if err := yaml.UnmarshalStrict([]byte(read(t, rulesPath)), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert != "" {
				alerts = append(alerts, r)
			} else {
				records = append(records, r)
			}
		}
	}
	if len(alerts) < 24 {
		t.Fatalf("only %d alerts", len(alerts))
	}
	return alerts, records
}

// TestRules has promtool look at the rules and run their unit tests, and at the example of a configuration.
func TestRules(t *testing.T) {
	promtool(t, "check", "rules", filepath.Join(root, rulesPath))
	promtool(t, "check", "config", filepath.Join(root, "dashboards/prometheus.yml"))
	for _, path := range testPaths {
		promtool(t, "test", "rules", filepath.Join(root, path))
	}
}

// TestTheExampleWithAllLines: what stands behind # in the example is right as well. Debian's promtool is older than the last line.
func TestTheExampleWithAllLines(t *testing.T) {
	text := regexp.MustCompile(`(?m)^( *)#([a-z_ -]+:|  +)`).ReplaceAllString(read(t, "dashboards/prometheus.yml"), "$1$2")
	if !strings.Contains(text, "\n    authorization:\n      credentials_file:") || !strings.Contains(text, "\nalerting:\n  alertmanagers:\n    - static_configs") {
		t.Fatalf("not the lines that were meant:\n%s", text)
	}
	text = strings.ReplaceAll(text, "    scrape_native_histograms: true\n", "")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), "secret")
	text = strings.Replace(text, "/etc/prometheus/tandem.token", filepath.Join(dir, "token"), 1)
	write(t, filepath.Join(dir, "tandem-rules.yml"), read(t, rulesPath))
	write(t, filepath.Join(dir, "prometheus.yml"), text)
	promtool(t, "check", "config", filepath.Join(dir, "prometheus.yml"))
}

// TestRulesAskForWhatIsShown: each metric and label is one of mirror's, or of a recording rule.
func TestRulesAskForWhatIsShown(t *testing.T) {
	alerts, records := loadRules(t)
	known := shown(t)
	for _, r := range records { // a rule may be used by one that stands above it
		known[r.Record] = []string{"flow", "cause", "class", "level", "kind"}
	}
	for _, r := range slices.Concat(records, alerts) {
		holds(t, r.Record+r.Alert, r.Expr, known)
	}
}

// TestEveryAlertIsComplete: what a person gets who is woken by it.
func TestEveryAlertIsComplete(t *testing.T) {
	alerts, _ := loadRules(t)
	page := read(t, "docs/alerts.md")
	for _, a := range alerts {
		if a.For == "" {
			t.Errorf("%s fires at once", a.Alert)
		}
		if s := a.Labels["severity"]; len(a.Labels) != 1 || s != "critical" && s != "warning" {
			t.Errorf("%s has the labels %v", a.Alert, a.Labels)
		}
		if want := "docs/alerts.md#" + strings.ToLower(a.Alert); a.Annotations["runbook"] != want {
			t.Errorf("%s has the runbook %q, want %q", a.Alert, a.Annotations["runbook"], want)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" || len(a.Annotations) != 3 {
			t.Errorf("%s has the annotations %v", a.Alert, a.Annotations)
		}
		if !strings.Contains(page, "\n## "+a.Alert+"\n") {
			t.Errorf("docs/alerts.md has no section of %s", a.Alert)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^## (Tandem\w+)$`).FindAllStringSubmatch(page, -1) {
		if !slices.ContainsFunc(alerts, func(a rule) bool { return a.Alert == m[1] }) {
			t.Errorf("docs/alerts.md has a section of %s, which is no alert", m[1])
		}
	}
}

// TestEveryAlertIsTested: by promtool, both that it fires and that it does not, at each of its severities.
func TestEveryAlertIsTested(t *testing.T) {
	type tests struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []struct {
					ExpLabels      map[string]string `json:"exp_labels"`
					ExpAnnotations map[string]string `json:"exp_annotations"`
				} `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		}
	}
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, path := range testPaths {
		var file tests
		if err := yaml.Unmarshal([]byte(read(t, path)), &file); err != nil {
			t.Fatal(err)
		}
		for _, test := range file.Tests {
			for _, a := range test.AlertRuleTest {
				silent[a.Alertname] = silent[a.Alertname] || len(a.ExpAlerts) == 0
				for _, e := range a.ExpAlerts {
					fires[a.Alertname+" "+e.ExpLabels["severity"]] = true
				}
			}
		}
	}
	alerts, _ := loadRules(t)
	for _, a := range alerts {
		if !fires[a.Alert+" "+a.Labels["severity"]] || !silent[a.Alert] {
			t.Errorf("no promtool test sees %s of severity %s fire, or none sees it silent", a.Alert, a.Labels["severity"])
		}
	}
}

// TestTheWordsOfThePage: a problem that mirror tells of on its page and at /readyz has the name of the alert. Two alerts are of what
// no process can tell of itself at a moment.
func TestTheWordsOfThePage(t *testing.T) {
	alerts, _ := loadRules(t)
	want := map[string]bool{}
	for _, a := range alerts {
		want[a.Alert] = true
	}
	got := map[string]bool{"TandemDown": true, "TandemLagGrows": true}
	for _, m := range regexp.MustCompile(`= "(Tandem\w+)"`).FindAllStringSubmatch(read(t, "cmd/mirror/problems.go"), -1) {
		got[m[1]] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("alerts %q, problems %q", slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)))
	}
}
