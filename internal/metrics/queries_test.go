package metrics

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"go.yaml.in/yaml/v3"
)

// outside are metrics that others make, and labels that Prometheus adds.
var (
	outside = []string{"up", "process_open_fds", "process_max_fds", "process_resident_memory_bytes", "process_cpu_seconds_total", "go_goroutines"}
	added   = []string{"instance", "job"}
)

// checkQuery makes sure that an expression can be read, and that there is what it
// asks for.
func checkQuery(t *testing.T, where, query string) {
	t.Helper()
	e, err := metricsql.Parse(query)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	labels := map[string][]string{}
	known := slices.Clone(added)
	for _, m := range all() {
		labels[m.name] = append(slices.Clone(added), m.labels...)
		known = append(known, m.labels...)
	}
	for _, name := range outside {
		labels[name] = added
	}
	has := func(l string) {
		if !slices.Contains(known, l) {
			t.Errorf("%s: no metric has a label %s: %s", where, l, query)
		}
	}
	metricsql.VisitAll(e, func(e metricsql.Expr) {
		switch e := e.(type) {
		case *metricsql.FuncExpr:
			// Prometheus does not know what MetricsQL adds.
			if !slices.Contains([]string{"rate", "increase", "time", "changes", "label_values", "clamp_min", "vector"}, e.Name) {
				t.Errorf("%s: is %s a function of Prometheus? %s", where, e.Name, query)
			}
		case *metricsql.AggrFuncExpr:
			for _, l := range e.Modifier.Args {
				has(l)
			}
		case *metricsql.BinaryOpExpr:
			for _, l := range slices.Concat(e.GroupModifier.Args, e.JoinModifier.Args) {
				has(l)
			}
		case *metricsql.MetricExpr:
			for _, or := range e.LabelFilterss {
				name := ""
				for _, l := range or {
					switch {
					case l.Label == "__name__":
						name = l.Value
						if labels[name] == nil {
							t.Errorf("%s: there is no metric %s", where, name)
						}
					case labels[name] != nil && !slices.Contains(labels[name], l.Label):
						t.Errorf("%s: %s has no label %s", where, name, l.Label)
					}
				}
			}
		}
	})
}

// TestAlerts reads the examples of alerts as Prometheus does.
func TestAlerts(t *testing.T) {
	const path = "../../packaging/prometheus/holdfast.rules.yml"
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	if len(rules.Groups) != 1 || len(rules.Groups[0].Rules) < 10 {
		t.Fatalf("%d groups", len(rules.Groups))
	}
	for _, r := range rules.Groups[0].Rules {
		if !strings.HasPrefix(r.Alert, "Holdfast") || r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
			t.Errorf("%q has no name, severity or summary", r.Alert)
		}
		checkQuery(t, r.Alert, r.Expr)
	}
}

// TestDashboard: every query of the dashboard can be answered, and its panels have
// places of their own.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../../packaging/grafana/holdfast.json")
	if err != nil {
		t.Fatal(err)
	}
	type source struct{ Type, UID string }
	var board struct {
		UID, Title    string
		SchemaVersion int
		Panels        []struct {
			ID          int
			Type, Title string
			GridPos     struct{ H, W, X, Y int }
			Datasource  source
			Targets     []struct {
				Expr, RefID string
				Datasource  source
			}
		}
		Templating struct {
			List []struct{ Name, Type, Definition string }
		}
		Annotations struct {
			List []struct{ Name, Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	// What Grafana puts in the place of its variables.
	variables := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$neighbor", ".*")
	var names []string
	for _, v := range board.Templating.List {
		names = append(names, v.Name)
		if q, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			metric, label, _ := strings.Cut(strings.TrimSuffix(q, ")"), ", ")
			checkQuery(t, "variable "+v.Name, "sum by ("+label+") ("+variables.Replace(metric)+")")
		}
	}
	if want := []string{"datasource", "instance", "neighbor"}; !slices.Equal(names, want) {
		t.Errorf("variables %v, want %v", names, want)
	}
	for _, a := range board.Annotations.List {
		if a.Expr != "" {
			checkQuery(t, "annotation "+a.Name, variables.Replace(a.Expr))
		}
	}
	ids, queries := map[int]bool{}, 0
	taken := map[[2]int]string{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %q has number %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok || x >= 24 {
					t.Fatalf("panels %q and %q are in the same place, or beside the page", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		refs := map[string]bool{}
		for _, q := range p.Targets {
			queries++
			checkQuery(t, p.Title, variables.Replace(q.Expr))
			if from := (source{"prometheus", "${datasource}"}); q.Datasource != from || p.Datasource != from || refs[q.RefID] {
				t.Errorf("panel %q: a query with source %v and reference %q", p.Title, q.Datasource, q.RefID)
			}
			refs[q.RefID] = true
		}
	}
	if board.UID != "holdfast" || board.SchemaVersion < 36 || queries < 20 {
		t.Errorf("dashboard %q, schema %d, %d queries", board.UID, board.SchemaVersion, queries)
	}
}
