package console

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// dashboard is as much of Grafana's format as is ours to get right.
type dashboard struct {
	Panels []struct {
		Title   string `json:"title"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
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
