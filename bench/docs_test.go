package bench

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The sets in README.md are the ones that run.
func TestDocumentedSet(t *testing.T) {
	docs, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| ([SN][^|]*?) \\| `([^`]*)`").FindAllStringSubmatch(string(docs), -1) {
		id, _, _ := strings.Cut(m[1], ", ") // the first of several
		commands[id] = m[2]
	}
	for _, e := range append(slices.Clone(Standard), Clustered...) {
		if !strings.Contains(string(docs), "| "+e.ID+" |") && !strings.Contains(string(docs), ", "+e.ID+" |") && !strings.Contains(string(docs), ", "+e.ID+", ") && !strings.Contains(string(docs), "| "+e.ID+", ") {
			t.Errorf("README.md does not name %s", e.ID)
		}
		words := strings.Fields(commands[e.ID])
		if len(words) == 0 {
			continue // it is told of beside another
		}
		o := ScenarioNamed(e.Scenario).Defaults()
		e.set(&o)
		got := map[string]float64{
			"-conns": float64(o.Conns), "-channels": float64(o.Channels), "-publishers": float64(o.Publishers),
			"-nodes": float64(o.Nodes), "-rate": o.Rate, "-saturate": float64(o.Saturate), "-history": float64(o.History), "-missed": float64(o.Missed),
		}
		if words[0] != e.Scenario {
			t.Errorf("%s is %s, and README.md says %s", e.ID, e.Scenario, words[0])
		}
		for i := 1; i+1 < len(words); i += 2 {
			if want, err := strconv.ParseFloat(words[i+1], 64); err != nil || got[words[i]] != want {
				t.Errorf("%s has %s %v, and README.md says %s", e.ID, words[i], got[words[i]], words[i+1])
			}
		}
	}
	for _, sc := range Scenarios {
		if !strings.Contains(string(docs), "\n| `"+sc.Name+"` |") {
			t.Errorf("README.md does not explain %s", sc.Name)
		}
	}
}
