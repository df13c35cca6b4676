package console

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is as much of Grafana's format as is ours to get right.
type dashboard struct {
	Panels []struct {
		Title   string `json:"title"`
		Targets []struct {
			Expr   string `json:"expr"`
			Legend string `json:"legendFormat"`
		} `json:"targets"`
	} `json:"panels"`
}

// checkLabels checks that what a query and its legend tell apart is told apart by
// the metric.
func checkLabels(t *testing.T, where, expr, legend string) {
	t.Helper()
	known := []string{"job", "instance"} // Prometheus sets these
	for _, m := range table() {
		if regexp.MustCompile(`\b` + m.name + `\b`).MatchString(expr) {
			known = append(known, m.labels...)
		}
	}
	if strings.Contains(expr, "_bucket{") {
		known = append(known, "le")
	}
	var used []string
	for _, m := range regexp.MustCompile(`\bby \(([^)]*)\)`).FindAllStringSubmatch(expr, -1) {
		used = append(used, strings.Split(m[1], ", ")...)
	}
	for _, m := range regexp.MustCompile(`{{(\w+)}}`).FindAllStringSubmatch(legend, -1) {
		used = append(used, m[1])
	}
	for _, label := range used {
		if !slices.Contains(known, label) {
			t.Errorf("%s: %s has no label %s", where, expr, label)
		}
	}
}

// Every metric that the dashboard asks for is there, and it leaves none out.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../../../deploy/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	metrics := operate(t, nil).ask("GET", "/metrics", "", 200)
	for _, panel := range d.Panels {
		if len(panel.Targets) == 0 {
			t.Errorf("%s shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			checkNames(t, panel.Title, target.Expr)
			checkLabels(t, panel.Title, target.Expr, target.Legend)
			for _, name := range regexp.MustCompile(`\b(?:go|process)_[a-z_]+\b`).FindAllString(target.Expr, -1) {
				if !strings.Contains(metrics, "\n"+name) {
					t.Errorf("%s names %s, which does not exist", panel.Title, name)
				}
			}
		}
	}
	for _, name := range names() {
		if !strings.Contains(string(text), name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}
