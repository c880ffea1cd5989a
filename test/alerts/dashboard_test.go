package alerts

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

type source struct{ Type, UID string }

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               source
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct {
		Defaults struct{ Unit string }
	}
	Targets []struct {
		Datasource source
		Expr       string
	}
	Panels []panel
}

type dashboard struct {
	Title, UID    string
	SchemaVersion int
	Panels        []panel
	Templating    struct {
		List []struct {
			Name, Type, Definition string
			Query                  any
		}
	}
	Annotations struct {
		List []struct{ Expr string }
	}
	Links []struct{ URL string }
}

func loadDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "dashboards/tandem.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestTheDashboard: its variables, rows and links; that panels explain themselves, have a unit, and do not lie upon each other.
func TestTheDashboard(t *testing.T) {
	d := loadDashboard(t)
	if d.Title != "Tandem" || d.UID != "tandem" || d.SchemaVersion < 39 {
		t.Errorf("%q, uid %q, schema version %d", d.Title, d.UID, d.SchemaVersion)
	}
	var variables, rows []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	if want := []string{"datasource", "job", "flow", "runbooks"}; !slices.Equal(variables, want) {
		t.Errorf("variables %q, want %q", variables, want)
	}
	if len(d.Links) != 1 || d.Links[0].URL != "${runbooks}docs/alerts.md" {
		t.Errorf("links %v", d.Links)
	}
	taken := map[[2]int]string{}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%q has the id %d of another", p.Title, p.ID)
		}
		ids[p.ID] = true
		for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				if other := taken[[2]int{x, y}]; other != "" || x > 23 {
					t.Fatalf("%q lies upon %q, or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if p.Title == "" || len(p.Description) < 20 || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d, %q, lacks its title, description, unit or query", p.ID, p.Title)
		}
		for _, s := range p.Targets {
			if want := (source{"prometheus", "${datasource}"}); s.Datasource != want || p.Datasource != want {
				t.Errorf("%q asks %v, not the variable", p.Title, s.Datasource)
			}
		}
	}
	want := []string{"Verdict", "Lag and RPO", "Throughput", "Fetch to acknowledgement, and heartbeats", "Partitions", "Consumer groups", "Archive",
		"Drills and certificates", "Process"}
	if !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
}

// TestTheDashboardAsksForWhatIsShown: promtool parses each expression, and each metric and label is one of mirror's.
func TestTheDashboardAsksForWhatIsShown(t *testing.T) {
	d := loadDashboard(t)
	known := shown(t)
	type group struct {
		Name  string              `json:"name"`
		Rules []map[string]string `json:"rules"`
	}
	g := group{Name: "dashboard"}
	add := func(where, expr string) {
		expr = strings.NewReplacer("$job", ".*", "$flow", ".*", "$__rate_interval", "5m").Replace(expr)
		if strings.Contains(expr, "$") {
			t.Errorf("%s has a variable that is not known: %s", where, expr)
		}
		holds(t, where, expr, known)
		g.Rules = append(g.Rules, map[string]string{"record": fmt.Sprintf("dashboard:expression:%d", len(g.Rules)), "expr": expr})
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			add(fmt.Sprintf("%q", p.Title), target.Expr)
			if !strings.Contains(target.Expr, "$job") {
				t.Errorf("%q does not look at the job alone: %s", p.Title, target.Expr)
			}
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			add("an annotation", a.Expr)
		}
	}
	values := regexp.MustCompile(`^label_values\((.*), [a-z]+\)$`)
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			m := values.FindStringSubmatch(v.Definition)
			if m == nil {
				t.Fatalf("variable %s is %q", v.Name, v.Definition)
			}
			known["__name__"] = nil
			g.Rules = append(g.Rules, map[string]string{"record": "dashboard:variable:" + v.Name, "expr": strings.ReplaceAll(m[1], "$job", ".*")})
		}
	}
	if len(g.Rules) < 60 {
		t.Errorf("only %d expressions", len(g.Rules))
	}
	text, err := yaml.Marshal(map[string][]group{"groups": {g}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "expressions.yml")
	write(t, path, string(text))
	promtool(t, "check", "rules", path)
}

// TestNothingIsHidden: what mirror shows of itself is somewhere on the dashboard, but for MM2's names, which have dashboards of their own.
func TestNothingIsHidden(t *testing.T) {
	var asked []string
	for _, p := range loadDashboard(t).Panels {
		for _, target := range p.Targets {
			asked = append(asked, asks(target.Expr).metrics...)
		}
	}
	for name := range shown(t) {
		if !strings.HasPrefix(name, "tandem_") || name == "tandem_archive_listed_timestamp_seconds" {
			continue
		}
		if !slices.Contains(asked, name) {
			t.Errorf("no panel asks for %s", name)
		}
	}
	for _, name := range asked {
		if strings.HasPrefix(name, "kafka_") {
			t.Errorf("a panel asks for %s, which the setting metrics.mm2.names takes away", name)
		}
	}
}
